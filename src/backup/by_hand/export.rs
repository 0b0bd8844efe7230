//! An export of a graph: what is to become of the graph that is there is a person's to decide; the script names what it needs.

use super::ByHand;
use crate::api::target::{Neo4j, Neo4jExport};
use crate::backup::{manifest::DATA, offline::folder_of};

/// Comments only: nothing runs by pasting it.
pub(super) fn script(input: &ByHand<'_>, neo4j: &Neo4j) -> Option<String> {
    let extension = match neo4j.backup.format.unwrap_or_default() {
        Neo4jExport::Cypher => "cypher",
        Neo4jExport::Graphml => "graphml",
    };
    Some(format!(
        "{}\n# It is an export by APOC: {}/{DATA}/{}.{extension} below the storage's path.\n# How it is loaded is in docs/engines/neo4j.md, \"Exports\"; nothing is run by this script.\n",
        input.head(),
        input.backup.path,
        folder_of(&neo4j.database).ok()?
    ))
}

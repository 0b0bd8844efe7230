//! A graph as text, by APOC, from a server that runs: for whoever can't stop it. Nothing is proven by a restore of it.
//!
//! APOC writes in a thread of its own, and its rows end in the same way whether that thread was done or has died (seen in
//! `ExportUtils` and `ExportCypher` of 5.26). So what came counts as whole only if it has as many nodes and relationships as
//! the database, before and after, and what the writer writes last.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::connect::{Connection, said, text};
use super::fence;
use super::message::Begin;
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::EngineError;

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Statements that make constraints, indexes, nodes and relationships again.
    Cypher,
    /// XML without constraints and indexes, which the server puts together in its heap before it sends any of it.
    GraphMl,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Version of the server.
    pub server: String,
    /// Version of APOC.
    pub apoc: String,
    /// How many nodes are in it; Whimbrel's own are among them.
    pub nodes: u64,
    /// How many relationships.
    pub relationships: u64,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What the server or the way to it refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What came is not the graph.
    #[error("the export is not whole: {0}")]
    NotWhole(String),
    /// It can't be written down.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How many nodes and relationships are written between two rows, and with one statement. APOC keeps up to a thousand rows
/// for whoever reads slowly, in the server's heap.
const BATCH: u64 = 100;
/// How long the writing thread waits for somebody who reads slowly, in seconds. When the reader dies, it keeps its transaction
/// for as long.
const PATIENCE: u64 = 300;

impl Export {
    /// Its word in the names of files and procedures.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cypher => "cypher",
            Self::GraphMl => "graphml",
        }
    }

    fn procedure(self) -> String {
        format!("apoc.export.{}.all", self.word())
    }

    fn query(self) -> String {
        let column = match self {
            Self::Cypher => "cypherStatements",
            Self::GraphMl => "data",
        };
        let procedure = self.procedure();
        format!(
            "CALL {procedure}(null, $config) YIELD nodes, relationships, {column} RETURN nodes, relationships, {column}"
        )
    }

    fn config(self) -> Value {
        let mut config = vec![("stream", Value::Bool(true)), ("timeoutSeconds", Value::number(PATIENCE))];
        match self {
            Self::Cypher => {
                let rows = [("type", Value::text("UNWIND_BATCH")), ("unwindBatchSize", Value::number(BATCH))];
                config.extend([
                    ("format", Value::text("plain")),
                    ("saveIndexNames", Value::Bool(true)),
                    ("batchSize", Value::number(BATCH)),
                    ("useOptimizations", Value::map(rows)),
                ]);
            }
            Self::GraphMl => config.push(("useTypes", Value::Bool(true))),
        }
        Value::map([(
            "config",
            Value::Map(config.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()),
        )])
    }

    /// What is written near the beginning, and what then is written at the end.
    fn frame(self) -> (&'static str, &'static str) {
        match self {
            // Nodes without a key of their own get one until the relationships are there.
            Self::Cypher => ("CREATE CONSTRAINT UNIQUE_IMPORT_NAME", "DROP CONSTRAINT UNIQUE_IMPORT_NAME"),
            Self::GraphMl => ("<graphml", "</graphml>"),
        }
    }
}

/// Whether the user may call the procedure; gives APOC's version.
pub(super) async fn able(
    connection: &mut Connection,
    settings: &Settings,
    export: Export,
) -> Result<String, EngineError> {
    let name = Value::map([("name", Value::text(export.procedure()))]);
    let query = "SHOW PROCEDURES EXECUTABLE YIELD name WHERE name = $name RETURN name";
    if connection.read(settings, query, name).await?.rows.is_empty() {
        let reason = format!(
            "there is no procedure {} for this user: put the jar of APOC core, of the server's own version, into the server's plugins, or say neo4j.backup.method: Offline",
            export.procedure()
        );
        return Err(EngineError::Unsupported { at: settings.at(), reason });
    }
    let version = connection.read(settings, "RETURN apoc.version()", Value::map([])).await?;
    Ok(text(version.rows.first().and_then(|row| row.first())))
}

/// Writes the whole graph to `to`. `progress` hears how many nodes and relationships are written, and of how many.
pub(super) async fn export(
    connection: &mut Connection,
    settings: &Settings,
    (export, epoch): (Export, u64),
    to: &mut (dyn AsyncWrite + Send + Unpin),
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    refuse_if_overtaken(connection, settings, epoch).await?;
    let apoc = able(connection, settings, export).await?;
    let before = counted(connection, settings).await?;
    let begin = Begin { read_only: true, ..connection.writing(settings, settings.statement_timeout) };
    said(settings, connection.wire.open(&export.query(), export.config(), &begin).await)?;
    let mut heard = Heard::default();
    while let Some(row) = said(settings, connection.wire.next_row().await)? {
        let number = |at: usize| row.get(at).and_then(Value::as_u64).unwrap_or_default();
        let written = row.get(2).and_then(Value::as_text).unwrap_or_default();
        to.write_all(written.as_bytes()).await?;
        heard.hear(export, (number(0), number(1)), written);
        progress(number(0) + number(1), before.0 + before.1);
    }
    if export == Export::Cypher {
        to.write_all(left_out(connection, settings).await?.as_bytes()).await?;
    }
    to.flush().await?;
    let after = counted(connection, settings).await?;
    heard.judge(export, before, after).map_err(ExportError::NotWhole)?;
    // Whoever raised the token meanwhile may have changed what was not yet written.
    refuse_if_overtaken(connection, settings, epoch).await?;
    let server = connection.server.version.clone();
    Ok(Exported { server, apoc, nodes: before.0, relationships: before.1 })
}

/// APOC writes vector indexes not at all, and full-text indexes without their options.
async fn left_out(connection: &mut Connection, settings: &Settings) -> Result<String, EngineError> {
    let query = "SHOW INDEXES YIELD name, type, createStatement WHERE type IN ['FULLTEXT', 'VECTOR'] \
        RETURN name, createStatement ORDER BY name";
    let set = connection.read(settings, query, Value::map([])).await?;
    let again = |row: &Vec<Value>| {
        let name = text(row.first()).replace('`', "``");
        format!("DROP INDEX `{name}` IF EXISTS;\n{};\n", text(row.get(1)))
    };
    Ok(set.rows.iter().map(again).collect())
}

async fn refuse_if_overtaken(
    connection: &mut Connection,
    settings: &Settings,
    epoch: u64,
) -> Result<(), EngineError> {
    match fence::peek(connection, settings).await? {
        Some(row) if row.seen.token > epoch => {
            Err(EngineError::Overtaken { at: settings.at(), token: row.seen.token })
        }
        _ => Ok(()),
    }
}

/// How many nodes and relationships there are, by the server's own counters.
async fn counted(connection: &mut Connection, settings: &Settings) -> Result<(u64, u64), EngineError> {
    let mut count = async |query| {
        let set = connection.read(settings, query, Value::map([])).await?;
        Ok(set.rows.first().and_then(|row| row.first()).and_then(Value::as_u64).unwrap_or_default())
    };
    Ok((count("MATCH (n) RETURN count(n)").await?, count("MATCH ()-[r]->() RETURN count(r)").await?))
}

/// What came of an export until now.
#[derive(Default)]
struct Heard {
    written: (u64, u64),
    begun: bool,
    ended: bool,
}

impl Heard {
    fn hear(&mut self, export: Export, written: (u64, u64), text: &str) {
        let (begin, end) = export.frame();
        self.written = written;
        if !text.trim().is_empty() {
            self.begun |= text.contains(begin);
            self.ended = text.contains(end);
        }
    }

    /// Why it is not the whole graph, which had so many nodes and relationships before and after.
    fn judge(&self, export: Export, before: (u64, u64), after: (u64, u64)) -> Result<(), String> {
        let words = |(nodes, relationships)| format!("{nodes} nodes and {relationships} relationships");
        if before != after {
            return Err(format!(
                "the graph had {} before it and {} after it: somebody wrote meanwhile",
                words(before),
                words(after)
            ));
        }
        if self.written != before {
            return Err(format!(
                "it has {} of {}: see the server's log, APOC says nothing of it",
                words(self.written),
                words(before)
            ));
        }
        if (self.begun || export == Export::GraphMl) && !self.ended {
            return Err("its end is missing: see the server's log, APOC says nothing of it".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(export: Export, rows: &[(u64, u64, &str)], after: (u64, u64)) -> Result<(), String> {
        let mut heard = Heard::default();
        rows.iter()
            .for_each(|(nodes, relationships, text)| heard.hear(export, (*nodes, *relationships), text));
        heard.judge(export, (3, 2), after)
    }

    const BEGUN: &str = "CREATE CONSTRAINT UNIQUE_IMPORT_NAME FOR (node:`UNIQUE IMPORT LABEL`)";
    const ENDED: &str = "MATCH (n) REMOVE n.x;\nDROP CONSTRAINT UNIQUE_IMPORT_NAME;\n";

    #[test]
    fn only_the_whole_graph_is_an_export() {
        let whole = [(2, 0, BEGUN), (3, 2, ENDED)];
        assert_eq!(judged(Export::Cypher, &whole, (3, 2)), Ok(()));
        assert_eq!(judged(Export::Cypher, &[(3, 2, "CREATE (n)")], (3, 2)), Ok(()), "all nodes have keys");
        assert_eq!(judged(Export::GraphMl, &[(3, 2, "<graphml></graphml>\n")], (3, 2)), Ok(()));
        let lost = |export, rows: &[(u64, u64, &str)]| judged(export, rows, (3, 2)).unwrap_err();
        assert_eq!(
            lost(Export::Cypher, &[(2, 0, BEGUN)]),
            "it has 2 nodes and 0 relationships of 3 nodes and 2 relationships: see the server's log, APOC says nothing of it"
        );
        assert!(lost(Export::Cypher, &[]).starts_with("it has 0 nodes"));
        for rows in [[(2, 0, BEGUN), (3, 2, "CREATE ()")], [(2, 0, ENDED), (3, 2, BEGUN)]] {
            assert_eq!(
                lost(Export::Cypher, &rows),
                "its end is missing: see the server's log, APOC says nothing of it"
            );
        }
        assert!(lost(Export::GraphMl, &[(3, 2, "")]).starts_with("its end is missing"));
        assert_eq!(
            judged(Export::Cypher, &whole, (4, 2)).unwrap_err(),
            "the graph had 3 nodes and 2 relationships before it and 4 nodes and 2 relationships after it: somebody wrote meanwhile"
        );
    }
}

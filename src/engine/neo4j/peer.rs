//! The history of neo4j-migrations, read and written as version 2.17 of that tool does: a chain of nodes from BASELINE on,
//! in the order of versions, with a loop at a repeatable script for each time that it ran again.

use super::connect::text;
use super::history::number;
use super::own::exactly_one;
use super::packstream::Value;
use crate::script::cypher::{peer_checksum, raw_version};
use crate::script::{HistoryRow, Kind, Script, Version};

/// The chain as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// In the order of the chain.
    links: Vec<Link>,
}

/// One node of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// As that tool keeps it, with leading zeros.
    version: String,
    description: String,
    repeatable: bool,
    source: String,
    checksum: String,
    /// Milliseconds since 1970.
    at: u64,
    /// Checksum and time of each later run.
    repeated: Vec<(String, u64)>,
}

/// The chain of the database itself, not of others whose history is kept here. A failed or deleted entry, which Flyway
/// leaves, does not count, as it does not there.
pub(super) const READ: &str = "MATCH (b:__Neo4jMigration {version: 'BASELINE'}) WHERE b.migrationTarget IS NULL \
    MATCH p = (b)-[:MIGRATED_TO*1..]->(m:__Neo4jMigration) WITH m, last(relationships(p)) AS r, length(p) AS depth \
    WHERE m.version IS NOT NULL AND coalesce(m.type, '') <> 'DELETE' AND NOT coalesce(m.flyway_failed, false) \
    RETURN m.version, m.description, coalesce(m.repeatable, false), m.source, m.checksum, r.at.epochMillis, \
    [(m)-[x:REPEATED]->(m) | [x.checksum, x.at.epochMillis]] ORDER BY depth, m.version";

/// Reads the rows of [`READ`].
pub(super) fn chain(rows: &[Vec<Value>]) -> Chain {
    let link = |row: &Vec<Value>| Link {
        version: text(row.first()),
        description: text(row.get(1)),
        repeatable: row.get(2) == Some(&Value::Bool(true)),
        source: text(row.get(3)),
        checksum: text(row.get(4)),
        at: number(row.get(5)),
        repeated: match row.get(6) {
            Some(Value::List(runs)) => runs
                .iter()
                .filter_map(|run| match run {
                    Value::List(run) => Some((text(run.first()), number(run.get(1)))),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        },
    };
    Chain { links: rows.iter().map(link).collect() }
}

impl Chain {
    /// A row for each run, in the order in which they ran; that tool keeps no ranks, so they are counted.
    pub(super) fn rows(&self) -> Vec<HistoryRow> {
        let mut runs: Vec<(u64, usize, &Link, &str)> = Vec::new();
        for (depth, link) in self.links.iter().enumerate() {
            runs.push((link.at, depth, link, &link.checksum));
            runs.extend(link.repeated.iter().map(|(checksum, at)| (*at, depth, link, checksum.as_str())));
        }
        runs.sort_by_key(|(at, depth, ..)| (*at, *depth));
        let row = |(index, (_, _, link, checksum)): (usize, (u64, usize, &Link, &str))| HistoryRow {
            installed_rank: index as u64 + 1,
            key: link.key(),
            kind: if link.repeatable { Kind::Repeatable } else { Kind::Versioned },
            version: (!link.repeatable).then(|| link.version.parse().ok()).flatten(),
            description: link.description.clone(),
            checksum: checksum.to_owned(),
            file: link.source.clone(),
        };
        runs.into_iter().enumerate().map(row).collect()
    }

    /// The version behind which this one belongs.
    fn before(&self, version: &Version) -> &str {
        let smaller = |link: &&Link| link.version.parse::<Version>().is_ok_and(|it| it < *version);
        self.links.iter().rfind(smaller).map_or(BASELINE, |link| &link.version)
    }

    /// The version of the last one.
    fn last(&self) -> &str {
        self.links.last().map_or(BASELINE, |link| &link.version)
    }

    /// Takes in that a script of ours ran just now, behind everything that ran before.
    pub(super) fn ran(&mut self, script: &Script, checksum: &str) {
        let latest =
            self.links.iter().flat_map(|link| link.repeated.iter().map(|(_, at)| *at).chain([link.at])).max();
        let at = latest.unwrap_or(0) + 1;
        if script.kind == Kind::Repeatable
            && let Some(link) = self.links.iter_mut().find(|link| link.key() == script.key)
        {
            link.repeated.push((checksum.to_owned(), at));
            return;
        }
        let Some(version) = raw_version(&script.file) else { return };
        let Ok(parsed) = version.parse::<Version>() else { return };
        let smaller = |link: &Link| link.version.parse::<Version>().is_ok_and(|it| it < parsed);
        let place = self.links.iter().rposition(smaller).map_or(0, |place| place + 1);
        let link = Link {
            version: version.to_owned(),
            description: script.description.clone(),
            repeatable: script.kind == Kind::Repeatable,
            source: script.file.clone(),
            checksum: checksum.to_owned(),
            at,
            repeated: Vec::new(),
        };
        self.links.insert(place, link);
    }

    /// Takes in that a script is out of the chain.
    pub(super) fn removed(&mut self, key: &str) {
        self.links.retain(|link| link.key() != key);
    }

    /// Whether a script of that key ran before.
    pub(super) fn has(&self, key: &str) -> bool {
        self.links.iter().any(|link| link.key() == key)
    }
}

impl Link {
    fn key(&self) -> String {
        match self.version.parse::<Version>() {
            Ok(version) if !self.repeatable => version.to_string(),
            Err(_) if !self.repeatable => self.version.clone(),
            _ => format!("R:{}", self.description),
        }
    }
}

const BASELINE: &str = "BASELINE";

/// A statement of the transaction that records a script, with what it is filled with.
pub(super) struct Write {
    pub(super) query: &'static str,
    pub(super) parameters: Value,
}

/// Makes the beginning of the chain where there is none.
const BEGIN: &str = "OPTIONAL MATCH (b:__Neo4jMigration {version: 'BASELINE'}) WHERE b.migrationTarget IS NULL \
    WITH b LIMIT 1 FOREACH (_ IN CASE WHEN b IS NULL THEN [1] ELSE [] END | CREATE (:__Neo4jMigration {version: 'BASELINE'}))";

/// What the relationship to a new node says of the run.
macro_rules! run {
    () => {
        "{at: datetime({timezone: 'UTC'}), in: duration({milliseconds: $took}), by: 'whimbrel', connectedAs: $user}"
    };
}

/// A new node behind `$previous`, which is the last one. Fails, and takes everything back, where it no longer is.
const APPEND: &str = concat!(
    "MATCH (p:__Neo4jMigration {version: $previous}) WHERE p.migrationTarget IS NULL AND NOT (p)-[:MIGRATED_TO]->() \
    CREATE (p)-[:MIGRATED_TO ",
    run!(),
    "]->(c:__Neo4jMigration $properties) ",
    exactly_one!("c")
);

/// A new node behind `$previous`; what stood behind that stands behind the new one. Fails, and takes everything back, where
/// the node is there already.
const INSERT: &str = concat!(
    "MATCH (p:__Neo4jMigration {version: $previous}) WHERE p.migrationTarget IS NULL \
    AND NOT EXISTS { (n:__Neo4jMigration {version: $properties.version}) WHERE n.migrationTarget IS NULL } \
    OPTIONAL MATCH (p)-[old:MIGRATED_TO]->(next) \
    CREATE (c:__Neo4jMigration) SET c = $properties \
    CREATE (p)-[:MIGRATED_TO ",
    run!(),
    "]->(c) \
    FOREACH (o IN CASE WHEN old IS NULL THEN [] ELSE [old] END | CREATE (c)-[r:MIGRATED_TO]->(next) SET r = properties(o) DELETE o) \
    ",
    exactly_one!("c")
);

const REPEAT: &str = concat!(
    "MATCH (l:__Neo4jMigration {version: $version}) WHERE l.migrationTarget IS NULL \
    CREATE (l)-[r:REPEATED {checksum: $checksum, at: datetime({timezone: 'UTC'}), in: duration({milliseconds: $took}), by: 'whimbrel', connectedAs: $user}]->(l) ",
    exactly_one!("r")
);

/// Takes a node out of the chain and closes it again.
const REMOVE: &str = concat!(
    "MATCH (p:__Neo4jMigration)-[:MIGRATED_TO]->(c:__Neo4jMigration {version: $version}) WHERE c.migrationTarget IS NULL \
    OPTIONAL MATCH (c)-[after:MIGRATED_TO]->(next) \
    FOREACH (a IN CASE WHEN after IS NULL THEN [] ELSE [after] END | CREATE (p)-[r:MIGRATED_TO]->(next) SET r = properties(a)) \
    DETACH DELETE c ",
    exactly_one!("*")
);

/// All that change the chain.
pub(super) const OWN: [&str; 5] = [BEGIN, APPEND, INSERT, REPEAT, REMOVE];

/// What records that `script` ran, in `took` milliseconds, as `user`.
pub(super) fn record(chain: &Chain, script: &Script, user: &str, took: u64) -> Option<Vec<Write>> {
    let version = raw_version(&script.file)?;
    let checksum = peer_checksum(&script.body);
    let mut parameters = vec![("took", Value::number(took)), ("user", Value::text(user))];
    if script.kind == Kind::Repeatable && chain.has(&script.key) {
        parameters.extend([("version", Value::text(version)), ("checksum", Value::text(checksum))]);
        return Some(vec![Write { query: REPEAT, parameters: map(parameters) }]);
    }
    let previous = chain.before(&version.parse().ok()?).to_owned();
    let query = if previous == chain.last() { APPEND } else { INSERT };
    let properties = Value::map([
        ("version", Value::text(version)),
        ("description", Value::text(script.description.as_str())),
        ("type", Value::text("CYPHER")),
        ("repeatable", Value::Bool(script.kind == Kind::Repeatable)),
        ("source", Value::text(script.file.as_str())),
        ("checksum", Value::text(checksum)),
    ]);
    parameters.extend([("previous", Value::text(previous)), ("properties", properties)]);
    let begins = chain.links.is_empty().then(|| Write { query: BEGIN, parameters: Value::map([]) });
    Some(begins.into_iter().chain([Write { query, parameters: map(parameters) }]).collect())
}

/// What takes `script` out of the chain.
pub(super) fn remove(script: &Script) -> Option<Write> {
    let version = raw_version(&script.file)?;
    Some(Write { query: REMOVE, parameters: Value::map([("version", Value::text(version))]) })
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(version: &str, repeatable: bool, at: u64, repeated: &[(&str, u64)]) -> Link {
        Link {
            version: version.to_owned(),
            description: format!("d{version}"),
            repeatable,
            source: format!("V{version}__d.cypher"),
            checksum: format!("c{version}"),
            at,
            repeated: repeated.iter().map(|(checksum, at)| ((*checksum).to_owned(), *at)).collect(),
        }
    }

    #[test]
    fn rows_come_in_the_order_in_which_they_ran() {
        let chain = Chain {
            links: vec![
                link("0001", false, 10, &[]),
                link("002", true, 5, &[("n", 30)]),
                link("10", false, 20, &[]),
            ],
        };
        let rows: Vec<_> =
            chain.rows().into_iter().map(|row| (row.installed_rank, row.key, row.checksum)).collect();
        let row = |rank, key: &str, checksum: &str| (rank, key.to_owned(), checksum.to_owned());
        assert_eq!(
            rows,
            [row(1, "R:d002", "c002"), row(2, "1", "c0001"), row(3, "10", "c10"), row(4, "R:d002", "n")]
        );
    }

    #[test]
    fn a_version_goes_behind_the_next_smaller_one() {
        let chain = Chain { links: vec![link("0001", false, 1, &[]), link("0010", false, 2, &[])] };
        for (version, behind) in [("0", "BASELINE"), ("5", "0001"), ("11", "0010"), ("1.1", "0001")] {
            assert_eq!(chain.before(&version.parse().unwrap()), behind, "{version}");
        }
    }
}

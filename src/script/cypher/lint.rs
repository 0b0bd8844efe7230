//! What a person should know about a script in Cypher, in the words that hold for every engine.

use super::super::lint::{Class, Finding, Use};
use super::super::pattern::Words;
use super::super::split::Statement;
use super::kinds::{Does, steps};
use super::schema::Change;

/// What there is to say about `text`, statement by statement.
pub(in super::super) fn lint(text: &str, used: Use) -> impl Iterator<Item = Finding> + use<> {
    let findings: Vec<Finding> =
        steps(text).0.iter().flat_map(|step| of_statement(&step.statement, &step.does, text, used)).collect();
    findings.into_iter()
}

fn of_statement(statement: &Statement, does: &Does, text: &str, used: Use) -> Vec<Finding> {
    let words = Words::of(statement, text);
    let mut findings = Vec::new();
    let mut find =
        |class, what: Option<&str>| findings.extend(what.map(|what| Finding::of(statement, class, what)));
    match used {
        Use::Undo => find(Class::Destructive, may_lose_data(does, words)),
        Use::Versioned | Use::Repeatable => {
            find(Class::Destructive, loses_data(words));
            find(Class::Irreversible, loses_data(words));
        }
    }
    find(Class::Locking, locks(does));
    find(Class::NonTransactional, matches!(does, Does::Batches { .. }).then_some("IN TRANSACTIONS"));
    find(Class::NotIdempotent, not_idempotent(does, words, used));
    find(Class::Unbounded, unbounded(does, words));
    findings
}

/// The words after which something is gone that no undo can bring back. `SET n = …` takes away what is not in it; `+=`
/// does not, and neither does `SET n.p = …`, which counts as an UPDATE does in SQL.
fn loses_data(words: Words<'_>) -> Option<&'static str> {
    match () {
        () if words.has("DETACH DELETE") => Some("DETACH DELETE"),
        () if words.has("DELETE") => Some("DELETE"),
        () if words.has("REMOVE") => Some("REMOVE"),
        () if replaces_all(words) => Some("SET ... = all properties"),
        // What a procedure does can't be told from its name.
        () if words.has("CALL apoc") => Some("CALL apoc"),
        () => None,
    }
}

/// `SET n = {…}`, `, n = properties(o)`: a whole node, and no property of it, gets a value.
fn replaces_all(words: Words<'_>) -> bool {
    (0..words.len()).any(|at| words.is(at, "SET") && words.is(at + 2, "="))
}

/// In doubt an undo loses what services wrote since the script ran.
fn may_lose_data(does: &Does, words: Words<'_>) -> Option<&'static str> {
    if let Does::Schema(_) = does {
        return None; // constraints and indexes hold no data
    }
    let writes = ["DETACH DELETE", "DELETE", "REMOVE", "SET", "MERGE", "CALL", "FOREACH"];
    { writes }.into_iter().find(|write| words.has(write))
}

fn locks(does: &Does) -> Option<&'static str> {
    match does {
        Does::Schema(Change::Create { object, .. }) if object.constraint => Some("CREATE CONSTRAINT"),
        _ => None,
    }
}

/// For what may run again: repeatable scripts, and batches that were cut.
fn not_idempotent(does: &Does, words: Words<'_>, used: Use) -> Option<&'static str> {
    match does {
        Does::Batches { restartable: false } => Some("IN TRANSACTIONS that does what is done again"),
        _ if used != Use::Repeatable => None,
        Does::Schema(Change::Create { if_not_exists: false, .. }) => Some("CREATE"),
        Does::Schema(Change::Drop { if_exists: false, .. }) => Some("DROP"),
        Does::Data if words.has("CREATE (") => Some("CREATE"),
        _ => None,
    }
}

/// A statement over everything of a kind in one transaction: its memory grows as the graph does.
fn unbounded(does: &Does, words: Words<'_>) -> Option<&'static str> {
    let writes = ["SET", "DELETE", "REMOVE", "CREATE", "MERGE"].iter().any(|write| words.has(write));
    let narrowed = words.has("WHERE") || words.has("LIMIT") || (0..words.len()).any(|at| words.is(at, "{"));
    (*does == Does::Data && words.has("MATCH") && writes && !narrowed).then_some("MATCH without WHERE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, used: Use) -> Vec<(Class, String)> {
        lint(text, used).map(|finding| (finding.class, finding.what)).collect()
    }

    fn has(text: &str, used: Use, class: Class) -> bool {
        found(text, used).iter().any(|(found, _)| *found == class)
    }

    #[test]
    fn what_is_lost() {
        for text in [
            "MATCH (n:Old) WHERE n.x DETACH DELETE n",
            "MATCH (n) WHERE n.x = 1 REMOVE n.y",
            "MATCH (n) WHERE n.x = 1 SET n = {a: 1}",
            "CALL apoc.refactor.mergeNodes([], {})",
        ] {
            assert!(has(text, Use::Versioned, Class::Irreversible), "{text}");
        }
        for text in [
            "MATCH (n) WHERE n.x = 1 SET n.y = 2",
            "MATCH (n) WHERE n.x = 1 SET n += {y: 2}",
            "CREATE (:`Delete` {`remove`: 'DELETE'})",
            "DROP INDEX i",
        ] {
            assert!(!has(text, Use::Versioned, Class::Irreversible), "{text}");
        }
    }

    #[test]
    fn an_undo_is_destructive_in_doubt() {
        for text in [
            "MATCH (u) WHERE u.x = 1 SET u.x = 2",
            "MATCH (u:User) REMOVE u.x",
            "MERGE (a:A)",
            "CALL db.ping()",
        ] {
            assert!(has(text, Use::Undo, Class::Destructive), "{text}");
        }
        for text in ["DROP CONSTRAINT c IF EXISTS", "CREATE INDEX i FOR (n:A) ON (n.x)", "CREATE (:A)"] {
            assert!(!has(text, Use::Undo, Class::Destructive), "{text}");
        }
    }

    #[test]
    fn the_other_classes() {
        assert!(has("CREATE CONSTRAINT c FOR (n:A) REQUIRE n.x IS UNIQUE", Use::Versioned, Class::Locking));
        assert!(has("MATCH (n:A) SET n.x = 1", Use::Versioned, Class::Unbounded));
        assert!(!has("MATCH (n:A {x: 1}) SET n.x = 2", Use::Versioned, Class::Unbounded));
        assert!(has(
            "MATCH (o) CALL (o) { CREATE (:N) } IN TRANSACTIONS",
            Use::Versioned,
            Class::NotIdempotent
        ));
        assert!(has(
            "MATCH (o) CALL (o) { CREATE (:N) } IN TRANSACTIONS",
            Use::Versioned,
            Class::NonTransactional
        ));
        assert!(has("CREATE (:A)", Use::Repeatable, Class::NotIdempotent));
        assert!(!has("MERGE (:A)", Use::Repeatable, Class::NotIdempotent));
    }
}

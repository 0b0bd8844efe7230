//! What each statement of a script does, as far as it decides how it is sent.

use super::super::pattern::Words;
use super::super::split::{Statement, TokenKind};
use super::lexer::{Item, scan};
use super::schema::{self, Change};

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The statement.
    pub statement: Statement,
    /// What it does.
    pub does: Does,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    /// Reads or writes data, in one transaction with its entry in the journal.
    Data,
    /// Changes the schema, in a transaction that may write nothing else.
    Schema(Change),
    /// Commits batches of its own: `CALL { … } IN TRANSACTIONS`, `apoc.periodic`. Runs in no transaction of ours.
    Batches {
        /// What is done is not done again when it runs once more: the statement itself shows it.
        restartable: bool,
    },
}

/// The statements of `text`, up to what can't be split, and the databases that its `:use` commands name.
pub fn steps(text: &str) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut databases) = (Vec::new(), Vec::new());
    for item in scan(text).flatten() {
        match item {
            Item::Statement(statement) => {
                let does = does(&statement, text);
                steps.push(Step { statement, does });
            }
            Item::Command(found) => databases.extend(used(&text[found.range])),
            Item::Comment(_) => {}
        }
    }
    (steps, databases)
}

/// The database of a `:use` command.
pub(super) fn used(command: &str) -> Option<String> {
    let mut words = command.trim_end().trim_end_matches(';').split_whitespace();
    let named = words.next()?.eq_ignore_ascii_case(":use");
    let name = words.next()?.trim_matches('`').to_lowercase();
    (named && words.next().is_none()).then_some(name)
}

pub(super) fn does(statement: &Statement, text: &str) -> Does {
    let from = prefix(statement, text);
    if let Some(change) = schema::change(statement, text, from) {
        return Does::Schema(change);
    }
    let words = Words::of(statement, text);
    match batches(words) {
        Some(at) => Does::Batches { restartable: excludes_what_is_done(statement, text, at) },
        None if words.has("apoc . periodic") => Does::Batches { restartable: false },
        None => Does::Data,
    }
}

/// How many tokens `CYPHER 5 runtime=slotted` and `PROFILE` are, before the statement proper.
pub(super) fn prefix(statement: &Statement, text: &str) -> usize {
    let words = Words::of(statement, text);
    let mut at = 0;
    if words.is(0, "CYPHER") {
        at = 1;
        while statement.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Number) {
            at += 1;
        }
        while words.is(at + 1, "=") {
            at += 3;
        }
    }
    at + usize::from(words.is(at, "PROFILE"))
}

/// Where the IN of an `IN … TRANSACTIONS` stands: behind it a number or a parameter, perhaps CONCURRENT with one.
pub(super) fn batches(words: Words<'_>) -> Option<usize> {
    (1..words.len()).find(|at| {
        words.is(*at, "IN") && words.is(at - 1, "}") && {
            let near = (at + 1..at + 4).find(|next| words.is(*next, "TRANSACTIONS"));
            near.is_some()
        }
    })
}

/// Whether what stands before the subquery leaves out what the subquery does: `WHERE n.p IS NULL` and, as all that is
/// written, `SET n.p = …`. Each batch commits its rows and their marks together, so a second run meets only the rest. A
/// subquery that makes or deletes something besides is left to its author's word.
fn excludes_what_is_done(statement: &Statement, text: &str, end: usize) -> bool {
    let word = |at: usize| statement.tokens.get(at).map_or("", |token| &text[token.range.clone()]);
    let is = |at: usize, expected: &str| word(at).eq_ignore_ascii_case(expected);
    let Some(call) = (0..end).find(|at| is(*at, "CALL")) else { return false };
    let writes = ["CREATE", "MERGE", "DELETE", "REMOVE", "FOREACH", "CALL"];
    if (call + 1..end).any(|at| writes.iter().any(|write| is(at, write))) {
        return false;
    }
    // Alternatives would let in again what one of them leaves out.
    if (0..call).any(|at| is(at, "OR") || is(at, "XOR") || is(at, "NOT") || is(at, "OPTIONAL")) {
        return false;
    }
    (0..call.saturating_sub(4)).any(|at| {
        let tested = is(at + 1, ".") && is(at + 3, "IS") && is(at + 4, "NULL");
        tested && sets(statement, text, call + 1..end, (word(at), word(at + 2)))
    })
}

/// Whether the property is set, to anything but null, in these tokens.
fn sets(statement: &Statement, text: &str, inside: std::ops::Range<usize>, property: (&str, &str)) -> bool {
    let word = |at: usize| statement.tokens.get(at).map_or("", |token| &text[token.range.clone()]);
    inside.clone().any(|at| {
        let assigned = (word(at), word(at + 2)) == property && word(at + 1) == "." && word(at + 3) == "=";
        let behind = word(at - 1).eq_ignore_ascii_case("SET") || word(at - 1) == ",";
        // A literal is surely no null; of an expression nobody knows.
        let value = statement.tokens.get(at + 4);
        let literal = value.is_some_and(|token| {
            matches!(token.kind, TokenKind::Text | TokenKind::Number)
                || ["true", "false"].iter().any(|it| text[token.range.clone()].eq_ignore_ascii_case(it))
        });
        // It must be the whole value, so that nothing behind it makes a null of it.
        let whole = matches!(word(at + 5), "," | "}") || word(at + 5).eq_ignore_ascii_case("SET");
        assigned && behind && literal && whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Does> {
        steps(text).0.into_iter().map(|step| step.does).collect()
    }

    fn restartable(text: &str) -> bool {
        match kinds(text).as_slice() {
            [Does::Batches { restartable }] => *restartable,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn data_schema_and_batches() {
        assert_eq!(
            kinds("MATCH (n) SET n.x = 1; RETURN 'CALL {} IN TRANSACTIONS'"),
            [Does::Data, Does::Data]
        );
        for text in [
            "MATCH (n) CALL (n) { SET n.x = 1 } IN TRANSACTIONS",
            "MATCH (n) CALL { WITH n SET n.x = 1 } in 4 concurrent transactions of 100 rows",
            "CYPHER 5 MATCH (n) CALL (n) { SET n.x = 1 } IN CONCURRENT TRANSACTIONS",
            "CALL apoc.periodic.iterate('MATCH (n) RETURN n', 'SET n.x = 1', {})",
        ] {
            assert!(matches!(kinds(text).as_slice(), [Does::Batches { .. }]), "{text}");
        }
        for text in ["CYPHER 5 CREATE INDEX i FOR (n:A) ON (n.x)", "CYPHER runtime=slotted DROP INDEX i"] {
            assert!(matches!(kinds(text).as_slice(), [Does::Schema(_)]), "{text}");
        }
        assert_eq!(
            kinds("MATCH (n) WHERE n.x IN [1] CALL { MATCH (t:TRANSACTIONS) RETURN t } RETURN n"),
            [Does::Data]
        );
    }

    #[test]
    fn restartable_only_where_the_statement_itself_shows_it() {
        assert!(restartable("MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = 'a' } IN TRANSACTIONS"));
        assert!(restartable(
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.y = 1, u.x = true } IN TRANSACTIONS OF 10 ROWS"
        ));
        for text in [
            // The copy that gave 1,500 nodes for 1,000.
            "MATCH (o:Old) CALL (o) { CREATE (n:New) SET n = properties(o) } IN TRANSACTIONS OF 100 ROWS",
            "MATCH (u:User) CALL (u) { SET u.x = u.x + 1 } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.gone IS NULL CALL (u) { SET u.x = 1 } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL OR u.y = 1 CALL (u) { SET u.x = 1 } IN TRANSACTIONS",
            "MATCH (u:User) WHERE NOT u.x IS NULL CALL (u) { SET u.x = 1 } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = null } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = u.y } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = 1 + u.y } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = 1 CREATE (:Log) } IN TRANSACTIONS",
            "MATCH (u:User) WHERE u.x IS NULL CALL (u) { SET u.x = 1 DETACH DELETE u } IN TRANSACTIONS",
        ] {
            assert!(!restartable(text), "{text}");
        }
    }

    #[test]
    fn the_databases_that_are_used() {
        assert_eq!(steps(":use Neo4j;\nRETURN 1;\n:USE `other`\n").1, ["neo4j", "other"]);
    }
}

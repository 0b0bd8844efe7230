//! What a script in Cypher may not hold, found before anything is touched.

use super::super::directives::Role;
use super::super::pattern::Words;
use super::super::split::{Found, Statement};
use super::super::variables::sql_quoting;
use super::super::{Directives, Place, ScriptError};
use super::kinds::{Does, does, prefix, used};
use super::lexer::{Item, scan};
use super::{CypherFault, directives, precondition};

/// Reads the directives of `text` and adds to `errors` all that it may not hold. A script that is more than one
/// transaction says so by `no_transaction`, which here nobody writes: Neo4j decides it.
pub(in super::super) fn examine(
    file: &str,
    text: &str,
    role: Role,
    errors: &mut Vec<ScriptError>,
) -> Directives {
    let mut said = Directives::default();
    let mut kinds = Kinds::default();
    let before = errors.len();
    let mut fault = |at: Place, fault| errors.push(ScriptError::Cypher { at, fault });
    for item in scan(text) {
        match item {
            Ok(Item::Comment(found)) => {
                if let Err(why) = directives::take(&mut said, &text[found.range.clone()], role) {
                    fault(Place::of(file, &found), why);
                }
            }
            Ok(Item::Command(found)) => {
                if let Some(why) = command(&text[found.range.clone()]) {
                    fault(Place::of(file, &found), why);
                }
            }
            Ok(Item::Statement(statement)) => match refusal(&statement, text) {
                Some(why) => fault(begin(file, &statement), why),
                None => kinds.take(file, &statement, does(&statement, text)),
            },
            Err(unclosed) => {
                let at = Place::at(file, text, unclosed.offset);
                errors.push(ScriptError::Unclosed { at, what: unclosed.what });
                return said;
            }
        }
    }
    for (at, comment) in precondition::comments(text) {
        if let Some(Err(why)) = precondition::read(comment) {
            fault(Place::at(file, text, at), why);
        }
    }
    for (at, placeholder) in sql_quoting(text) {
        fault(Place::at(file, text, at), CypherFault::SqlQuoting(placeholder.to_owned()));
    }
    let sound = errors.len() == before;
    if sound && let Some((at, why)) = kinds.fault(role, said.mixed) {
        errors.push(ScriptError::Cypher { at, fault: why });
    }
    said.no_transaction = role == Role::Script && kinds.in_steps();
    said
}

fn begin(file: &str, statement: &Statement) -> Place {
    let found = Found { range: statement.range.clone(), line: statement.line, column: statement.column };
    Place::of(file, &found)
}

fn command(text: &str) -> Option<CypherFault> {
    let word = text.split([' ', '\t', ';']).next().unwrap_or(text);
    if word.eq_ignore_ascii_case(":use") {
        return used(text).is_none().then(|| CypherFault::Use(text.trim_end().to_owned()));
    }
    Some(CypherFault::ShellCommand(word.to_owned()))
}

/// How a statement that is about the server or its users begins.
const WHOLE_SERVER: [&str; 9] = [
    "CREATE OR? REPLACE? DATABASE|COMPOSITE|ALIAS|USER|ROLE|IMMUTABLE",
    "DROP DATABASE|COMPOSITE|ALIAS|USER|ROLE|SERVER",
    "ALTER DATABASE|ALIAS|USER|CURRENT|SERVER",
    "START DATABASE",
    "STOP DATABASE",
    "GRANT",
    "DENY",
    "REVOKE",
    "RENAME USER|ROLE|SERVER",
];

/// Labels of histories, locks and fences; whatever else begins like ours.
const OURS: [&str; 3] = ["__Neo4jMigration", "__Neo4jMigrationsLock", "__Whimbrel"];

fn refusal(statement: &Statement, text: &str) -> Option<CypherFault> {
    let words = Words::of(statement, text);
    let number = statement.number;
    if words.is(0, "EXPLAIN") || (words.is(0, "CYPHER") && words.has("EXPLAIN")) {
        return Some(CypherFault::Explain(number));
    }
    if words.is(prefix(statement, text), "USE") {
        return Some(CypherFault::OtherGraph(number));
    }
    if let Some(words) = WHOLE_SERVER.iter().find_map(|pattern| words.begins(pattern)) {
        return Some(CypherFault::WholeServer { number, words });
    }
    if words.has("USING PERIODIC COMMIT") {
        return Some(CypherFault::PeriodicCommit(number));
    }
    if let Some(how) = ["CONTINUE", "BREAK"].into_iter().find(|how| words.has(&format!("ON ERROR {how}"))) {
        return Some(CypherFault::HiddenErrors(number, how.to_owned()));
    }
    let names = statement.tokens.iter().map(|token| text[token.range.clone()].trim_matches('`'));
    let own = { names }.find(|name| OURS.contains(name) || name.starts_with("__Whimbrel"));
    own.map(|name| CypherFault::OurOwn(number, name.to_owned()))
}

/// The first statement of each kind, with its place.
#[derive(Default)]
struct Kinds {
    data: Option<(Place, usize)>,
    schema: Option<(Place, usize)>,
    batches: Option<(Place, usize)>,
    /// The first change of the schema behind one of the data.
    late_schema: Option<(Place, usize)>,
}

impl Kinds {
    fn take(&mut self, file: &str, statement: &Statement, does: Does) {
        let at = (begin(file, statement), statement.number);
        match does {
            Does::Data => _ = self.data.get_or_insert(at),
            Does::Batches { .. } => _ = self.batches.get_or_insert(at),
            Does::Schema(_) => {
                if self.data.is_some() {
                    self.late_schema.get_or_insert_with(|| at.clone());
                }
                self.schema.get_or_insert(at);
            }
        }
    }

    /// More than one transaction.
    fn in_steps(&self) -> bool {
        self.schema.is_some() || self.batches.is_some()
    }

    fn fault(&self, role: Role, mixed: bool) -> Option<(Place, CypherFault)> {
        if role != Role::Script {
            if let Some((at, number)) = &self.batches {
                return Some((at.clone(), CypherFault::BatchesInside(*number)));
            }
            if role == Role::Repeatable {
                let (at, number) = self.schema.as_ref().filter(|_| self.data.is_some())?;
                return Some((at.clone(), CypherFault::MixedRepeatable(*number)));
            }
            let (at, number) = self.late_schema.as_ref()?;
            return Some((at.clone(), CypherFault::SchemaBehindData(*number)));
        }
        let first = [&self.data, &self.schema, &self.batches];
        let kinds = first.iter().filter(|kind| kind.is_some()).count();
        if mixed {
            let (at, _) = first.into_iter().flatten().next()?;
            return (kinds < 2).then(|| (at.clone(), CypherFault::NothingMixed));
        }
        if let Some((at, batches)) = self.batches.as_ref().filter(|_| kinds > 1) {
            let (_, other) = self.data.as_ref().or(self.schema.as_ref())?;
            return Some((at.clone(), CypherFault::MixedBatches { batches: *batches, other: *other }));
        }
        let ((at, schema), (_, data)) = self.schema.as_ref().zip(self.data.as_ref())?;
        Some((at.clone(), CypherFault::Mixed { schema: *schema, data: *data }))
    }
}

//! What `SHOW INDEXES` and `SHOW CONSTRAINTS` say.

use std::fmt;

use super::change::refused;
use super::connect::text;
use super::own::{About, Own};
use super::packstream::Value;
use super::session::Neo4jSession;
use super::wire::Set;
use crate::engine::{EngineError, ScriptFailure};
use crate::script::cypher::{Object, Step};

/// How far an index is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Online,
    /// In percent.
    Populating(f64),
    /// With the server's words.
    Failed(String),
}

/// A constraint or an index as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) constraint: bool,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) relationships: bool,
    pub(super) labels: Vec<String>,
    pub(super) properties: Vec<String>,
    pub(super) state: State,
}

/// What has this name or is about these properties: of a list of hundreds, all that a change of the schema has to do with.
macro_rules! about_it {
    () => {
        "WHERE name = $name OR (labelsOrTypes = $labels AND properties = $properties)"
    };
}

/// Indexes that belong to a constraint are that constraint; its state is theirs.
const INDEXES: &str = concat!(
    "SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, state, populationPercent, failureMessage, \
    owningConstraint ",
    about_it!()
);
const CONSTRAINTS: &str = concat!(
    "SHOW CONSTRAINTS YIELD name, type, entityType, labelsOrTypes, properties, ownedIndex ",
    about_it!()
);

impl Listed {
    /// As the script wants it.
    pub(super) fn of(object: &Object) -> Self {
        Self {
            constraint: object.constraint,
            name: object.name.clone().unwrap_or_default(),
            kind: object.kind.clone(),
            relationships: object.relationships,
            labels: object.labels.clone(),
            properties: object.properties.clone(),
            state: State::Online,
        }
    }

    /// Whether this is what the script wants, whatever it is called.
    pub(super) fn is(&self, object: &Object) -> bool {
        self.constraint == object.constraint
            && self.kind == object.kind
            && self.relationships == object.relationships
            && self.labels == object.labels
            && self.properties == object.properties
    }

    /// Whether this is exactly what the script wants, name and all where it gives one.
    pub(super) fn is_wanted(&self, object: &Object) -> bool {
        self.is(object) && object.name.as_ref().is_none_or(|name| self.name == *name)
    }
}

/// `the UNIQUENESS constraint on (:User {id})`
impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.constraint { "constraint" } else { "index" };
        let (labels, properties) = (self.labels.join("|"), self.properties.join(", "));
        if self.relationships {
            write!(f, "the {} {what} on [:{labels} {{{properties}}}]", self.kind)
        } else {
            write!(f, "the {} {what} on (:{labels} {{{properties}}})", self.kind)
        }
    }
}

/// Whether a row of [`INDEXES`] belongs to a constraint.
fn is_owned(row: &[Value]) -> bool {
    !text(row.get(8)).is_empty()
}

/// Reads the rows of both lists.
pub(super) fn listed(indexes: &[Vec<Value>], constraints: &[Vec<Value>]) -> Vec<Listed> {
    let texts = |value: Option<&Value>| value.map(Value::texts).unwrap_or_default();
    let read = |row: &Vec<Value>, constraint: bool, state: State| Listed {
        constraint,
        name: text(row.first()),
        kind: text(row.get(1)),
        relationships: text(row.get(2)) == "RELATIONSHIP",
        labels: texts(row.get(3)),
        properties: texts(row.get(4)),
        state,
    };
    let state = |row: &Vec<Value>| match (text(row.get(5)).as_str(), row.get(6)) {
        ("ONLINE", _) => State::Online,
        ("FAILED", _) => {
            let why = text(row.get(7));
            State::Failed(why.split_whitespace().take(40).collect::<Vec<_>>().join(" "))
        }
        (_, Some(Value::Float(percent))) => State::Populating(*percent),
        _ => State::Populating(0.0),
    };
    let owned = |row: &Vec<Value>| {
        let index = indexes.iter().find(|index| text(index.first()) == text(row.get(5)));
        index.map_or(State::Online, state)
    };
    let own = indexes.iter().filter(|row| !is_owned(row));
    own.map(|row| read(row, false, state(row)))
        .chain(constraints.iter().map(|row| read(row, true, owned(row))))
        .collect()
}

/// What finds all that a change of the schema has to do with.
fn parameters(name: Option<&str>, about: Option<(&[String], &[String])>) -> Value {
    let texts = |texts: &[String]| Value::List(texts.iter().map(Value::text).collect());
    Value::map([
        ("name", name.map_or(Value::Null, Value::text)),
        ("labels", about.map_or(Value::Null, |(labels, _)| texts(labels))),
        ("properties", about.map_or(Value::Null, |(_, properties)| texts(properties))),
    ])
}

/// What is asked before one like `object` is made.
pub(super) fn question(object: &Object) -> Own<'static> {
    let about = Some((&object.labels[..], &object.properties[..]));
    Own { query: INDEXES, parameters: parameters(object.name.as_deref(), about), about: About::Nothing }
}

impl Neo4jSession {
    /// What there is of the name of `object`, or with its properties.
    pub(super) async fn listed(&mut self, object: &Object) -> Result<Vec<Listed>, ScriptFailure> {
        self.listed_as(object.name.as_deref(), Some((&object.labels, &object.properties))).await
    }

    /// The constraint, or the index, of this name.
    pub(super) async fn named(
        &mut self,
        constraint: bool,
        name: &str,
    ) -> Result<Option<Listed>, ScriptFailure> {
        let mut listed = self.listed_as(Some(name), None).await?.into_iter();
        Ok(listed.find(|one| one.name == name && one.constraint == constraint))
    }

    /// Of this name, or with these labels and properties. Nothing equals what is not given.
    async fn listed_as(
        &mut self,
        name: Option<&str>,
        about: Option<(&[String], &[String])>,
    ) -> Result<Vec<Listed>, ScriptFailure> {
        let parameters = parameters(name, about);
        let lost = |error: EngineError| ScriptFailure::Lost { reason: error.to_string() };
        let Self { connection, settings, .. } = self;
        if connection.server.enterprise {
            let both = connection.read_both(settings, [INDEXES, CONSTRAINTS], parameters).await;
            let [indexes, constraints] = both.map_err(lost)?;
            return Ok(listed(&indexes.rows, &constraints.rows));
        }
        // Community has uniqueness only, and each such constraint owns an index: most often there is none to ask for.
        let indexes = connection.read(settings, INDEXES, parameters.clone()).await.map_err(lost)?;
        let constraints = match indexes.rows.iter().any(|row| is_owned(row)) {
            true => connection.read(settings, CONSTRAINTS, parameters).await.map_err(lost)?,
            false => Set::default(),
        };
        Ok(listed(&indexes.rows, &constraints.rows))
    }

    /// Refuses a constraint that the data violate, with how many nodes do and which, before the server is asked: it would
    /// name two of them, and their values.
    pub(super) async fn duplicates(
        &mut self,
        file: &str,
        step: &Step,
        object: &Object,
    ) -> Result<(), ScriptFailure> {
        let quoted = |name: &String| format!("`{}`", name.replace('`', "``"));
        let Some(label) = object.labels.first().map(quoted) else { return Ok(()) };
        let properties: Vec<String> =
            object.properties.iter().map(|name| format!("n.{}", quoted(name))).collect();
        let all: Vec<String> = properties.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let query = format!(
            "MATCH (n:{label}) WHERE {} WITH [{}] AS value, collect(elementId(n)) AS nodes WHERE size(nodes) > 1 \
             RETURN count(*), sum(size(nodes)), collect(nodes[..3])[..3]",
            all.join(" AND "),
            properties.join(", "),
        );
        let found = self.connection.read(&self.settings, &query, Value::map([])).await;
        let found = found.map_err(|error| ScriptFailure::Lost { reason: error.to_string() })?;
        let row = found.rows.first().cloned().unwrap_or_default();
        let (values, nodes) = (super::history::number(row.first()), super::history::number(row.get(1)));
        if values == 0 {
            return Ok(());
        }
        let examples = match row.get(2) {
            Some(Value::List(groups)) => {
                groups.iter().map(|group| group.texts().join(" and ")).collect::<Vec<_>>().join("; ")
            }
            _ => String::new(),
        };
        let (value, values) =
            if values == 1 { ("value", "1".to_owned()) } else { ("values", values.to_string()) };
        Err(refused(
            file,
            step,
            "Duplicates",
            format!(
                "{values} {value} of {} stand on more than one :{} node, {nodes} nodes in all: {examples}",
                object.properties.join(", "),
                object.labels.join("|")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_constraint_is_that_of_its_index() {
        let list = |names: &[&str]| Value::List(names.iter().map(|name| Value::text(*name)).collect());
        let index = |name: &str, state: &str, owner: Value| {
            vec![
                Value::text(name),
                Value::text("RANGE"),
                Value::text("NODE"),
                list(&["A"]),
                list(&["x"]),
                Value::text(state),
                Value::Float(40.0),
                Value::text("too long"),
                owner,
            ]
        };
        let constraint = vec![
            Value::text("c"),
            Value::text("UNIQUENESS"),
            Value::text("NODE"),
            list(&["A"]),
            list(&["x"]),
            Value::text("c"),
        ];
        let rows = [index("c", "POPULATING", Value::text("c")), index("i", "FAILED", Value::Null)];
        let listed = listed(&rows, &[constraint]);
        let seen: Vec<_> =
            listed.iter().map(|one| (one.name.as_str(), one.constraint, one.state.clone())).collect();
        assert_eq!(
            seen,
            [("i", false, State::Failed("too long".to_owned())), ("c", true, State::Populating(40.0))]
        );
        assert_eq!(listed[1].to_string(), "the UNIQUENESS constraint on (:A {x})");
    }
}

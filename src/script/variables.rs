//! Values that stand in a step's texts as `${name}`, `${name:literal}`, `${name:ident}` and the like.
//!
//! - Filled everywhere in a text, in comments and in dollar-quoted bodies too, as Flyway fills its placeholders; what was
//!   filled in is not looked at again.
//! - Only what has this shape is a placeholder. A `${name}` that shall stay is written `${dollar}{name}`, with a variable
//!   `dollar` whose value is `$`.
//! - `literal` and `ident` quote as PostgreSQL reads it, `cypher` (a string) and `label` (a name) as Neo4j does; a bare
//!   `${name}` is put in as it is, and so is `${nm:name}`, as neo4j-migrations writes it.
//!
//! A text without variables is never looked at. Values are in no checksum, and none that came from a Secret is shown.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The values of a step's variables, by name.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, Value>);

/// One value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// What is filled in.
    pub text: String,
    /// Whether it came from a Secret: then nobody is shown it.
    pub secret: bool,
}

/// Placeholders that quote as SQL does, `${name:literal}` and `${name:ident}`, with the byte at which each begins: in a
/// language that quotes otherwise they are a mistake.
pub(super) fn sql_quoting(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("${").filter_map(|(at, _)| {
        let placeholder = &text[at..=at + text[at..].find('}')?];
        (placeholder.ends_with(":literal}") || placeholder.ends_with(":ident}")).then_some((at, placeholder))
    })
}

/// Names only: what is logged or put into a panic must not hold a password.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// A placeholder that can't be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// No variable of this name.
    #[error(
        "line {line}: {placeholder} is no variable of the step, which has {known}; declare it, or write ${{dollar}}{{…}} with a variable dollar whose value is $"
    )]
    Unknown {
        /// Line in the text, from 1.
        line: usize,
        /// As it was written.
        placeholder: String,
        /// The names that the step has.
        known: String,
    },
    /// No way of quoting.
    #[error(
        "line {line}: {placeholder}: a value is quoted as literal or as ident, in Cypher as cypher or as label, or not at all"
    )]
    Form {
        /// Line in the text, from 1.
        line: usize,
        /// As it was written.
        placeholder: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form<'t> {
    Bare,
    Literal,
    Ident,
    /// A string of Cypher.
    Cypher,
    /// A name of Cypher.
    Label,
    Other(&'t str),
}

/// A placeholder and where it stands, in bytes.
struct Placeholder<'t> {
    range: Range<usize>,
    name: &'t str,
    form: Form<'t>,
}

impl Values {
    /// Values by name.
    pub fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them came from a Secret.
    pub fn have_secrets(&self) -> bool {
        self.0.values().any(|value| value.secret)
    }

    /// As [`Values::fill`], without a copy where there are no values.
    pub fn filled<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(self.fill(text)) }
    }

    /// A text with its placeholders filled; what [`Values::check`] refuses stays as it is.
    pub fn fill(&self, text: &str) -> String {
        let (mut filled, mut at) = (String::with_capacity(text.len()), 0);
        for placeholder in self.placeholders(text) {
            let Some(value) = self.quoted(&placeholder) else { continue };
            filled.push_str(&text[at..placeholder.range.start]);
            filled.push_str(&value);
            at = placeholder.range.end;
        }
        filled.push_str(&text[at..]);
        filled
    }

    /// Everything that can't be filled, in order. Nothing where no variable is declared.
    pub fn check(&self, text: &str) -> Vec<PlaceholderError> {
        let known = || self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.placeholders(text)
            .filter_map(|found| {
                let line = place(text, found.range.start).0;
                let placeholder = text[found.range.clone()].to_owned();
                match found.form {
                    _ if !self.0.contains_key(found.name) => {
                        Some(PlaceholderError::Unknown { line, placeholder, known: known() })
                    }
                    Form::Other(_) => Some(PlaceholderError::Form { line, placeholder }),
                    _ => None,
                }
            })
            .collect()
    }

    /// The lines in which a secret stands bare: whoever can write that Secret writes the script.
    pub fn bare_secrets(&self, text: &str) -> Vec<usize> {
        let bare = |found: &Placeholder<'_>| {
            found.form == Form::Bare && self.0.get(found.name).is_some_and(|value| value.secret)
        };
        self.placeholders(text).filter(bare).map(|found| place(text, found.range.start).0).collect()
    }

    /// A place in the filled text as the place in the text as it was written, both line and column from 1. Inside a
    /// value it is that of its placeholder.
    pub fn as_written(&self, text: &str, line: u32, column: Option<u32>) -> (u32, Option<u32>) {
        if self.is_empty() {
            return (line, column);
        }
        let filled = self.fill(text);
        let mut before = filled.split_inclusive('\n');
        let start: usize = before.by_ref().take(line.saturating_sub(1) as usize).map(str::len).sum();
        let skip = column.unwrap_or(1).saturating_sub(1) as usize;
        let inside = filled[start..].char_indices().nth(skip).map_or(filled.len() - start, |(at, _)| at);
        let (line, at) = place(text, self.origin(text, start + inside));
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(line), column.map(|_| number(at)))
    }

    /// Text of others without what came from Secrets, as it is or quoted.
    pub fn hide(&self, text: &str) -> String {
        let mut secrets: Vec<(String, &String)> = Vec::new();
        for (name, value) in self.0.iter().filter(|(_, value)| value.secret && !value.text.is_empty()) {
            secrets.push((value.text.clone(), name));
            secrets.push((value.text.replace('\'', "''"), name));
            secrets.push((value.text.replace('"', "\"\""), name));
            secrets.push((value.text.replace('\\', "\\\\").replace('\'', "''"), name));
            secrets.push((value.text.replace('\\', "\\\\").replace('\'', "\\'"), name));
            // A server quotes the line at which it stumbled.
            secrets
                .extend(value.text.lines().filter(|line| line.len() > 3).map(|line| (line.to_owned(), name)));
        }
        // The longest first: one secret may hold another.
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        secrets
            .into_iter()
            .fold(text.to_owned(), |text, (secret, name)| text.replace(&secret, &format!("${{{name}}}")))
    }

    /// Where in the text a byte of the filled text comes from.
    fn origin(&self, text: &str, offset: usize) -> usize {
        // `grown` is how far the filled text is ahead of the written one.
        let mut grown = 0_isize;
        for placeholder in self.placeholders(text) {
            let Some(value) = self.quoted(&placeholder) else { continue };
            let start = placeholder.range.start.saturating_add_signed(grown);
            if offset < start {
                break;
            }
            if offset < start + value.len() {
                return placeholder.range.start;
            }
            grown += value.len().cast_signed() - placeholder.range.len().cast_signed();
        }
        offset.saturating_add_signed(-grown)
    }

    fn quoted(&self, placeholder: &Placeholder<'_>) -> Option<String> {
        let value = &self.0.get(placeholder.name)?.text;
        match placeholder.form {
            Form::Bare => Some(value.clone()),
            Form::Literal => Some(literal(value)),
            Form::Ident => Some(format!("\"{}\"", value.replace('"', "\"\""))),
            Form::Cypher => Some(cypher(value)),
            Form::Label => Some(format!("`{}`", value.replace('`', "``"))),
            Form::Other(_) => None,
        }
    }

    fn placeholders<'t>(&self, text: &'t str) -> impl Iterator<Item = Placeholder<'t>> + use<'t> {
        let text = if self.is_empty() { "" } else { text };
        text.match_indices("${").filter_map(|(at, _)| read(text, at))
    }
}

/// Line and column of a byte, both from 1, columns in characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

/// The placeholder that begins here, if its shape is that of one.
fn read(text: &str, at: usize) -> Option<Placeholder<'_>> {
    let rest = &text[at + 2..];
    let inside = &rest[..rest.find('}')?];
    let (name, form) = inside.split_once(':').map_or((inside, Form::Bare), |(name, form)| {
        let form = match form {
            "literal" => Form::Literal,
            "ident" => Form::Ident,
            "cypher" => Form::Cypher,
            "label" => Form::Label,
            other => Form::Other(other),
        };
        (name, form)
    });
    let (name, form) = match inside.strip_prefix("nm:") {
        Some(name) => (name, Form::Bare),
        None => (name, form),
    };
    let word = |text: &str| {
        let mut chars = text.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_one = word(name) && !matches!(form, Form::Other(form) if !word(form));
    is_one.then(|| Placeholder { range: at..at + inside.len() + 3, name, form })
}

/// As libpq quotes it: `E''` where there is a backslash, so that no setting of the session can change what it means.
fn literal(value: &str) -> String {
    let quotes = value.replace('\'', "''");
    match value.contains('\\') {
        true => format!(" E'{}'", quotes.replace('\\', "\\\\")),
        false => format!("'{quotes}'"),
    }
}

/// As Cypher reads it: a backslash takes the quote behind it into the string.
fn cypher(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let value = |text: &str, secret| Value { text: text.to_owned(), secret };
        Values::new(BTreeMap::from([
            ("schema".to_owned(), value("shop", false)),
            ("password".to_owned(), value(r"it's a \ secret", true)),
            ("odd".to_owned(), value(r#"a"b"#, false)),
            ("lines".to_owned(), value("one\ntwo", false)),
            ("dollar".to_owned(), value("$", false)),
        ]))
    }

    #[test]
    fn a_placeholder_is_filled_wherever_it_stands() {
        for (text, filled) in [
            ("create table ${schema}.t (i int);", "create table shop.t (i int);"),
            ("create table ${odd:ident}.t", r#"create table "a""b".t"#),
            ("select ${schema:literal}", "select 'shop'"),
            ("alter role r password ${password:literal}", r"alter role r password  E'it''s a \\ secret'"),
            (
                "do $$ begin perform '${schema}'; end $$ -- ${schema}",
                "do $$ begin perform 'shop'; end $$ -- shop",
            ),
            ("create (:${odd:label} {a: ${password:cypher}})", r#"create (:`a"b` {a: 'it\'s a \\ secret'})"#),
            ("match (n:${nm:schema})", "match (n:shop)"),
            ("select '${dollar}{schema}'", "select '${schema}'"),
            (r#"select $${"a": 1}$$, '$1', ${schema}"#, r#"select $${"a": 1}$$, '$1', shop"#),
            ("select $${schema}$$", "select $shop$$"),
            ("äöü${schema}ß${ schema }${", "äöüshopß${ schema }${"),
        ] {
            assert_eq!(values().fill(text), filled);
            assert_eq!(values().check(text), [], "{text}");
        }
    }

    #[test]
    fn what_nobody_declared_is_an_error_only_where_something_is() {
        let text = "select 1;\nselect ${nobody}, ${schema:quoted}, ${flyway:timestamp};";
        let said: Vec<String> = values().check(text).iter().map(ToString::to_string).collect();
        let known = "the step, which has dollar, lines, odd, password, schema; declare it, or write ${dollar}{…} with a variable dollar whose value is $";
        assert_eq!(
            said,
            [
                format!("line 2: ${{nobody}} is no variable of {known}"),
                "line 2: ${schema:quoted}: a value is quoted as literal or as ident, in Cypher as cypher or as label, or not at all".into(),
                format!("line 2: ${{flyway:timestamp}} is no variable of {known}"),
            ]
        );
        assert_eq!(Values::default().check(text), []);
        assert_eq!(Values::default().fill(text), text);
    }

    #[test]
    fn a_place_is_that_of_the_text_as_it_was_written() {
        let text = "-- ${lines}\nselect ${schema}, ü${lines}, bad;\nlast";
        let filled = values().fill(text);
        let place = |needle: &str| {
            let (line, column) = place(&filled, filled.find(needle).unwrap());
            values().as_written(text, u32::try_from(line).unwrap(), u32::try_from(column).ok())
        };
        assert_eq!(place("select"), (2, Some(1)));
        assert_eq!(place("shop"), (2, Some(8)));
        assert_eq!(place("hop"), (2, Some(8)), "inside a value");
        assert_eq!(place("bad"), (2, Some(30)));
        assert_eq!(place("last"), (3, Some(1)));
        assert_eq!(values().as_written(text, 99, None), (3, None));
        assert_eq!(Values::default().as_written("x", 7, Some(3)), (7, Some(3)));
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?} {:?}", values(), values().0["password"]);
        assert!(!shown.contains("secret'") && !shown.contains("it's"), "{shown}");
        let said = r#"syntax error at or near "it's a \ secret", E'it''s a \\ secret' of shop"#;
        let hidden = values().hide(said);
        assert_eq!(hidden, r#"syntax error at or near "${password}", E'${password}' of shop"#);
    }

    #[test]
    fn a_bare_secret_is_found() {
        let text = "set ${password};\nselect ${password:literal}, ${schema};\nset ${password}";
        assert_eq!(values().bare_secrets(text), [1, 3]);
    }
}

//! What a check expects and whether it holds. Pure.
//!
//! What a database answers is never shown: it may be a person's data. Whole numbers are, because a count says what is
//! wrong and whose data it is not.

mod number;

use serde::{Deserialize, Serialize};

use crate::api::ApiError;
use crate::api::plan::{IntOrString, QueryExpect};
use number::Number;

/// What the answer to a query must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// The first column of the first row is this. Two numbers are compared as numbers (`5` is `5.0`), and `true` and
    /// `false` are also `t` and `f`, as PostgreSQL writes them.
    Equals(String),
    /// It is a number that is not less.
    AtLeast(String),
    /// It is a number that is not more.
    AtMost(String),
    /// There are so many rows.
    Rows(u64),
}

/// Whether an answer is as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Passed,
    /// It is not.
    Failed {
        /// One sentence with what was expected, and what was found if that is a whole number.
        why: String,
    },
    /// It can't be told: a person decides.
    Inconclusive {
        /// One sentence.
        why: String,
    },
}

/// An expectation that no answer could be held against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// None of the members, or several.
    #[error(transparent)]
    NotOne(#[from] ApiError),
    /// A bound that is no number.
    #[error("expect.{member}: {value:?} is no number: write it as 12 or \"12.5\"")]
    NoNumber {
        /// `atLeast` or `atMost`.
        member: &'static str,
        /// What stands there.
        value: String,
    },
    /// A number of rows that no query gives.
    #[error("expect.rows: {0} is below zero")]
    NegativeRows(i64),
}

impl TryFrom<&QueryExpect> for Expect {
    type Error = ExpectError;

    fn try_from(expect: &QueryExpect) -> Result<Self, ExpectError> {
        let bound = |member, value: &IntOrString| {
            let value = value.to_string();
            match Number::parse(&value) {
                Some(_) => Ok(value),
                None => Err(ExpectError::NoNumber { member, value }),
            }
        };
        match (&expect.equals, &expect.at_least, &expect.at_most, expect.rows) {
            (Some(value), None, None, None) => Ok(Expect::Equals(value.to_string())),
            (None, Some(value), None, None) => bound("atLeast", value).map(Expect::AtLeast),
            (None, None, Some(value), None) => bound("atMost", value).map(Expect::AtMost),
            (None, None, None, Some(rows)) => {
                u64::try_from(rows).map(Expect::Rows).map_err(|_| ExpectError::NegativeRows(rows))
            }
            (equals, at_least, at_most, rows) => {
                let set = [equals.is_some(), at_least.is_some(), at_most.is_some(), rows.is_some()];
                let found = set.into_iter().filter(|set| *set).count();
                Err(ApiError::NotOne { owner: "a query check".to_owned(), union: "expect", found }.into())
            }
        }
    }
}

impl Expect {
    /// Whether `rows` are as expected; `truncated` says that there were more of them than were read.
    pub fn holds(&self, rows: &[Vec<Option<String>>], truncated: bool) -> Verdict {
        match self {
            Expect::Rows(expected) => count(*expected, rows.len() as u64, truncated),
            Expect::Equals(expected) => match first(rows) {
                Ok(found) if equals(expected, found) => Verdict::Passed,
                Ok(found) => self.failed(found),
                Err(why) => self.inconclusive(why),
            },
            Expect::AtLeast(bound) => self.compare(bound, rows, |found, bound| found >= bound),
            Expect::AtMost(bound) => self.compare(bound, rows, |found, bound| found <= bound),
        }
    }

    fn compare(
        &self,
        bound: &str,
        rows: &[Vec<Option<String>>],
        holds: fn(Number, Number) -> bool,
    ) -> Verdict {
        let found = match first(rows) {
            Ok(found) => found,
            Err(why) => return self.inconclusive(why),
        };
        match (Number::parse(found), Number::parse(bound)) {
            (Some(number), Some(bound)) if holds(number, bound) => Verdict::Passed,
            (Some(_), Some(_)) => self.failed(found),
            _ => self.inconclusive("the answer is no number that can be compared"),
        }
    }

    fn failed(&self, found: &str) -> Verdict {
        let found = match found.parse::<i64>() {
            Ok(number) => number.to_string(),
            Err(_) => "another value".to_owned(),
        };
        Verdict::Failed { why: format!("expected {}, got {found}", self.words()) }
    }

    fn inconclusive(&self, why: &str) -> Verdict {
        Verdict::Inconclusive { why: format!("expected {}, but {why}", self.words()) }
    }

    fn words(&self) -> String {
        match self {
            Expect::Equals(value) => value.clone(),
            Expect::AtLeast(bound) => format!("at least {bound}"),
            Expect::AtMost(bound) => format!("at most {bound}"),
            Expect::Rows(1) => "1 row".to_owned(),
            Expect::Rows(count) => format!("{count} rows"),
        }
    }
}

fn count(expected: u64, found: u64, truncated: bool) -> Verdict {
    let words = Expect::Rows(expected).words();
    match (expected == found, truncated) {
        (true, false) => Verdict::Passed,
        (false, false) => Verdict::Failed { why: format!("expected {words}, got {found}") },
        (_, true) if expected <= found => Verdict::Failed { why: format!("expected {words}, got more") },
        (_, true) => Verdict::Inconclusive {
            why: format!("expected {words}, but only {found} are read: count them in the query"),
        },
    }
}

/// The first column of the first row.
fn first(rows: &[Vec<Option<String>>]) -> Result<&str, &'static str> {
    let row = rows.first().ok_or("the query gave no row")?;
    let column = row.first().ok_or("the query gave no column")?;
    column.as_deref().ok_or("the answer is NULL")
}

fn equals(expected: &str, found: &str) -> bool {
    match (Number::parse(expected), Number::parse(found)) {
        (Some(expected), Some(found)) => expected == found,
        _ => expected == found || matches!((expected, found), ("true", "t") | ("false", "f")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> Vec<Vec<Option<String>>> {
        vec![vec![Some(value.to_owned()), Some("other column".to_owned())], vec![]]
    }

    fn failed(why: &str) -> Verdict {
        Verdict::Failed { why: why.to_owned() }
    }

    fn inconclusive(why: &str) -> Verdict {
        Verdict::Inconclusive { why: why.to_owned() }
    }

    #[test]
    fn values() {
        let (equals, at_least, at_most) = (
            |value: &str| Expect::Equals(value.to_owned()),
            |value: &str| Expect::AtLeast(value.to_owned()),
            |value: &str| Expect::AtMost(value.to_owned()),
        );
        let cases = [
            (equals("0"), "0", Verdict::Passed),
            (equals("5"), "5.00", Verdict::Passed),
            (equals("active"), "active", Verdict::Passed),
            (equals("true"), "t", Verdict::Passed),
            (equals("false"), "t", failed("expected false, got another value")),
            (equals("0"), "3", failed("expected 0, got 3")),
            (equals("0"), "ada@example.org", failed("expected 0, got another value")),
            (equals("active"), "Active", failed("expected active, got another value")),
            (at_least("1"), "1", Verdict::Passed),
            (at_least("1"), "0", failed("expected at least 1, got 0")),
            (at_least("0.5"), "0.25", failed("expected at least 0.5, got another value")),
            (at_most("10"), "9", Verdict::Passed),
            (at_most("10"), "11", failed("expected at most 10, got 11")),
            (at_most("10"), "-3.5", Verdict::Passed),
            (
                at_least("1"),
                "many",
                inconclusive("expected at least 1, but the answer is no number that can be compared"),
            ),
        ];
        for (expect, found, verdict) in cases {
            assert_eq!(expect.holds(&one(found), false), verdict, "{expect:?} {found}");
            assert_eq!(expect.holds(&one(found), true), verdict, "the rest of the rows does not matter");
        }
    }

    #[test]
    fn nothing_to_compare() {
        let expect = Expect::Equals("0".to_owned());
        let verdict = |rows: &[Vec<Option<String>>]| expect.holds(rows, false);
        assert_eq!(verdict(&[]), inconclusive("expected 0, but the query gave no row"));
        assert_eq!(verdict(&[vec![]]), inconclusive("expected 0, but the query gave no column"));
        assert_eq!(verdict(&[vec![None]]), inconclusive("expected 0, but the answer is NULL"));
    }

    #[test]
    fn rows() {
        let three = vec![vec![None]; 3];
        let cases = [
            (3, false, Verdict::Passed),
            (1, false, failed("expected 1 row, got 3")),
            (0, false, failed("expected 0 rows, got 3")),
            (4, false, failed("expected 4 rows, got 3")),
            (3, true, failed("expected 3 rows, got more")),
            (4, true, inconclusive("expected 4 rows, but only 3 are read: count them in the query")),
        ];
        for (expected, truncated, verdict) in cases {
            assert_eq!(Expect::Rows(expected).holds(&three, truncated), verdict, "{expected} {truncated}");
        }
        assert_eq!(Expect::Rows(0).holds(&[], false), Verdict::Passed);
    }

    #[test]
    fn from_a_plan() {
        let read = |yaml: &str| Expect::try_from(&serde_saphyr::from_str::<QueryExpect>(yaml).unwrap());
        assert_eq!(read("{equals: 0}"), Ok(Expect::Equals("0".to_owned())));
        assert_eq!(read("{equals: active}"), Ok(Expect::Equals("active".to_owned())));
        assert_eq!(read("{atLeast: 1}"), Ok(Expect::AtLeast("1".to_owned())));
        assert_eq!(read("{atMost: \"12.5\"}"), Ok(Expect::AtMost("12.5".to_owned())));
        assert_eq!(read("{rows: 2}"), Ok(Expect::Rows(2)));
        let message = |yaml| read(yaml).unwrap_err().to_string();
        assert_eq!(
            message("{atLeast: many}"),
            "expect.atLeast: \"many\" is no number: write it as 12 or \"12.5\""
        );
        assert_eq!(message("{rows: -1}"), "expect.rows: -1 is below zero");
        let not_one =
            |found: u8| format!("a query check has {found} of its expect members, exactly one is needed");
        assert_eq!([message("{}"), message("{equals: 0, rows: 1}")], [not_one(0), not_one(2)]);
    }
}

//! Which scripts of a bundle are left to apply, given the rows of a history.

use std::collections::BTreeMap;

use super::{Bundle, HistoryRow, Kind, Script, Version};

/// What a plan allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A pending script below an applied one. Default: reject.
    pub out_of_order: OutOfOrder,
    /// An applied script that the bundle does not have. Default: ignore.
    pub missing: Missing,
    /// The last version to apply. Repeatable scripts run whatever it is. Default: all.
    pub to: Option<Version>,
}

/// A pending script below an applied one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfOrder {
    /// It is an error.
    #[default]
    Reject,
    /// It is applied.
    Allow,
}

/// An applied script that the bundle does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// A bundle may hold only the new scripts.
    #[default]
    Ignore,
    /// It is an error.
    Reject,
}

/// The scripts that are left, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// By version.
    pub versioned: Vec<Script>,
    /// By description: those that never ran, or last ran with another checksum.
    pub repeatable: Vec<Script>,
}

impl Pending {
    /// All of them, in order.
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.versioned.iter().chain(&self.repeatable)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.versioned.is_empty() && self.repeatable.is_empty()
    }
}

/// Why a bundle does not fit a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// An applied script was edited.
    #[error(
        "{file} was edited after it was applied: the history has {applied}, the source has {found}: put the old text back, or write the change as a new version"
    )]
    Edited {
        /// The file of the source.
        file: String,
        /// The checksum in the history.
        applied: String,
        /// The checksum in the source.
        found: String,
    },
    /// A pending script below an applied one.
    #[error(
        "{file} is below {newest}, which is applied: give it a version above {newest_version}, or set outOfOrder: Allow"
    )]
    OutOfOrder {
        /// The pending script.
        file: String,
        /// The file of the newest applied script.
        newest: String,
        /// Its version.
        newest_version: Version,
    },
    /// `to` would be a downgrade.
    #[error(
        "to: {to} is below version {applied}, which is applied: whimbrel never downgrades, set to: {applied} or above"
    )]
    ToBelowApplied {
        /// What the plan asks for.
        to: Version,
        /// The newest applied version.
        applied: Version,
    },
    /// `to` pins a bundle that is not there (yet).
    #[error(
        "to: {to} is neither in the source nor applied: the source is not the one that the plan means, or not there yet"
    )]
    PinnedAbsent {
        /// What the plan asks for.
        to: Version,
    },
    /// An applied script that the source does not have, where that is not allowed.
    #[error("{file} is applied and not in the source: put it back, or set missing: Ignore")]
    Missing {
        /// The file's name when it was applied.
        file: String,
    },
    /// A history that says twice that one script is applied.
    #[error(
        "the history has {count} rows for version {version}, there can be one: somebody else wrote to it"
    )]
    DuplicateRow {
        /// The version.
        version: Version,
        /// How many rows.
        count: usize,
    },
}

impl OrderError {
    /// A stable word for metrics, status and tests.
    pub fn code(&self) -> &'static str {
        match self {
            OrderError::Edited { .. } => "Edited",
            OrderError::OutOfOrder { .. } => "OutOfOrder",
            OrderError::ToBelowApplied { .. } => "ToBelowApplied",
            OrderError::PinnedAbsent { .. } => "PinnedAbsent",
            OrderError::Missing { .. } => "Missing",
            OrderError::DuplicateRow { .. } => "DuplicateRow",
        }
    }
}

/// The scripts of `bundle` that are left to apply on a history with `rows`.
///
/// # Errors
/// All reasons why the bundle does not fit the history, in the order of the versions.
pub fn pending(bundle: &Bundle, rows: &[HistoryRow], policy: &Policy) -> Result<Pending, Vec<OrderError>> {
    let history = History::of(rows);
    let mut errors = history.duplicates();
    errors.extend(policy.to.as_ref().and_then(|to| pin(to, bundle, &history)));
    errors.extend(edited(bundle, &history));
    if policy.missing == Missing::Reject {
        errors.extend(missing(bundle, rows));
    }
    let wanted = |version: &Version| policy.to.as_ref().is_none_or(|to| version <= to);
    let mut pending = Pending::default();
    for script in &bundle.scripts {
        match &script.version {
            None if !history
                .last_checksum(&script.key)
                .is_some_and(|applied| script.has_checksum(applied)) =>
            {
                pending.repeatable.push(script.clone());
            }
            Some(version) if !history.versioned.contains_key(version) && wanted(version) => {
                if policy.out_of_order == OutOfOrder::Reject {
                    errors.extend(below_newest(script, version, &history));
                }
                pending.versioned.push(script.clone());
            }
            _ => {}
        }
    }
    if errors.is_empty() { Ok(pending) } else { Err(errors) }
}

/// The rows by what they are about.
struct History<'a> {
    versioned: BTreeMap<&'a Version, Vec<&'a HistoryRow>>,
    /// The last run of each repeatable script, by key.
    repeatable: BTreeMap<&'a str, &'a HistoryRow>,
}

impl<'a> History<'a> {
    fn of(rows: &'a [HistoryRow]) -> Self {
        let mut history = History { versioned: BTreeMap::new(), repeatable: BTreeMap::new() };
        for row in rows {
            match &row.version {
                Some(version) => history.versioned.entry(version).or_default().push(row),
                None => {
                    let last = history.repeatable.entry(&row.key).or_insert(row);
                    if last.installed_rank < row.installed_rank {
                        *last = row;
                    }
                }
            }
        }
        history
    }

    fn newest(&self) -> Option<(&'a Version, &'a HistoryRow)> {
        self.versioned.last_key_value().and_then(|(version, rows)| Some((*version, *rows.first()?)))
    }

    fn last_checksum(&self, key: &str) -> Option<&'a String> {
        self.repeatable.get(key).map(|row| &row.checksum)
    }

    fn duplicates(&self) -> Vec<OrderError> {
        let twice = self.versioned.iter().filter(|(_, rows)| rows.len() > 1);
        twice
            .map(|(version, rows)| OrderError::DuplicateRow {
                version: (*version).clone(),
                count: rows.len(),
            })
            .collect()
    }
}

fn pin(to: &Version, bundle: &Bundle, history: &History<'_>) -> Option<OrderError> {
    if let Some((applied, _)) = history.newest().filter(|(applied, _)| to < applied) {
        return Some(OrderError::ToBelowApplied { to: to.clone(), applied: applied.clone() });
    }
    let there =
        history.versioned.contains_key(to) || bundle.scripts.iter().any(|s| s.version.as_ref() == Some(to));
    (!there).then(|| OrderError::PinnedAbsent { to: to.clone() })
}

fn edited<'a>(bundle: &'a Bundle, history: &'a History<'_>) -> impl Iterator<Item = OrderError> + 'a {
    bundle.scripts.iter().filter_map(|script| {
        let row = history.versioned.get(script.version.as_ref()?)?.first()?;
        let (applied, found) = (row.checksum.clone(), script.checksum_like(&row.checksum).into_owned());
        (applied != found).then(|| OrderError::Edited { file: script.file.clone(), applied, found })
    })
}

fn missing(bundle: &Bundle, rows: &[HistoryRow]) -> Vec<OrderError> {
    let absent: BTreeMap<(Kind, Option<&Version>, &str), &HistoryRow> = rows
        .iter()
        .filter(|row| !bundle.scripts.iter().any(|script| script.key == row.key))
        .map(|row| ((row.kind, row.version.as_ref(), row.key.as_str()), row))
        .collect();
    absent.into_values().map(|row| OrderError::Missing { file: row.file.clone() }).collect()
}

fn below_newest(script: &Script, version: &Version, history: &History<'_>) -> Option<OrderError> {
    let (newest_version, newest) = history.newest().filter(|(newest, _)| version < *newest)?;
    let (file, newest, newest_version) = (script.file.clone(), newest.file.clone(), newest_version.clone());
    Some(OrderError::OutOfOrder { file, newest, newest_version })
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, Directives, Layout};
    use super::*;

    /// A bundle of scripts `key=checksum`.
    fn bundle(scripts: &[&str]) -> Bundle {
        let script = |spec: &&str| {
            let (key, checksum) = spec.split_once('=').unwrap();
            let version: Option<Version> = key.parse().ok();
            let kind = if version.is_some() { Kind::Versioned } else { Kind::Repeatable };
            Script {
                key: key.to_owned(),
                kind,
                version,
                description: key.to_owned(),
                file: format!("{key}.sql"),
                body: String::new(),
                checksum: checksum.to_owned(),
                undo: None,
                directives: Directives::default(),
                dialect: Dialect::Postgresql,
                values: Default::default(),
            }
        };
        Bundle {
            layout: Layout::Flyway,
            scripts: scripts.iter().map(script).collect(),
            digest: String::new(),
        }
    }

    /// A history of rows `key=checksum`, in the order in which they were written.
    fn rows(rows: &[&str]) -> Vec<HistoryRow> {
        bundle(rows).scripts.iter().zip(1..).map(|(script, rank)| HistoryRow::of(script, rank)).collect()
    }

    fn policy(to: Option<&str>) -> Policy {
        Policy { to: to.map(|to| to.parse().unwrap()), ..Policy::default() }
    }

    fn left(scripts: &[&str], applied: &[&str], policy: &Policy) -> Result<Vec<String>, Vec<String>> {
        match pending(&bundle(scripts), &rows(applied), policy) {
            Ok(pending) => {
                assert_eq!(pending.is_empty(), pending.scripts().count() == 0);
                Ok(pending.scripts().map(|script| script.key.clone()).collect())
            }
            Err(errors) => Err(errors.iter().map(OrderError::to_string).collect()),
        }
    }

    #[test]
    fn what_is_left() {
        let all = ["1=a", "2=b", "10=c", "R:v=d"];
        let cases: [(&[&str], Option<&str>, &[&str]); 8] = [
            (&[], None, &["1", "2", "10", "R:v"]),
            (&["1=a"], None, &["2", "10", "R:v"]),
            (&["1=a", "2=b", "10=c", "R:v=d"], None, &[]),
            (&["1=a", "2=b", "10=c", "R:v=old"], None, &["R:v"]),
            (&["1=a", "2=b", "10=c", "R:v=d", "R:v=old"], None, &["R:v"]),
            (&["1=a", "2=b", "10=c", "R:v=old", "R:v=d"], None, &[]),
            (&["1=a"], Some("2"), &["2", "R:v"]),
            (&["1=a", "2=b", "R:v=d"], Some("2"), &[]),
        ];
        for (applied, to, expected) in cases {
            assert_eq!(
                left(&all, applied, &policy(to)),
                Ok(expected.iter().map(|key| key.to_string()).collect()),
                "{applied:?}"
            );
        }
    }

    #[test]
    fn edited() {
        assert_eq!(
            left(&["1=new", "2=b"], &["1=old"], &policy(None)),
            Err(vec![
                "1.sql was edited after it was applied: the history has old, the source has new: put the old text back, or write the change as a new version"
                    .to_owned()
            ])
        );
    }

    #[test]
    fn out_of_order() {
        let (scripts, applied) = (["1=a", "2=b", "3=c"], ["1=a", "3=c"]);
        assert_eq!(
            left(&scripts, &applied, &policy(None)),
            Err(vec![
                "2.sql is below 3.sql, which is applied: give it a version above 3, or set outOfOrder: Allow"
                    .to_owned()
            ])
        );
        let allow = Policy { out_of_order: OutOfOrder::Allow, ..Policy::default() };
        assert_eq!(left(&scripts, &applied, &allow), Ok(vec!["2".to_owned()]));
    }

    #[test]
    fn pinned() {
        let scripts = ["1=a", "2=b"];
        assert_eq!(
            left(&scripts, &["1=a", "2=b"], &policy(Some("1"))),
            Err(vec![
                "to: 1 is below version 2, which is applied: whimbrel never downgrades, set to: 2 or above"
                    .to_owned()
            ])
        );
        assert_eq!(
            left(&scripts, &["1=a"], &policy(Some("3"))),
            Err(vec![
                "to: 3 is neither in the source nor applied: the source is not the one that the plan means, or not there yet"
                    .to_owned()
            ])
        );
        // Applied, and the bundle no longer holds it: nothing is wrong.
        assert_eq!(left(&["3=c"], &["1=a", "2=b"], &policy(Some("2"))), Ok(vec![]));
    }

    #[test]
    fn missing() {
        let applied = ["1=a", "2=b", "R:v=d", "R:v=e"];
        assert_eq!(left(&["3=c"], &applied, &policy(None)), Ok(vec!["3".to_owned()]));
        let reject = Policy { missing: Missing::Reject, ..Policy::default() };
        assert_eq!(
            left(&["2=b", "3=c"], &applied, &reject),
            Err(vec![
                "1.sql is applied and not in the source: put it back, or set missing: Ignore".to_owned(),
                "R:v.sql is applied and not in the source: put it back, or set missing: Ignore".to_owned(),
            ])
        );
    }

    #[test]
    fn a_history_with_two_rows_for_one_version() {
        assert_eq!(
            left(&["1=a"], &["1=a", "1=a"], &policy(None)),
            Err(vec![
                "the history has 2 rows for version 1, there can be one: somebody else wrote to it"
                    .to_owned()
            ])
        );
    }
}

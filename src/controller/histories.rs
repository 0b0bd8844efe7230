//! The watermarks of a target's histories: pinned when they are first seen, held against what is there at every look,
//! moved on by runs that ended well, and moved back by a person alone.

use super::targets::OpenTarget;
use crate::api::target::{AdoptedStatus, DatabaseTargetStatus, HistoryStatus};
use crate::api::verb::{Adopted, Asked, PREFIX, Verb, on_target};
use crate::api::{DatabaseTarget, Time};
use crate::engine::Look;
use crate::program::{Watermark, history_digest};
use crate::script::HistoryRow;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a person writes for a history in which nothing is applied.
const NOTHING: &str = "none";

/// A history that does not extend its watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutOfSync {
    /// The reason of the condition.
    pub(super) reason: &'static str,
    /// What differs, and the way on.
    pub(super) message: String,
}

/// Holds every history against its watermark. Gives where they stand, in one line.
pub(super) fn in_sync(
    target: &str,
    marks: &[HistoryStatus],
    histories: &BTreeMap<String, Vec<HistoryRow>>,
) -> Result<String, OutOfSync> {
    let mut stands = Vec::new();
    for (name, rows) in histories {
        let mark = marks.iter().find(|mark| mark.name == *name);
        let more = mark.map_or(Ok(0), |mark| watermark(mark).extended_by(rows));
        let more = more.map_err(|lost| OutOfSync {
            reason: lost.reason(),
            message: format!(
                "history {name} of target {target} is not the one that Whimbrel knows: {lost}. Nothing of it counts as pending. \
                 See whether the database was set back, or who changed the rows; if it is meant: kubectl annotate dbt {target} \
                 --overwrite '{PREFIX}adopt={name}@{} by <you>'",
                version(rows)
            ),
        })?;
        stands.push(match more {
            0 => format!("{name} is at {}", version(rows)),
            more => format!("{name} is at {}, {more} more than the last run left", version(rows)),
        });
    }
    Ok(stands.join("; "))
}

/// The watermarks after a look: what is known stays, what is seen for the first time is pinned. In the middle of a run of
/// another cluster it would be pinned too high.
pub(super) fn pinned(target: &DatabaseTarget, old: &[HistoryStatus], look: &Look) -> Vec<HistoryStatus> {
    let mut marks = old.to_vec();
    for (name, rows) in look.histories.iter().filter(|_| look.claim.is_none()) {
        if !marks.iter().any(|mark| mark.name == *name) {
            marks.push(mark(target, name, rows));
        }
    }
    marks
}

/// The `adopt` of a target that was not obeyed yet, as it is written.
pub(super) fn asked(target: &DatabaseTarget, old: &DatabaseTargetStatus) -> Option<String> {
    let text = target.metadata.annotations.as_ref()?.get(&format!("{PREFIX}adopt"))?;
    let done = old.adopted.as_ref().is_some_and(|adopted| adopted.verb == *text);
    (!done && adoption(target).is_some()).then(|| text.clone())
}

/// Obeys it: the history as it is now is the one that Whimbrel knows from here on.
///
/// # Errors
/// Why it is not obeyed: what is there is not what the person says, who looked at something else.
pub(super) fn adopt(
    target: &DatabaseTarget,
    text: &str,
    look: &Look,
    marks: &mut Vec<HistoryStatus>,
    now: Timestamp,
) -> Result<AdoptedStatus, String> {
    let (history, said, by) = adoption(target).ok_or("it names no version")?;
    if look.claim.is_some() {
        return Err("a run holds the target".into());
    }
    let rows = look.histories.get(&history).ok_or_else(|| format!("the target has no history {history}"))?;
    let there = version(rows);
    if there != said {
        return Err(format!("history {history} is at {there}, not at {said}"));
    }
    marks.retain(|mark| mark.name != history);
    marks.push(mark(target, &history, rows));
    Ok(AdoptedStatus { verb: text.to_owned(), history, by, at: Time(now) })
}

/// What `adopt` says, if it speaks of a version: history, version, by whom.
fn adoption(target: &DatabaseTarget) -> Option<(String, String, String)> {
    let verbs = on_target(target.metadata.annotations.as_ref()?);
    verbs.into_iter().flatten().find_map(|Asked { verb, by }| match verb {
        Verb::Adopt { history, adopted: Adopted::Version(version) } => Some((history, version, by)),
        _ => None,
    })
}

/// The version of the newest script that has one.
fn version(rows: &[HistoryRow]) -> &str {
    let newest = rows.iter().rev().find(|row| row.version.is_some());
    newest.map_or(NOTHING, |row| row.key.as_str())
}

fn mark(target: &DatabaseTarget, name: &str, rows: &[HistoryRow]) -> HistoryStatus {
    HistoryStatus {
        name: name.to_owned(),
        format: OpenTarget::format(target, name),
        count: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        last: rows.last().map(|row| row.key.clone()).unwrap_or_default(),
        digest: history_digest(rows),
    }
}

fn watermark(mark: &HistoryStatus) -> Watermark<'_> {
    let count = usize::try_from(mark.count).unwrap_or(0);
    Watermark { count, last: &mark.last, digest: &mark.digest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Dialect, read_bundle};
    use serde_json::json;

    fn rows(last: u32) -> Vec<HistoryRow> {
        if last == 0 {
            return Vec::new();
        }
        let files = (1..=last).map(|n| (format!("V{n}__a.sql"), format!("select {n};").into_bytes()));
        let bundle = read_bundle(files.collect(), None, Dialect::Postgresql).unwrap();
        bundle.scripts.iter().zip(1..).map(|(script, rank)| HistoryRow::of(script, rank)).collect()
    }

    fn look(last: u32) -> Look {
        Look {
            version: "15".into(),
            identity: "7/1".into(),
            lineage: "7/1/1".into(),
            histories: BTreeMap::from([("default".to_owned(), rows(last))]),
            foreign_tables: Vec::new(),
            empty: last == 0,
            sessions: Vec::new(),
            quiet_provable: Ok(()),
            warnings: Vec::new(),
            claim: None,
            bytes: 1,
        }
    }

    fn target(adopt: &str) -> DatabaseTarget {
        serde_json::from_value(json!({
            "metadata": {"name": "shop", "annotations": {"whimbrel.dev/adopt": adopt}},
            "spec": {"postgresql": {"host": "db", "database": "shop"}}
        }))
        .unwrap()
    }

    #[test]
    fn a_database_that_was_set_back_has_nothing_pending_until_a_person_says_so() {
        let mut marks = pinned(&target("none by ann"), &[], &look(3));
        let says = |marks: &[HistoryStatus], last| in_sync("shop", marks, &look(last).histories);
        assert_eq!(says(&marks, 3), Ok("default is at 3".into()));
        assert_eq!(says(&marks, 5), Ok("default is at 5, 2 more than the last run left".into()));
        assert_eq!(pinned(&target("none by ann"), &marks, &look(5)), marks, "a look moves nothing");
        let lost = says(&marks, 1).unwrap_err();
        assert_eq!(lost.reason, "HistoryLost");
        assert_eq!(
            lost.message,
            "history default of target shop is not the one that Whimbrel knows: it has 1 script, 1, and had 3 scripts, the last 3. \
             Nothing of it counts as pending. See whether the database was set back, or who changed the rows; if it is meant: \
             kubectl annotate dbt shop --overwrite 'whimbrel.dev/adopt=default@1 by <you>'"
        );
        let adopts = target("default@1 by ann");
        let text = asked(&adopts, &DatabaseTargetStatus::default()).unwrap();
        let other = adopt(&adopts, &text, &look(2), &mut marks, Timestamp::UNIX_EPOCH);
        assert_eq!(other.unwrap_err(), "history default is at 2, not at 1");
        let adopted = adopt(&adopts, &text, &look(1), &mut marks, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((adopted.history.as_str(), adopted.by.as_str()), ("default", "ann"));
        assert_eq!(says(&marks, 1), Ok("default is at 1".into()));
        let status = DatabaseTargetStatus { adopted: Some(adopted), ..DatabaseTargetStatus::default() };
        assert_eq!(asked(&adopts, &status), None, "it was obeyed");
        assert_eq!(asked(&target("default@none by ann"), &status).as_deref(), Some("default@none by ann"));
    }

    #[test]
    fn what_cannot_be_adopted_says_why() {
        let mut marks = pinned(&target("none by ann"), &[], &look(3));
        let mut held = look(3);
        held.claim = Some(crate::engine::ClaimSeen {
            run_uid: "r".into(),
            run: 1,
            plan: "aether/shop".into(),
            token: 1,
            cluster: "c".into(),
        });
        assert_eq!(pinned(&target("none by ann"), &[], &held), [], "it may go back yet");
        let mut refused = |verb: &str, look: &Look| {
            adopt(&target(verb), verb, look, &mut marks, Timestamp::UNIX_EPOCH).unwrap_err()
        };
        assert_eq!(refused("default@3 by ann", &held), "a run holds the target");
        assert_eq!(refused("users@3 by ann", &look(3)), "the target has no history users");
        assert_eq!(refused("default@none by ann", &look(3)), "history default is at 3, not at none");
        assert_eq!(
            asked(&target("Flyway by ann"), &DatabaseTargetStatus::default()),
            None,
            "of another tool"
        );
    }
}

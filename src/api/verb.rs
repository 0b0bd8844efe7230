//! Verbs: annotations by which people act on a run or target, each naming what it acts on and who asks.

use super::{Time, target::HistoryFormat, words::words};
use std::collections::BTreeMap;

/// Prefix of every annotation of ours.
pub const PREFIX: &str = "whimbrel.dev/";

words! {
    /// A guard that a person can override for one run.
    pub enum Guard {
        /// The way back would lose writes.
        DataLoss = "data-loss",
        /// A lock that is not ours.
        ForeignLock = "foreign-lock",
        /// A session that nobody explains.
        ForeignSession = "foreign-session",
        /// The server is another one than before.
        Identity = "identity",
        /// The backup did not reach its level.
        UnprovenBackup = "unproven-backup",
        /// Scaling down would delete volumes.
        PvcRetention = "pvc-retention",
    }
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Go on with what the preview says; the value is its planHash.
    Approve(String),
    /// Go on after this step.
    ApproveStep {
        /// The step.
        step: String,
        /// The planHash of the run.
        plan_hash: String,
    },
    /// Turn around at the next boundary.
    Abort(i64),
    /// A new run of the intent of this run.
    Retry(i64),
    /// The data fit the old images: give back and release.
    Resolve(i64),
    /// Release and nothing else.
    Abandon(i64),
    /// A new run that walks this run's way back.
    Rollback(i64),
    /// Let one guard pass in this run.
    Override {
        /// The guard.
        guard: Guard,
        /// The run.
        run: i64,
        /// Not after this.
        until: Time,
        /// The reason, for the record.
        why: String,
    },
    /// Take over a history as it is.
    Adopt {
        /// The history.
        history: String,
        /// What is taken over.
        adopted: Adopted,
    },
}

impl Verb {
    /// The annotation's key without its prefix.
    pub fn key(&self) -> String {
        match self {
            Verb::Approve(_) => "approve".into(),
            Verb::ApproveStep { step, .. } => format!("approve.{step}"),
            Verb::Abort(_) => "abort".into(),
            Verb::Retry(_) => "retry".into(),
            Verb::Resolve(_) => "resolve".into(),
            Verb::Abandon(_) => "abandon".into(),
            Verb::Rollback(_) => "rollback".into(),
            Verb::Override { guard, .. } => format!("override.{guard}"),
            Verb::Adopt { .. } => "adopt".into(),
        }
    }

    /// Whether the chart's admission policy proves who asks. `abort` and `retry` are free for everybody who may edit:
    /// stopping must never wait for a right, so nobody looks whose name stands there.
    pub fn is_guarded(&self) -> bool {
        !matches!(self, Verb::Abort(_) | Verb::Retry(_))
    }
}

/// What of a history is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// All up to this version counts as applied.
    Version(String),
    /// The rows that this tool wrote.
    Format(HistoryFormat),
}

/// A verb and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub verb: Verb,
    /// Who, as written; proven only where the chart's admission policy is.
    pub by: String,
}

/// An annotation that looks like a verb and is none; told by an event `VerbIgnored`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{PREFIX}{key} is ignored: {problem}")]
pub struct Ignored {
    /// The key without its prefix.
    pub key: String,
    /// What is wrong with it, and how it is written.
    pub problem: String,
}

/// The verbs on a plan, in the order of their keys.
pub fn on_plan(annotations: &BTreeMap<String, String>) -> Vec<Result<Asked, Ignored>> {
    ours(annotations).map(|(key, value)| read(key, value, plan_verb)).collect()
}

/// The verbs on a target, in the order of their keys.
pub fn on_target(annotations: &BTreeMap<String, String>) -> Vec<Result<Asked, Ignored>> {
    ours(annotations).map(|(key, value)| read(key, value, target_verb)).collect()
}

fn ours(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str())))
}

fn read(key: &str, value: &str, verb: fn(&str, &str) -> Result<Verb, String>) -> Result<Asked, Ignored> {
    let ignored = |problem| Ignored { key: key.to_owned(), problem };
    // The last one: a reason may hold the word, a user name in Kubernetes does not.
    let (what, by) = value.rsplit_once(" by ").unwrap_or((value, ""));
    let verb = verb(key, what.trim()).map_err(ignored)?;
    match by.trim() {
        "" => Err(ignored("it does not end in ` by <user>`".into())),
        by => Ok(Asked { verb, by: by.to_owned() }),
    }
}

fn plan_verb(key: &str, what: &str) -> Result<Verb, String> {
    match key.split_once('.') {
        Some(("approve", step)) => {
            Ok(Verb::ApproveStep { step: step.to_owned(), plan_hash: plan_hash(what)? })
        }
        Some(("override", guard)) => override_of(guard, what),
        _ => match key {
            "approve" => plan_hash(what).map(Verb::Approve),
            "abort" => run(what).map(Verb::Abort),
            "retry" => run(what).map(Verb::Retry),
            "resolve" => run(what).map(Verb::Resolve),
            "abandon" => run(what).map(Verb::Abandon),
            "rollback" => run(what).map(Verb::Rollback),
            _ => Err("no such verb: approve, approve.<step>, abort, retry, resolve, abandon, rollback, \
                      override.<guard>"
                .into()),
        },
    }
}

fn target_verb(key: &str, what: &str) -> Result<Verb, String> {
    if key != "adopt" {
        return Err("no such verb on a target: adopt".into());
    }
    let (history, adopted) = what.split_once('@').unwrap_or(("default", what));
    if history.is_empty() || adopted.is_empty() {
        return Err("written as `<history>@<version or format> by <user>`".into());
    }
    let adopted = match adopted.parse() {
        Ok(format) => Adopted::Format(format),
        Err(_) => Adopted::Version(adopted.to_owned()),
    };
    Ok(Verb::Adopt { history: history.to_owned(), adopted })
}

/// The planHash as `status.run.planHash` shows it; its digits alone mean the same.
fn plan_hash(what: &str) -> Result<String, String> {
    let digits = what.strip_prefix("sha256:").unwrap_or(what);
    if digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(format!("sha256:{digits}"))
    } else {
        Err("it does not begin with a planHash, `sha256:` and 64 hexadecimal digits, as `status.run.planHash` \
             shows it"
            .into())
    }
}

fn run(what: &str) -> Result<i64, String> {
    what.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "it does not begin with the number of a run, as `status.run.number` shows it".into())
}

fn override_of(guard: &str, what: &str) -> Result<Verb, String> {
    const FORM: &str = "written as `<run number> until=<RFC 3339> why=<reason> by <user>`";
    let guard = guard.parse::<Guard>().map_err(|unknown| unknown.to_string())?;
    let (number, rest) = what.split_once(' ').ok_or(FORM)?;
    let (until, why) = rest.trim().strip_prefix("until=").and_then(|r| r.split_once(" why=")).ok_or(FORM)?;
    let until = until.trim().parse().map(Time).map_err(|_| FORM)?;
    match why.trim() {
        "" => Err(FORM.into()),
        why => Ok(Verb::Override { guard, run: run(number)?, until, why: why.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn plan(key: &str, value: &str) -> Result<Asked, String> {
        let annotations = [
            (format!("{PREFIX}{key}"), value.replace("HASH", HASH)),
            ("kubectl.kubernetes.io/restartedAt".into(), "not ours".into()),
        ];
        let mut all = on_plan(&annotations.into());
        assert_eq!(all.len(), 1);
        all.remove(0).map_err(|ignored| ignored.to_string())
    }

    #[test]
    fn each_verb_names_what_it_acts_on_and_who_asks() {
        let asked = |verb, by: &str| Ok(Asked { verb, by: by.into() });
        let shown = format!("sha256:{HASH}");
        for hash in ["sha256:HASH", "HASH"] {
            assert_eq!(
                plan("approve", &format!("{hash} by ann@x.org")),
                asked(Verb::Approve(shown.clone()), "ann@x.org")
            );
            assert_eq!(
                plan("approve.go-live", &format!("{hash} by ann")),
                asked(Verb::ApproveStep { step: "go-live".into(), plan_hash: shown.clone() }, "ann")
            );
        }
        for (key, verb) in [
            ("abort", Verb::Abort(7)),
            ("retry", Verb::Retry(7)),
            ("resolve", Verb::Resolve(7)),
            ("abandon", Verb::Abandon(7)),
            ("rollback", Verb::Rollback(7)),
        ] {
            assert_eq!(plan(key, "7 by system:serviceaccount:a:b"), asked(verb, "system:serviceaccount:a:b"));
        }
        assert_eq!(
            plan("override.data-loss", "3 until=2026-11-21T04:00:00Z why=agreed by phone with sales by ann"),
            asked(
                Verb::Override {
                    guard: Guard::DataLoss,
                    run: 3,
                    until: Time("2026-11-21T04:00:00Z".parse().unwrap()),
                    why: "agreed by phone with sales".into(),
                },
                "ann"
            )
        );
    }

    #[test]
    fn what_is_malformed_is_ignored_and_says_how_it_is_written() {
        let form = "written as `<run number> until=<RFC 3339> why=<reason> by <user>`";
        let run = "it does not begin with the number of a run, as `status.run.number` shows it";
        let hash = "it does not begin with a planHash, `sha256:` and 64 hexadecimal digits, as `status.run.planHash` \
                    shows it";
        let guards =
            "one of data-loss, foreign-lock, foreign-session, identity, unproven-backup, pvc-retention";
        let verbs = "approve, approve.<step>, abort, retry, resolve, abandon, rollback, override.<guard>";
        for (key, value, problem) in [
            ("abort", "7", "it does not end in ` by <user>`".to_owned()),
            ("abort", "7 by ", "it does not end in ` by <user>`".to_owned()),
            ("abort", "true by ann", run.to_owned()),
            ("retry", "0 by ann", run.to_owned()),
            ("rollback", " by ann", run.to_owned()),
            ("approve", "yes by ann", hash.to_owned()),
            ("approve.go-live", "HASHa by ann", hash.to_owned()),
            ("approve", "sha512:HASH by ann", hash.to_owned()),
            ("aprove", "HASH by ann", format!("no such verb: {verbs}")),
            ("override.luck", "3 until=x why=y by ann", format!("unknown Guard \"luck\": {guards}")),
            ("override.identity", "3 by ann", form.to_owned()),
            ("override.identity", "3 why=x by ann", form.to_owned()),
            ("override.identity", "3 until=tomorrow why=x by ann", form.to_owned()),
            ("override.identity", "3 until=2026-11-21T04:00:00Z why= by ann", form.to_owned()),
        ] {
            let expected = format!("whimbrel.dev/{key} is ignored: {problem}");
            assert_eq!(plan(key, value), Err(expected), "{key}: {value}");
        }
    }

    #[test]
    fn a_target_knows_adopt_alone() {
        let target = |key: &str, value: &str| {
            let all = on_target(&[(format!("{PREFIX}{key}"), value.to_owned())].into());
            all.into_iter().next().unwrap().map(|asked| asked.verb).map_err(|ignored| ignored.to_string())
        };
        let adopt = |history: &str, adopted| Ok(Verb::Adopt { history: history.into(), adopted });
        assert_eq!(target("adopt", "users@12.1 by ann"), adopt("users", Adopted::Version("12.1".into())));
        assert_eq!(
            target("adopt", "Flyway by ann"),
            adopt("default", Adopted::Format(HistoryFormat::Flyway))
        );
        assert_eq!(
            target("adopt", "@1 by ann"),
            Err("whimbrel.dev/adopt is ignored: written as `<history>@<version or format> by <user>`".into())
        );
        assert_eq!(
            target("abort", "1 by ann"),
            Err("whimbrel.dev/abort is ignored: no such verb on a target: adopt".into())
        );
    }
}

//! What people asked for, as the record keeps it: who approved what, and which verbs were done.
//!
//! An annotation can be removed or written over the next minute; the record is what an auditor reads a year later.

use super::walk::{Fact, Walk};
use crate::api::run::{AcceptedVerb, ApprovalRecord, MigrationRunStatus};
use crate::api::{Outcome, Time};
use crate::program::{Cause, Decision, Exit, Gate, Kind, Said, Signals};
use jiff::Timestamp;

/// The most that the record keeps of each; the API's bound for a list.
const KEPT: usize = 50;

impl Walk {
    /// Writes down who asked for what this decision acts on. It travels with the intent, so before its effect.
    pub(super) fn heed(&mut self, decision: &Decision, signals: &Signals, now: Timestamp) {
        let mut facts = Vec::new();
        match decision {
            Decision::TurnAround(Cause::Abort) => facts.extend(took(signals, "abort", now)),
            Decision::Perform(ids) => {
                let gates = ids.iter().filter_map(|id| self.op(id)).filter_map(|op| match op.kind {
                    Kind::Gate(gate) => Some(gate),
                    _ => None,
                });
                for gate in gates {
                    let step = match &gate {
                        Gate::Window => continue,
                        Gate::Plan => "",
                        Gate::Step { name, .. } => name,
                    };
                    facts.extend(approved(signals, step, &self.program.plan_hash, now));
                }
                if self.record().outcome == Some(Outcome::Held) {
                    let exit = signals.exit.map(|exit| match exit {
                        Exit::Resolve => "resolve",
                        Exit::Abandon => "abandon",
                    });
                    facts.extend(exit.and_then(|exit| took(signals, exit, now)));
                }
            }
            _ => {}
        }
        self.learn_now(facts);
    }

    /// Writes down who wanted this run, if it is the same intent again, or takes one back.
    pub(super) fn heed_begin(&mut self, signals: &Signals, now: Timestamp) {
        self.learn_now(took(signals, "retry", now));
        self.learn_now(took(signals, "rollback", now));
    }
}

/// That a person's approval was counted, for the plan (`step` is empty) or a step; none when nobody is named.
pub(super) fn approved(signals: &Signals, step: &str, plan_hash: &str, now: Timestamp) -> Option<Fact> {
    let verb = if step.is_empty() { "approve".to_owned() } else { format!("approve.{step}") };
    let said = said(signals, &verb)?;
    Some(Fact::Approved(ApprovalRecord {
        what: if step.is_empty() { "plan".to_owned() } else { step.to_owned() },
        plan_hash: plan_hash.to_owned(),
        by: said.by.clone(),
        verified: said.verified,
        at: Time(now),
    }))
}

/// That a verb was done; none when nobody is named.
pub(super) fn took(signals: &Signals, verb: &str, now: Timestamp) -> Option<Fact> {
    let said = said(signals, verb)?.clone();
    Some(Fact::Took(AcceptedVerb {
        verb: said.verb,
        value: said.value,
        by: said.by,
        verified: said.verified,
        at: Time(now),
    }))
}

fn said<'s>(signals: &'s Signals, verb: &str) -> Option<&'s Said> {
    signals.said.iter().find(|said| said.verb == verb)
}

/// Keeps an approval once; the oldest gives way.
pub(super) fn keep_approval(record: &mut MigrationRunStatus, new: ApprovalRecord) {
    let same = |known: &ApprovalRecord| known.what == new.what && known.plan_hash == new.plan_hash;
    if !record.approvals.iter().any(same) {
        record.approvals.push(new);
        keep_newest(&mut record.approvals);
    }
}

/// Keeps a verb once; the oldest gives way.
pub(super) fn keep_verb(record: &mut MigrationRunStatus, new: AcceptedVerb) {
    let same = |known: &AcceptedVerb| known.verb == new.verb && known.value == new.value;
    if !record.verbs.iter().any(same) {
        record.verbs.push(new);
        keep_newest(&mut record.verbs);
    }
}

pub(super) fn keep_newest<T>(list: &mut Vec<T>) {
    let over = list.len().saturating_sub(KEPT);
    list.drain(..over);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{BackOp, FORMAT, OnFailure, Op, Program, When};
    use crate::run::seam::Saved;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn op(id: &str, kind: Kind) -> Op {
        Op { id: id.into(), step: None, kind }
    }

    fn walk() -> Walk {
        let go_live = Gate::Step { name: "go-live".into(), message: String::new() };
        let release = BackOp { when: When::Always, op: op("resolve/release", Kind::Release) };
        let program = Program {
            format: FORMAT,
            plan_hash: "sha256:ab".into(),
            intent_hash: "i".into(),
            forward: vec![
                vec![op("gate", Kind::Gate(Gate::Plan))],
                vec![op("gate/go-live", Kind::Gate(go_live))],
            ],
            back: Vec::new(),
            resolve: vec![vec![release]],
            bundles: BTreeMap::new(),
            dependents: Vec::new(),
            workloads: Vec::new(),
            targets: BTreeMap::new(),
            on_failure: OnFailure::default(),
            rolls_back: None,
        };
        let saved = Saved { version: "1".into(), status: MigrationRunStatus::default() };
        Walk { program: Arc::new(program), saved, dirty: false }
    }

    fn signals(said: &[(&str, &str, bool)]) -> Signals {
        let said = said.iter().map(|(verb, by, verified)| Said {
            verb: (*verb).into(),
            value: format!("7 by {by}"),
            by: (*by).into(),
            verified: *verified,
        });
        Signals { said: said.collect(), ..Signals::default() }
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[test]
    fn a_gate_that_is_passed_says_who_opened_it() {
        let mut walk = walk();
        let signals = signals(&[("approve", "ann", true), ("approve.go-live", "bob", false)]);
        for gate in ["gate", "gate", "gate/go-live"] {
            walk.heed(&Decision::Perform(vec![gate.into()]), &signals, now());
        }
        let kept = walk.record().approvals.iter();
        let kept: Vec<_> =
            kept.map(|it| (it.what.as_str(), it.plan_hash.as_str(), it.by.as_str(), it.verified)).collect();
        assert_eq!(kept, [("plan", "sha256:ab", "ann", true), ("go-live", "sha256:ab", "bob", false)]);
        assert!(walk.dirty, "it is written with the intent");
    }

    #[test]
    fn a_verb_is_kept_when_it_is_done_and_only_then() {
        let all = signals(&[("abort", "ann", false), ("resolve", "bob", true), ("retry", "cem", false)]);
        let mut walk = walk();
        walk.heed(&Decision::TurnAround(Cause::Deadline), &all, now());
        assert!(walk.record().verbs.is_empty() && !walk.dirty, "nobody was obeyed");
        walk.heed(&Decision::TurnAround(Cause::Abort), &all, now());
        walk.heed_begin(&all, now());
        walk.saved.status.outcome = Some(Outcome::Held);
        let exit = Signals { exit: Some(Exit::Resolve), ..all.clone() };
        walk.heed(&Decision::Perform(vec!["resolve/release".into()]), &exit, now());
        walk.heed(&Decision::Perform(vec!["resolve/release".into()]), &exit, now());
        let kept: Vec<_> = walk.record().verbs.iter().map(|it| (it.verb.as_str(), it.by.as_str())).collect();
        assert_eq!(kept, [("abort", "ann"), ("retry", "cem"), ("resolve", "bob")]);
    }

    #[test]
    fn the_record_stays_within_its_bound() {
        let mut record = MigrationRunStatus::default();
        for number in 0..60 {
            keep_verb(
                &mut record,
                AcceptedVerb {
                    verb: "override.data-loss".into(),
                    value: number.to_string(),
                    by: "ann".into(),
                    verified: false,
                    at: Time(now()),
                },
            );
        }
        assert_eq!((record.verbs.len(), record.verbs[0].value.as_str()), (KEPT, "10"));
    }
}

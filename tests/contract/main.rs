//! The contract with the tools and people around a plan, by their own programs: kstatus, Argo CD's Lua sandbox, kubectl.
//!
//! `phases.yaml` has every place a plan can be in and what each tool must make of it. The first build of Argo CD's sandbox
//! takes minutes; `testbed/testbed tools` keeps it.

mod actions;
mod cluster;
mod judges;
#[path = "../tools/kubectl.rs"]
mod kubectl;
mod phases;
mod samples;
#[path = "../tools/mod.rs"]
mod tools;
mod verbs;
mod waiting;

use judges::{argo, kstatus};
use phases::{Phased, phases};
use serde_json::json;
use std::collections::BTreeSet;
use whimbrel::api::{ConditionType, Phase, Reason, condition::Status, contract::legal};

#[test]
fn kstatus_agrees() {
    let wrong = disagreements(|it| (it.expect.kstatus.clone(), kstatus(&it.object())["status"].clone()));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn argo_cd_agrees() {
    let wrong = disagreements(|it| (it.expect.argo.clone(), argo(&it.object())["status"].clone()));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn argo_cd_shows_the_operators_own_sentence() {
    let held = phases().into_iter().find(|it| it.name == "held").unwrap();
    assert_eq!(
        argo(&held.object()),
        json!({"status": "Degraded", "message": "Held: undo of entities failed; aether-backend stays down"})
    );
}

#[test]
fn a_plan_that_nobody_looked_at_waits() {
    let mut object = phases().remove(0).object();
    object.as_object_mut().unwrap().remove("status");
    assert_eq!(
        argo(&object),
        json!({"status": "Progressing", "message": "the operator has not looked at this generation yet"})
    );
}

#[test]
fn the_phases_are_complete_and_in_the_words_of_the_api() {
    let all = phases();
    let seen: BTreeSet<&str> = all.iter().filter_map(|it| it.status["phase"].as_str()).collect();
    let known: BTreeSet<&str> = Phase::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(seen, known);
    let mut said = BTreeSet::new();
    for it in &all {
        for condition in it.conditions() {
            let of: ConditionType = condition["type"].as_str().unwrap().parse().unwrap();
            let status: Status = condition["status"].as_str().unwrap().parse().unwrap();
            let reason: Reason = condition["reason"].as_str().unwrap().parse().unwrap();
            assert!(legal(of, status).contains(&reason), "{}: {of}={status}/{reason}", it.name);
            said.insert((of, reason));
        }
        let has =
            |of: ConditionType| it.conditions().iter().any(|condition| condition["type"] == of.as_str());
        assert!(!(has(ConditionType::Reconciling) && has(ConditionType::Stalled)), "{}: never both", it.name);
    }
    for of in [ConditionType::Reconciling, ConditionType::Stalled] {
        for &reason in legal(of, Status::True) {
            assert!(said.contains(&(of, reason)), "phases.yaml has no place where {of} says {reason}");
        }
    }
}

fn disagreements(ask: impl Fn(&Phased) -> (String, serde_json::Value)) -> Vec<String> {
    let wrong = |it: &Phased| {
        let (wanted, said) = ask(it);
        (said != wanted.as_str()).then(|| format!("{}: wanted {wanted}, it said {said}", it.name))
    };
    phases().iter().filter_map(wrong).collect()
}

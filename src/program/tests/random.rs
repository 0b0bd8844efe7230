//! Random plans: what must be true of whatever compiles.

use super::super::{
    Action, Compiled, Intent, Kind, OnFailure, Op, Program, QueryCheck, Step, WorkloadRef, compile,
};
use super::shop::{KEEPS, LATER, bundle, deployment, nightly, seen};
use super::world::World;
use crate::api::Outcome;
use crate::api::plan::SchemaPolicy;
use crate::check::Expect;
use crate::script::Policy;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a random step does; its name comes from its place.
fn action() -> impl Strategy<Value = Action> {
    let target = || prop_oneof![Just("orders".to_owned()), Just("users".to_owned())];
    let workload = prop_oneof![Just("api"), Just("worker"), Just("web")].prop_map(deployment);
    let images = prop_oneof![Just(None), Just(Some("new")), Just(Some("old"))];
    let check = |target| QueryCheck {
        target,
        statement: "select 0".into(),
        expect: Expect::Equals("0".into()),
        values: Default::default(),
    };
    prop_oneof![
        3 => target().prop_map(|target| Action::Migrate { target, history: "default".into(), policy: Policy::default() }),
        3 => (workload, images, proptest::option::of(0..4)).prop_map(|(workload, image, replicas)| {
            let image = image.map(|image| ("app".to_owned(), if image == "old" { format!("{}:1", workload.name) } else { image.into() }));
            Action::Rollout { workload, images: image.into_iter().collect(), replicas, ready_within: 60 }
        }),
        1 => target().prop_map(move |target| Action::Verify(check(target))),
        1 => ("[a-c]", "[0-2]").prop_map(|(key, value)| Action::Configure {
            namespace: super::shop::SHOP.into(),
            name: "flags".into(),
            set: BTreeMap::from([(key, value)]),
        }),
        1 => Just(Action::Approve { message: "Well?".into() }),
    ]
}

fn intent() -> impl Strategy<Value = Intent> {
    let dependents = proptest::sample::subsequence(
        vec![deployment("api"), deployment("worker"), deployment("web"), nightly()],
        0..=4,
    );
    let steps = proptest::collection::vec(proptest::collection::vec(action(), 1..3), 1..6);
    let schema = proptest::sample::select(vec![
        SchemaPolicy::Auto,
        SchemaPolicy::Undo,
        SchemaPolicy::Restore,
        SchemaPolicy::Hold,
    ]);
    let policy = (schema, any::<bool>(), any::<bool>());
    ((any::<bool>(), any::<bool>(), any::<bool>()), dependents.prop_shuffle(), steps, policy).prop_map(
        |((approval, windows, online), dependents, groups, (schema, revert_images, give_back))| {
            let mut names = (1..).map(|n| format!("step-{n}"));
            let mut step = |action| Step { name: names.next().expect("without end"), action };
            Intent {
                approval,
                windows,
                online,
                dependents,
                preflight: Vec::new(),
                steps: groups.into_iter().map(|group| group.into_iter().map(&mut step).collect()).collect(),
                on_failure: OnFailure { schema, revert_images, give_back },
                verification: None,
            }
        },
    )
}

/// Compiles against the shop: the first step of a history brings one script, the next another one.
fn compiled(intent: &Intent) -> Option<Program> {
    let mut seen = seen("stages: []");
    let mut sources = BTreeMap::from([("orders", vec![LATER, KEEPS]), ("users", vec![LATER, KEEPS])]);
    for step in intent.steps.iter().flatten() {
        if let Action::Migrate { target, .. } = &step.action {
            let source = sources.get_mut(target.as_str()).and_then(Vec::pop).unwrap_or(LATER);
            seen.bundles.insert(step.name.clone(), bundle(source));
        }
    }
    match compile(intent, &seen, "sha256:intent") {
        Ok(Compiled::Program(program)) => {
            let again = compile(intent, &seen, "sha256:intent");
            assert_eq!(again, Ok(Compiled::Program(program.clone())), "compiled twice it is the same");
            Some(*program)
        }
        Ok(Compiled::NothingPending) => None,
        Err(refusals) => {
            assert!(!refusals.is_empty(), "a refusal says why");
            None
        }
    }
}

/// The group of the only op of this kind.
fn only(program: &Program, kind: &Kind) -> usize {
    let groups = program.forward.iter().enumerate();
    let found: Vec<usize> =
        groups.filter(|(_, group)| group.iter().any(|op| op.kind == *kind)).map(|(n, _)| n).collect();
    assert_eq!(found.len(), 1, "{kind:?}");
    found[0]
}

/// The groups with an op of which this is true.
fn groups(program: &Program, of: impl Fn(&Op) -> bool) -> Vec<usize> {
    let groups = program.forward.iter().enumerate();
    groups.filter(|(_, group)| group.iter().any(&of)).map(|(n, _)| n).collect()
}

fn stands_in_order(program: &Program) {
    let (claim, recheck) = (only(program, &Kind::Claim), only(program, &Kind::Recheck));
    let (freeze, verify) = (only(program, &Kind::Freeze), only(program, &Kind::VerifyFinal));
    assert!(claim < recheck && recheck < freeze && freeze < verify);
    assert_eq!(only(program, &Kind::Release), program.forward.len() - 1);
    let applies = groups(program, |op| matches!(op.kind, Kind::Apply { .. }));
    let lets_in = groups(program, |op| op.kind.lets_in());
    let effects = groups(program, |op| op.kind.changes() || matches!(op.kind, Kind::Quiesce { .. }));
    assert!(effects.iter().all(|effect| (freeze..verify).contains(effect)));
    if let Some(last) = applies.last() {
        let mark = only(program, &Kind::MarkWrites);
        assert!(
            *last < mark && lets_in.iter().all(|group| *group > mark),
            "scripts, then the mark, then people"
        );
    } else {
        assert_eq!((lets_in, groups(program, |op| matches!(op.kind, Kind::Backup { .. }))), (vec![], vec![]));
    }
    for op in program.forward.iter().flatten() {
        let Kind::Apply { target, .. } = &op.kind else { continue };
        let before = |id: &str| {
            groups(program, |op| op.id == format!("{id}/{target}")).into_iter().all(|n| n < applies[0])
        };
        assert!(before("prove-quiet") && before("backup") && before("verify-backup"), "{target}");
        assert!(program.targets.contains_key(target), "{target} is claimed");
    }
}

fn everybody_comes_back(program: &Program) {
    let dependents: BTreeSet<&WorkloadRef> = program.dependents.iter().collect();
    let ops = || program.forward.iter().flatten();
    let down: Vec<&WorkloadRef> = ops()
        .filter_map(|op| if let Kind::Quiesce { workload } = &op.kind { Some(workload) } else { None })
        .collect();
    let up: Vec<&WorkloadRef> = ops()
        .filter_map(|op| match &op.kind {
            Kind::GiveBack { workload, .. } => Some(workload),
            Kind::Rollout(rollout) if rollout.dependent => Some(&rollout.workload),
            _ => None,
        })
        .collect();
    for all in [&down, &up] {
        assert_eq!(
            (all.len(), all.iter().copied().collect::<BTreeSet<_>>()),
            (dependents.len(), dependents.clone())
        );
    }
    let touched = ops().filter_map(|op| match &op.kind {
        Kind::Rollout(rollout) => Some(&rollout.workload),
        Kind::Quiesce { workload } | Kind::GiveBack { workload, .. } => Some(workload),
        _ => None,
    });
    touched.for_each(|of| assert!(program.workloads.contains(of), "{of} is claimed"));
}

fn every_effect_has_its_way_back(program: &Program) {
    let ids: BTreeSet<&str> = program.forward.iter().flatten().map(|op| op.id.as_str()).collect();
    let back: Vec<&str> = program.back.iter().flatten().map(|back| back.op.id.as_str()).collect();
    let mut undone = Vec::new();
    for op in program.forward.iter().flatten() {
        let way = match &op.kind {
            Kind::Apply { target, .. } => {
                let restored = format!("back/restore/{target}");
                assert_eq!(back.contains(&restored.as_str()), program.on_failure.may_restore(), "{restored}");
                if !program.on_failure.may_undo() {
                    continue;
                }
                "undo"
            }
            Kind::Configure { .. } => "configure",
            Kind::Rollout(_) => "rollout",
            _ => continue,
        };
        let id = format!("back/{way}/{}", op.step.as_deref().unwrap_or_default());
        let place =
            back.iter().position(|back| *back == id).unwrap_or_else(|| panic!("{} has no {id}", op.id));
        if way == "undo" {
            undone.insert(0, place);
        }
    }
    assert!(undone.is_sorted(), "undone in the reverse of the order in which it is applied: {back:?}");
    for needed in program.back.iter().chain(&program.resolve).flatten() {
        let (super::super::When::Any(causes) | super::super::When::Way { any: causes, .. }) = &needed.when
        else {
            continue;
        };
        let known = |id: &String| ids.contains(id.as_str()) || back.contains(&id.as_str());
        assert!(
            !causes.is_empty() && causes.iter().all(known),
            "{} is never needed: {causes:?}",
            needed.op.id
        );
    }
}

proptest! {
    #[test]
    fn whatever_compiles_is_in_order_and_has_its_way_back(intent in intent()) {
        let Some(program) = compiled(&intent) else { return Ok(()) };
        stands_in_order(&program);
        everybody_comes_back(&program);
        every_effect_has_its_way_back(&program);
        let stored = serde_json::to_string(&program).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Program>(&stored).unwrap(), &program, "as it is frozen");
        let world = World::new(program, false);
        let everything: Vec<String> = world.program.forward.iter().flatten().map(|op| op.id.clone()).collect();
        let (forward, release) = everything.split_at(everything.len() - 1);
        prop_assert_eq!(release, ["release"]);
        let mut known = HashMap::new();
        prop_assert_eq!(world.end_of(&world.start(), &mut known), Outcome::Succeeded);
        let back = world.done(&world.start(), forward).turned_around();
        prop_assert_eq!(world.end_of(&back, &mut known), Outcome::RolledBack);
    }
}

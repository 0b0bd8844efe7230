//! Targets of which no backup can be taken, and files in another language than the target's.

use super::super::{Compiled, Kind, Program, Seen};
use super::shop::{compiled, seen};
use crate::api::target::VerificationLevel;
use crate::script::{Dialect, read_bundle};
use std::collections::BTreeMap;

const PLAN: &str = "stages: [{name: Data, steps: [{name: schema, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}]}]";

/// The shop with a graph of which nobody takes a backup, and these files for it.
fn graph(files: &[(&str, &str)]) -> Seen {
    let mut seen = seen(PLAN);
    let target = seen.targets.get_mut("orders").unwrap();
    (target.speaks, target.proves, target.verification) =
        (Dialect::Cypher, VerificationLevel::None, VerificationLevel::None);
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())).collect();
    seen.bundles.insert("schema".into(), read_bundle(files, None, Dialect::Cypher).unwrap());
    seen
}

fn refusals(seen: &Seen) -> Vec<String> {
    compiled(PLAN, seen)
        .unwrap_err()
        .into_iter()
        .map(|refusal| format!("{}: {}", refusal.reason, refusal.message))
        .collect()
}

const UP: (&str, &str) = ("V1__a.cypher", "MATCH (u:User) WHERE u.t IS NULL SET u.t = 'x';");
const KEEPS: (&str, &str) =
    ("U1__a.cypher", "// whimbrel: undo keeps-data\nMATCH (u:User) WHERE u.t = 'x' REMOVE u.t;");

#[test]
fn with_an_undo_that_keeps_data_no_backup_is_needed() {
    let Ok(Compiled::Program(program)) = compiled(PLAN, &graph(&[UP, KEEPS])) else { panic!("it compiles") };
    let kinds = |program: &Program, wanted: fn(&Kind) -> bool| {
        program.forward.iter().flatten().filter(|op| wanted(&op.kind)).count()
    };
    let jobs =
        |kind: &Kind| matches!(kind, Kind::Backup { .. } | Kind::VerifyBackup { .. } | Kind::Trial { .. });
    assert_eq!(kinds(&program, jobs), 0);
    assert_eq!(kinds(&program, |kind| matches!(kind, Kind::Apply { .. } | Kind::ProveQuiet { .. })), 2);
    assert!(!program.targets["orders"].backed_up);
    let frozen = serde_json::to_string(&program).unwrap();
    assert_eq!(serde_json::from_str::<Program>(&frozen).unwrap(), *program);
}

#[test]
fn what_only_a_backup_could_bring_back_is_refused() {
    let said = "GuardBlocked: step schema: V1__a.cypher can't be taken back without a loss, and no backup of target orders is taken: name its server and volume (spec.server), or give each an undo file that keeps data and says so (// whimbrel: undo keeps-data), and delete nothing in it; or run it by hand, with a dump";
    assert_eq!(refusals(&graph(&[UP])), [said]);
    let drops = ("U1__a.cypher", "MATCH (u:User) REMOVE u.t;");
    assert_eq!(refusals(&graph(&[UP, drops])), [said]);
    let deletes = ("V1__a.cypher", "MATCH (u:Old) DETACH DELETE u;");
    assert_eq!(refusals(&graph(&[deletes, KEEPS])), [said]);
    let mut proven = graph(&[UP, KEEPS]);
    proven.targets.get_mut("orders").unwrap().verification = VerificationLevel::Structure;
    assert_eq!(
        refusals(&proven),
        [
            "GuardBlocked: step schema: a backup of target orders shall reach Structure, and none of it is taken: name its server and volume (spec.server), or say backup.verification: None, in the target and the plan"
        ]
    );
}

#[test]
fn an_export_proves_little_and_nobody_relies_on_it() {
    let exported = |files: &[(&str, &str)], level| {
        let mut seen = graph(files);
        let target = seen.targets.get_mut("orders").unwrap();
        (target.proves, target.verification) = (VerificationLevel::Artifact, level);
        seen
    };
    let Ok(Compiled::Program(program)) = compiled(PLAN, &exported(&[UP, KEEPS], VerificationLevel::Artifact))
    else {
        panic!("it compiles")
    };
    let backups = program
        .forward
        .iter()
        .flatten()
        .filter(|op| matches!(op.kind, Kind::Backup { .. } | Kind::Trial { .. }));
    assert_eq!(backups.count(), 2);
    assert!(program.targets["orders"].backed_up);
    assert_eq!(
        refusals(&exported(&[UP, KEEPS], VerificationLevel::Structure)),
        [
            "GuardBlocked: step schema: a backup of target orders shall reach Structure, and an export proves no more than Artifact: say backup.verification: Artifact, in the target and the plan, or backup.method: Offline in its engine's block"
        ]
    );
    assert_eq!(
        refusals(&exported(&[UP], VerificationLevel::Artifact)),
        [
            "GuardBlocked: step schema: V1__a.cypher can't be taken back without a loss, and an export of target orders is put back by hand alone: say backup.method: Offline in its engine's block, or give each an undo file that keeps data and says so (// whimbrel: undo keeps-data), and delete nothing in it; or run it by hand, with a dump"
        ]
    );
    let online = format!("backup: {{when: Online}}\n{PLAN}");
    let refusals = compiled(&online, &exported(&[UP, KEEPS], VerificationLevel::Artifact)).unwrap_err();
    assert_eq!(
        refusals[0].message,
        "step schema: backup.when: an export of target orders is no snapshot, and is not whole where somebody writes meanwhile: leave it at Quiesced"
    );
}

#[test]
fn files_in_another_language_than_the_targets() {
    let mut other = graph(&[UP, KEEPS]);
    other.targets.get_mut("orders").unwrap().speaks = Dialect::Postgresql;
    assert_eq!(
        refusals(&other),
        [
            "InvalidSpec: step schema: the files are named as Cypher, which is Cypher, and the target takes SQL: name them V1_2__text.sql, U1_2__text.sql, R__text.sql (Flyway) or V001-text-up.sql, V001-text-down.sql (UpDown)"
        ]
    );
    let mut dated =
        graph(&[("2025-01-15-001-a.cypher", "RETURN 1;"), ("2025-01-15-001-a-down.cypher", "RETURN 1;")]);
    dated.targets.get_mut("orders").unwrap().of_the_peer.insert("default".into());
    assert_eq!(
        refusals(&dated),
        [
            "InvalidSpec: step schema: history default of target orders is neo4j-migrations' too, which knows no files named as CypherDated: name them V001__text.cypher, or declare a history in format Whimbrel"
        ]
    );
}

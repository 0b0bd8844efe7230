//! What a person reads before approving: how each database would be brought back, and from where on nobody could.

use super::fixture::Story;
use super::tests::status;
use crate::program::{Pending, Program};
use crate::script::{Dialect, Value, Values, read_bundle};
use std::sync::Arc;

#[test]
fn the_preview_says_that_an_online_backup_is_no_automatic_way_back() {
    let mut story = Story::new();
    let mut program = Program::clone(story.report.program.as_ref().unwrap());
    let files = [("V7__orders.sql".to_owned(), b"drop table orders;".to_vec())].into();
    let scripts = read_bundle(files, None, Dialect::Postgresql).unwrap().scripts;
    program.bundles.insert("entities".into(), Pending::new("tas", "default", scripts, &[]));
    let shown = |story: &Story| {
        let status = status(story);
        let backup = status.preview.lines().find(|line| line.contains("backs up")).unwrap_or_default();
        (backup.trim_start_matches(char::is_numeric).trim().to_owned(), status.point_of_no_return.unwrap())
    };
    story.report.program = Some(Arc::new(program.clone()));
    let (backup, point) = shown(&story);
    assert!(backup.ends_with("backs up tas"), "{backup}");
    assert_eq!(
        point,
        "after the first give-back, only if somebody has written by then: V7__orders.sql has no undo, and the restore would drop it"
    );
    let mut manual = story.clone();
    manual.report.record.restore_trials =
        [("tas".to_owned(), "role app may not create databases".to_owned())].into();
    let (_, point) = shown(&manual);
    assert_eq!(
        point,
        "once it is applied: V7__orders.sql has no undo that brings the data back, and a restore needs a person: role app may not create databases"
    );
    assert!(
        status(&manual).preview.contains("  back of tas: restore of its backup by hand: role app may not")
    );
    let place = program.forward.iter().position(|group| group[0].id == "backup/tas").unwrap();
    let backups: Vec<_> = program.forward.drain(place..place + 2).collect();
    program.forward.splice(5..5, backups);
    story.report.program = Some(Arc::new(program));
    let (backup, point) = shown(&story);
    assert!(backup.ends_with("backs up tas, while services run"), "{backup}");
    assert!(point.starts_with("once it is applied: V7__orders.sql has no undo"), "{point}");
    assert!(point.ends_with("(backup.when: Online), without what is written after it"), "{point}");
}

#[test]
fn the_preview_says_how_a_script_of_requests_runs_and_where_a_secret_stands() {
    let mut story = Story::new();
    let mut program = Program::clone(story.report.program.as_ref().unwrap());
    let files = [
        ("V7__users.http".to_owned(), b"PUT /users/_doc/1\n\n{\"key\": \"${key}\"}\n".to_vec()),
        ("U7__users.http".to_owned(), b"# whimbrel: undo keeps-data\nDELETE /users/_doc/1\n".to_vec()),
    ];
    let mut scripts = read_bundle(files.into(), None, Dialect::Http).unwrap().scripts;
    let key = Value { text: "hunter2".into(), secret: true };
    scripts[0].values = Values::new([("key".to_owned(), key)].into());
    program.bundles.insert("entities".into(), Pending::new("tas", "default", scripts, &[]));
    story.report.program = Some(Arc::new(program));
    let preview = status(&story).preview;
    assert!(
        preview.contains(
            "V7__users.http, request by request, undo keeps data; a secret at V7__users.http:3: whoever can write it writes the request"
        ),
        "{preview}"
    );
    assert!(!preview.contains("hunter2"));
}

//! elasticsearch-evolution itself: it reads what we wrote and goes on, and we read what it wrote and go on.

use std::process::{Command, Output};

use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{Bed, HISTORY, PEER, enter, env, scripts};

const FILES: [(&str, &str); 4] = [
    (
        "V001.00__users.http",
        "# the index\nPUT /users\nContent-Type: application/json\n\n{\n  // without copies\n  \"settings\": {\"number_of_replicas\": 0}\n}\n",
    ),
    ("V001.01__first.http", "PUT /users/_doc/1?refresh=true\r\n\r\n{\"n\": \"ä\"}\r\n"),
    (
        "V1_2__bulk.http",
        "POST /users/_bulk?refresh=true\nContent-Type: application/x-ndjson\n\n{\"index\":{\"_id\":\"2\"}}\n{\"n\":\"b\"}\n",
    ),
    (
        "V2__alias.http",
        "POST /_aliases\n\n{\"actions\":[{\"add\":{\"index\":\"users\",\"alias\":\"people\"}}]}\n",
    ),
];

/// Runs the library on a folder with the first `files` of the above.
fn library(bed: &Bed, files: usize) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in &FILES[..files] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let home = env("EVOLUTION");
    let output = Command::new("java")
        .args(["-cp", &format!("{home}:{home}/lib/*"), "Evolve", &bed.url()])
        .arg(folder.path())
        .output();
    output.expect("java is there")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn each_goes_on_where_the_other_stopped() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let all = scripts(&FILES);

    // It begins.
    assert_eq!(said(&library(&bed, 1)), "applied 1");
    let look = engine.look().await.expect("a look");
    let rows = &look.histories[HISTORY];
    assert!(rows.len() == 1 && all[0].has_checksum(&rows[0].checksum), "{rows:?}");
    assert_eq!(
        (rows[0].key.as_str(), rows[0].file.as_str(), rows[0].description.as_str()),
        ("1", "V001.00__users.http", "users")
    );

    // We go on.
    let mut session = enter(&engine, &bed.fence(1)).await;
    for script in &all[1..3] {
        session.apply(HISTORY, script).await.expect("applies");
    }
    session.leave(Claim::GiveUp).await.expect("leaves");
    // It compares every checksum with ours before it does anything.
    assert_eq!(said(&library(&bed, 3)), "applied 0");

    // It goes on, and applies nothing of ours again.
    assert_eq!(said(&library(&bed, 4)), "applied 1");
    assert_eq!(bed.count("people"), 2);
    let rows = engine.look().await.expect("a look").histories.remove(HISTORY).unwrap_or_default();
    let known: Vec<_> = rows
        .iter()
        .zip(&all)
        .map(|(row, script)| row.key == script.key && script.has_checksum(&row.checksum))
        .collect();
    assert_eq!(known, [true; 4], "{rows:?}");

    // What it writes and what we write are the same fields.
    let fields = |id: &str| -> Vec<String> {
        let mut names: Vec<_> = bed.get(&format!("/{PEER}/_doc/{id}"))["_source"]
            .as_object()
            .expect("a row")
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    assert_eq!(fields("1"), fields("1.1"));
    assert_eq!(said(&library(&bed, 4)), "applied 0");
}

#[tokio::test]
async fn it_waits_while_we_hold_the_lock() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let session = enter(&engine, &bed.fence(1)).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILES[0].0), FILES[0].1).expect("written");
    let home = env("EVOLUTION");
    let mut waiting = tokio::process::Command::new("java")
        .args(["-cp", &format!("{home}:{home}/lib/*"), "Evolve", &bed.url()])
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("java is there");
    // Until it says that it waits.
    let lines = waiting.stderr.take().expect("piped");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(lines));
    while let Some(line) = lines.next_line().await.expect("readable") {
        if line.contains("is locked, waiting") {
            break;
        }
    }
    assert!(waiting.try_wait().expect("asked").is_none() && !bed.has("/users"));
    session.leave(Claim::GiveUp).await.expect("leaves");
    // Read on, so that it is never stopped by a full pipe.
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    assert!(waiting.wait().await.expect("ends").success());
    reading.await.expect("read");
    assert!(bed.has("/users"));
}

//! The way back: a store that was changed after its backup, and what stands there when it is put back.

use std::fs;

use serde_json::Value;
use whimbrel::engine::{Claim, Engine as _, EngineError, Session as _};

use crate::server::{RUN, World, fence, scripts, wait};

/// Dumps, then lets the server change everything that a restore must bring back.
pub(crate) fn dumped_and_changed(world: &World) -> Value {
    let backup = world.dump().ok("backup");
    let server = world.server();
    wait(async {
        let mut session = server.engine().enter(&fence(4)).await.expect("enters");
        let change =
            "MATCH (p:Person) WHERE p.n > 5 DETACH DELETE p;\nCREATE (:Changed {by: 'the failed run'});";
        session.apply("default", &scripts(&[("V4__x.cypher", change)])[0]).await.expect("applies");
        session.leave(Claim::Keep).await.expect("leaves");
    });
    assert_ne!(server.proof(), world.proof);
    server.stop();
    backup
}

/// The server starts on what stands there and has what was backed up, stamped; what was there is aside.
pub(crate) fn is_put_back(world: &World, aside: &str, token: u64) {
    let server = world.server();
    // The login is that of the system database, which stayed.
    assert_eq!(server.proof(), world.proof);
    assert_eq!(server.value("MATCH (p:Person) RETURN count(p)"), "400");
    assert_eq!(server.value("MATCH (f:__WhimbrelFence) RETURN f.token"), token.to_string());
    assert_eq!(
        server.value(
            "MATCH (f:__WhimbrelFence) RETURN f.claimed AND f.runUid = '5c1e0000-88aa-4a63-9b65-000000000001'"
        ),
        "true"
    );
    assert_eq!(server.value("MATCH (l:__Neo4jMigrationsLock) RETURN count(l)"), "0");
    assert_eq!(server.value("MATCH (s:__WhimbrelScript {state: 'Started'}) RETURN count(s)"), "0");
    assert_eq!(server.value("SHOW INDEXES YIELD state WHERE state <> 'ONLINE' RETURN count(*)"), "0");
    wait(async {
        // An older epoch that wakes up does not get in; the run itself does, and writes.
        let late = server.engine().enter(&fence(token - 1)).await;
        assert!(matches!(late, Err(EngineError::Overtaken { .. })), "{:?}", late.err());
        let mut session = server.engine().enter(&fence(token)).await.expect("enters");
        session.apply("default", &scripts(&[("V5__y.cypher", "CREATE (:After)")])[0]).await.expect("applies");
        session.leave(Claim::GiveUp).await.expect("leaves");
    });
    server.stop();
    let aside = world.data().join(aside);
    assert!(aside.join("databases/neo4j").is_dir() && aside.join("transactions/neo4j").is_dir());
    assert!(!world.data().join("wb-restore-7-5c1e0000").exists(), "the copy's own files are gone");
}

#[test]
fn a_dump_is_put_back_and_what_was_there_is_kept() {
    let world = World::new();
    let backup = dumped_and_changed(&world);
    let done = world.restore(&backup, 5).ok("restore");
    assert_eq!(done["aside"], "wb-aside-7-5c1e0000");
    assert_eq!((&done["path"], &done["sha256"]), (&backup["path"], &backup["sha256"]));
    // Again says the same, and does nothing.
    let again = world.restore(&backup, 6).ok("restore");
    assert_eq!((&again["aside"], &again["bytes"]), (&done["aside"], &done["bytes"]));
    is_put_back(&world, "wb-aside-7-5c1e0000", 5);
    // A Job of an older driver leaves it alone.
    let late = world.restore(&backup, 4);
    assert_eq!(late.code, Some(43));
    assert_eq!(
        late.message(),
        "the target's token is 5, this Job has epoch 4: a newer driver owns the target"
    );
    // What is aside is the store of the failed run, and a server starts on it.
    let (data, aside) = (world.data(), world.data().join("wb-aside-7-5c1e0000"));
    for kind in ["databases", "transactions"] {
        fs::rename(data.join(kind).join("neo4j"), data.join(kind).join("restored")).expect("there");
        fs::rename(aside.join(kind).join("neo4j"), data.join(kind).join("neo4j")).expect("there");
    }
    let server = world.server();
    assert_eq!(server.value("MATCH (c:Changed) RETURN c.by"), "the failed run");
    server.stop();
}

#[test]
fn a_copy_that_is_not_what_the_run_began_with_is_not_swapped_in() {
    let world = World::new();
    let backup = dumped_and_changed(&world);
    let mut other = world.proof.clone();
    other.structure = other.structure.replace("counts=", "counts=0");
    let done = world.run(world.restore_command(&backup, RUN, 5, &other));
    assert_eq!(done.message(), "the backup does not give back what was in the database: its counts differ");
    assert_eq!(done.code, Some(42));
    let server = world.server();
    assert_eq!(server.value("MATCH (c:Changed) RETURN count(c)"), "1", "nothing of the server's was touched");
    // And while it runs, nothing is.
    let done = world.restore(&backup, 5);
    assert!(done.message().starts_with("the server has database neo4j open"), "{}", done.message());
    server.stop();
    // Another run's backup, or one that was changed since it was verified, is no backup of this one.
    let mut changed = backup.clone();
    changed["sha256"] = "ab12".into();
    let done = world.restore(&changed, 5);
    assert!(done.message().contains("it was changed since"), "{}", done.message());
    world.restore(&backup, 5).ok("restore");
    is_put_back(&world, "wb-aside-7-5c1e0000", 5);
}

#[test]
fn what_is_aside_is_deleted_only_for_the_run_that_put_it_there() {
    let world = World::new();
    let backup = dumped_and_changed(&world);
    world.restore(&backup, 5).ok("restore");
    let data = world.data().display().to_string();
    let drop = |uid: &str, run: &str| {
        world.run(world.worker("drop-put-aside", &[("data", &data), ("run-uid", uid), ("run", run)]))
    };
    assert_eq!(drop("ffff0000-1", "7").ok("aside")["dropped"], serde_json::json!([]));
    let refused = drop("5c1e0000-ffff", "7");
    assert!(
        refused.message().ends_with("no note in it says that it is this run's; it is not deleted"),
        "{}",
        refused.message()
    );
    assert_eq!(drop(RUN, "7").ok("aside")["dropped"], serde_json::json!(["wb-aside-7-5c1e0000"]));
    assert!(!world.data().join("wb-aside-7-5c1e0000").exists());
    let server = world.server();
    assert_eq!(server.proof(), world.proof);
    server.stop();
}

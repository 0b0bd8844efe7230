//! Dumps in a bucket, on a real MinIO: sent while the tool writes them, and read while it loads them.

use std::fs;

use whimbrel::engine::{Claim, Engine as _, Session as _};

use crate::by_hand::by_hand;
use crate::put_back::{dumped_and_changed, is_put_back};
use crate::s3::Bucket;
use crate::server::{World, fence, scripts, until, wait};

const DUMP: &str = "some/where/release/7/graph-1/data/neo4j.dump";

fn bucket(world: &World) -> &Bucket {
    world.bucket.as_ref().expect("this world has one")
}

#[test]
fn a_dump_in_a_bucket_is_proven_put_back_and_deleted() {
    let world = World::in_bucket("neo4j-s3");
    let backup = dumped_and_changed(&world);
    let (path, root) = ("release/7/graph-1", "some/where/release/7/graph-1");
    assert_eq!(backup["path"], path);
    assert_eq!(backup["kept"]["count"], 1, "counted as a finished backup: {backup}");
    let all = [format!("{root}/attempt.json"), DUMP.to_owned(), format!("{root}/manifest.json")];
    assert_eq!(bucket(&world).keys(), all);
    assert_eq!(bucket(&world).get(DUMP).len() as u64, backup["bytes"].as_u64().expect("a number"));
    for level in ["Artifact", "Structure", "Restored"] {
        let proven = world.prove(path, level, Some(&world.proof)).ok("verify");
        assert_eq!((&proven["level"], &proven["sha256"]), (&level.into(), &backup["sha256"]));
    }
    let restored = world.restore(&backup, 5).ok("restore");
    assert_eq!(restored["aside"], "wb-aside-7-5c1e0000");
    is_put_back(&world, "wb-aside-7-5c1e0000", 5);
    let sha256 = backup["sha256"].as_str().expect("a text");
    let mut prune =
        world.worker("prune", &[("target", "graph"), ("delete", &format!("{sha256}/9b7f/7/{path}"))]);
    prune.args(world.storage());
    let pruned = world.run(prune).ok("prune");
    assert_eq!(bucket(&world).keys(), [""; 0], "{pruned}");
}

#[test]
fn a_damaged_dump_is_neither_proven_nor_put_back() {
    let world = World::in_bucket("neo4j-s3-damaged");
    let backup = dumped_and_changed(&world);
    let path = backup["path"].as_str().expect("a text");
    let whole = bucket(&world).get(DUMP);
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    bucket(&world).put(DUMP, &damaged);
    let said = "the backup is damaged: neo4j.dump has another SHA-256 than when it was written";
    for level in ["Artifact", "Structure", "Restored"] {
        assert_eq!(world.prove(path, level, Some(&world.proof)).message(), said, "{level}");
    }
    assert_eq!(world.restore(&backup, 5).message(), said);
    assert!(by_hand(&world, &backup).unwrap_err().contains("neo4j.dump has another SHA-256"));
    let left: Vec<_> =
        fs::read_dir(world.data()).expect("is there").flatten().map(|it| it.file_name()).collect();
    assert!(
        !left.iter().any(|it| it.to_string_lossy().starts_with("wb-aside")),
        "nothing was moved: {left:?}"
    );
    bucket(&world).put(DUMP, &whole[..whole.len() - 1]);
    assert!(world.restore(&backup, 5).message().contains("bytes, not"), "shorter");
    bucket(&world).put(DUMP, &whole);
    by_hand(&world, &backup).unwrap();
    let server = world.server();
    assert_eq!(server.proof(), world.proof);
    server.stop();
}

#[test]
fn whatever_ends_a_dump_nothing_of_it_stays_in_the_bucket() {
    let world = World::in_bucket("neo4j-s3-ended");
    let mut child = world.dump_command(&world.data().display().to_string(), "neo4j").spawn().expect("starts");
    until("the upload is begun", || bucket(&world).uploads(DUMP) == 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    assert_eq!(child.wait().expect("a child").code(), Some(1));
    assert_eq!((bucket(&world).keys(), bucket(&world).uploads(DUMP)), (vec![], 0));
    // What the tool says of the store is understood where it writes the dump itself beside it.
    let server = world.server();
    wait(async {
        let mut session = server.engine().enter(&fence(3)).await.expect("enters");
        session.apply("default", &scripts(&[("V4__x.cypher", "CREATE (:Late)")])[0]).await.expect("applies");
        session.leave(Claim::Keep).await.expect("leaves");
    });
    server.kill();
    let done = world.dump();
    assert!(
        done.message().starts_with("the store of database neo4j was not closed cleanly"),
        "{}",
        done.message()
    );
    assert_eq!((done.code, bucket(&world).keys(), bucket(&world).uploads(DUMP)), (Some(42), vec![], 0));
}

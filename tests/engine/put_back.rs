//! A restored copy swapped in: completely or not at all, from every point at which somebody may have died.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use whimbrel::engine::postgresql::{Label, Postgresql, Settings, Stage, aside, beside, lock};
use whimbrel::engine::{Claim, Engine, EngineError, Fence, PutBack, Session, Stamp};

use crate::bed::{As, Bed, HISTORY, admin, port, psql_command, raw, until};
use crate::proxy::{Proxy, Way};
use crate::witness::Witness;

/// What the restore's Job leaves: a complete copy that says whose it is.
fn copy(bed: &Bed) -> Label {
    let (name, database) = (beside(&bed.database, 1), &bed.database);
    admin(&format!("CREATE DATABASE {name} TEMPLATE {database} OWNER {}", bed.role));
    let label = Label {
        whimbrel: Stage::Restored,
        database: database.clone(),
        run_uid: bed.fence(1).run_uid,
        run: 1,
        backup: Some("ab12".to_owned()),
        comment: Some("it's the one".to_owned()),
        token: None,
        replaced_by: None,
    };
    admin(&format!("COMMENT ON DATABASE {name} IS '{}'", label.text().replace('\'', "''")));
    label
}

/// A database with one script in it, a copy of it, and then the damage: a second script, half of a third, and rows.
async fn damaged(bed: &Bed) -> Stamp {
    let mut session = bed.enter(1).await;
    session
        .apply(HISTORY, &raw("1", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)", None))
        .await
        .expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    let proof = bed.engine().proof().await.expect("can be read");
    copy(bed);
    let mut session = bed.engine().enter(&bed.fence(1)).await.expect("nobody is in the way");
    session
        .apply(HISTORY, &raw("2", "DROP TABLE kept; CREATE TABLE damage ()", None))
        .await
        .expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    bed.psql("INSERT INTO whimbrel.journal (state, history, rank, key, kind, description, file, checksum, token, run_uid, run)
              VALUES ('Started', 'default', 3, '3', 'Versioned', 'd', 'f', 'c', 1, 'r', 1)");
    Stamp { histories: proof.histories, structure: Some(proof.structure), mark: None }
}

fn owner() -> Bed {
    let bed = Bed::new(As::Owner);
    admin(&format!("ALTER ROLE {} CREATEDB", bed.role));
    bed
}

fn oid(name: &str) -> String {
    admin(&format!("SELECT oid FROM pg_database WHERE datname = '{name}'"))
}

fn stage(name: &str) -> Option<Stage> {
    let comment = admin(&format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'"
    ));
    Label::read(&comment).map(|label| label.whimbrel)
}

/// What has to be true once it is done, whatever happened on the way.
fn is_back(bed: &Bed, done: &PutBack, token: u64) {
    let (name, kept) = (&bed.database, aside(&bed.database, 1));
    assert_eq!(done.aside, kept);
    assert_eq!(done.identity.rsplit('/').next(), Some(oid(name).as_str()));
    assert_eq!(bed.psql("SELECT n FROM kept"), "1");
    assert_eq!(bed.psql("SELECT to_regclass('damage') IS NULL"), "t");
    assert_eq!(bed.applied(), "1");
    assert_eq!(
        bed.psql("SELECT token, claimed, run_uid, entry IS NULL FROM whimbrel.fence"),
        format!("{token}|t|{}|t", bed.fence(1).run_uid)
    );
    assert_eq!(bed.psql("SELECT count(*) FROM whimbrel.journal"), "0");
    let comment =
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    assert_eq!(admin(&comment), "it's the one");
    assert_eq!(oid(&beside(name, 1)), "", "the copy has the name");
    assert_eq!(stage(&kept), Some(Stage::Aside));
    assert_eq!(admin(&format!("SELECT datallowconn FROM pg_database WHERE datname = '{kept}'")), "f");
}

/// Nothing has changed, and everybody may come in.
fn is_as_it_was(bed: &Bed) {
    assert_eq!(bed.psql("SELECT to_regclass('kept') IS NULL, to_regclass('damage') IS NOT NULL"), "t|t");
    assert_eq!(stage(&beside(&bed.database, 1)), Some(Stage::Restored));
    assert_eq!(oid(&aside(&bed.database, 1)), "");
}

/// Tries again as the driver does.
async fn put_back(engine: &Postgresql, fence: &Fence, stamp: &Stamp) -> PutBack {
    let mut busy = None;
    for _ in 0..200 {
        match engine.put_back(fence, stamp).await {
            Ok(done) => return done,
            Err(error @ EngineError::Busy { .. }) => busy = Some(error),
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    panic!("{busy:?}")
}

#[tokio::test]
async fn the_copy_takes_the_name_and_the_damaged_one_is_kept() {
    for bed in [Bed::new(As::Superuser), owner()] {
        let engine = bed.engine();
        let before = engine.look().await.expect("looks");
        let stamp = damaged(&bed).await;
        let done = engine.put_back(&bed.fence(2), &stamp).await.expect("swaps");
        is_back(&bed, &done, 2);
        assert_ne!(done.identity, before.identity);

        // The engine knows that this is its own doing.
        let look = engine.look().await.expect("no other past");
        assert_eq!(look.identity, done.identity);
        assert_eq!(
            engine.proof().await.expect("can be read").structure,
            stamp.structure.clone().expect("was given")
        );

        assert_eq!(engine.put_back(&bed.fence(2), &stamp).await.expect("is done"), done);
        assert_eq!(bed.engine().put_back(&bed.fence(3), &stamp).await.expect("is done"), done);
        let session = engine.enter(&bed.fence(3)).await.expect("the run goes on");
        assert_eq!(session.histories()[HISTORY].len(), 1);
        session.leave(Claim::GiveUp).await.expect("leaves");

        admin(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", done.aside));
        assert_eq!(crate::bed::psql(&done.aside, "SELECT count(*) FROM damage"), "0", "its data is there");
        let dropped = engine.drop_aside(&bed.fence(4), 1).await.expect("is ours");
        assert_eq!(dropped, [done.aside]);
        assert_eq!(engine.drop_aside(&bed.fence(4), 1).await.expect("nothing is there"), [""; 0]);
    }
}

/// What was written after the way back was decided, while the copy was made, is not thrown away.
#[tokio::test]
async fn a_database_that_somebody_wrote_to_meanwhile_is_not_replaced() {
    let bed = owner();
    let (engine, fence) = (bed.engine(), bed.fence(2));
    let stamp = damaged(&bed).await;
    let mark = engine.quiet(&fence).await.expect("samples").mark;
    assert!(mark.is_some(), "the owner can read all of it");
    let stamp = Stamp { mark, ..stamp };
    bed.psql("CREATE TABLE written_meanwhile (n int); INSERT INTO written_meanwhile VALUES (1)");
    let refused = engine.put_back(&fence, &stamp).await.expect_err("is refused");
    assert!(matches!(refused, EngineError::NotRestorable { .. }), "{refused}");
    assert!(refused.to_string().contains("somebody wrote to it while the copy was made"), "{refused}");
    is_as_it_was(&bed);
    assert_eq!(bed.psql("SELECT n FROM written_meanwhile"), "1");
    let accepted = Stamp { mark: None, ..stamp };
    let before = engine.look().await.expect("looks").identity;
    let done = put_back(&engine, &fence, &accepted).await;
    assert_eq!(done.replaced, before);
    is_back(&bed, &done, 2);
}

/// How many bytes a whole one sends and gets.
async fn lengths(proxy: &Proxy) -> [usize; 2] {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    proxy.count();
    Postgresql::new(bed.plain(proxy.port)).put_back(&bed.fence(2), &stamp).await.expect("swaps");
    [Way::ToServer, Way::ToClient].map(|way| proxy.passed(way))
}

/// Cut after any message or answer: whoever comes next goes on from there.
#[tokio::test]
async fn from_every_cut_there_is_one_continuation() {
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let all = lengths(&proxy).await;
    let cuts = [Way::ToServer, Way::ToClient].into_iter().zip(all);
    for (number, (way, bytes)) in cuts
        .flat_map(|(way, all)| (1..=6).map(move |step| (way, step * all / 6)))
        .chain([(Way::ToClient, all[1].saturating_sub(120)), (Way::ToClient, all[1].saturating_sub(40))])
        .enumerate()
    {
        let bed = if number % 2 == 0 { Bed::new(As::Superuser) } else { owner() };
        let stamp = damaged(&bed).await;
        // Every third time the server does not notice that its client is gone.
        if number % 3 == 0 {
            proxy.hide_after(way, bytes)
        } else {
            proxy.cut_after(way, bytes)
        }
        let impatient = Settings { connect_timeout: Duration::from_secs(5), ..bed.plain(proxy.port) };
        let cut = Postgresql::new(impatient).put_back(&bed.fence(2), &stamp).await;
        proxy.mend();
        assert!(
            matches!(&cut, Ok(_) | Err(EngineError::Lost { .. } | EngineError::Unreachable { .. })),
            "{way:?} {bytes}: {cut:?}"
        );
        // Whoever goes on asks for silence first, also where the door is closed already.
        bed.engine().quiet(&bed.fence(3)).await.expect("says who is there");
        let done = put_back(&bed.engine(), &bed.fence(3), &stamp).await;
        let token = bed.psql("SELECT token FROM whimbrel.fence").parse().expect("a number");
        assert!((2..=3).contains(&token), "{way:?} {bytes}");
        is_back(&bed, &done, token);
        assert_eq!(bed.engine().put_back(&bed.fence(3), &stamp).await.expect("is done"), done);
    }
}

/// A driver that died between closing the database and the swap: the next one asks for silence before it goes on.
#[tokio::test]
async fn a_database_that_a_swap_has_closed_is_silent_to_its_run_alone() {
    let bed = owner();
    let stamp = damaged(&bed).await;
    let copy = beside(&bed.database, 1);
    admin(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", bed.database));
    let closed = |quiet| matches!(quiet, Err(EngineError::Server { code, .. }) if code == "55000");
    assert!(closed(bed.engine().quiet(&bed.fence(3)).await), "by somebody");
    let comment = admin(&format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{copy}'"
    ));
    let label = Label::read(&comment).expect("says whose it is");
    let label = Label { whimbrel: Stage::Swapping, token: Some(2), ..label };
    admin(&format!("COMMENT ON DATABASE {copy} IS '{}'", label.text().replace('\'', "''")));
    let another = Fence { run_uid: "ffff0000-88aa-4a63-9b65-000000000009".to_owned(), ..bed.fence(3) };
    assert!(closed(bed.engine().quiet(&another).await), "by another run");
    let quiet = bed.engine().quiet(&bed.fence(3)).await.expect("nobody gets in");
    assert_eq!((quiet.foreign.len(), quiet.obstacles.len()), (0, 0));
    let done = put_back(&bed.engine(), &bed.fence(3), &stamp).await;
    is_back(&bed, &done, 3);
}

#[tokio::test]
async fn an_older_epoch_does_nothing() {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    bed.psql("UPDATE whimbrel.fence SET token = 4");
    let refusal = bed.engine().put_back(&bed.fence(3), &stamp).await.expect_err("a newer one has it");
    assert!(matches!(refusal, EngineError::Overtaken { token: 4, .. }), "{refusal}");
    is_as_it_was(&bed);

    // The older one stands in the middle of it, its sessions alive, when the newer one comes.
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let [_, answers] = lengths(&proxy).await;
    proxy.hide_after(Way::ToClient, answers / 2);
    let cut = Postgresql::new(bed.plain(proxy.port)).put_back(&bed.fence(4), &stamp).await;
    assert!(cut.is_err());
    let done = put_back(&bed.engine(), &bed.fence(5), &stamp).await;
    is_back(&bed, &done, 5);
    let refusal = bed.engine().put_back(&bed.fence(4), &stamp).await.expect_err("a newer one was here");
    assert!(matches!(refusal, EngineError::Overtaken { token: 5, .. }), "{refusal}");
}

/// Between the look at the token and the closed door nobody can raise it: he waits, and is ended.
#[tokio::test]
async fn a_session_that_waits_for_the_fence_does_not_get_in_between() {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    let engine = bed.engine();
    let (fence, expected) = (bed.fence(2), stamp.clone());
    // Stops it after the fence is held and before the copy is stamped.
    let mut in_the_copy = Witness::new(&beside(&bed.database, 1), "holder");
    in_the_copy.say("BEGIN; SELECT token FROM whimbrel.fence FOR UPDATE");
    let swapping = tokio::spawn(async move { engine.put_back(&fence, &expected).await });
    let held = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name LIKE 'wb/%' AND datname = current_database()";
    until("the fence is held", || bed.psql(held) == "1").await;
    let mut late = Witness::new(&bed.database, "late");
    late.start("UPDATE whimbrel.fence SET token = 9");
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late' AND wait_event_type = 'Lock'";
    until("it waits", || bed.psql(waits) == "1").await;
    in_the_copy.say("COMMIT");
    let done = match swapping.await.expect("no panic") {
        Ok(done) => done,
        // The stamp gave way to the holder: the next try finds it gone.
        Err(EngineError::Busy { .. }) => put_back(&bed.engine(), &bed.fence(2), &stamp).await,
        Err(error) => panic!("{error}"),
    };
    is_back(&bed, &done, 2);
    admin(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", done.aside));
    assert_eq!(crate::bed::psql(&done.aside, "SELECT token FROM whimbrel.fence"), "1");
}

#[tokio::test]
async fn superusers_and_those_who_come_back_do_not_stop_it() {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    let _inside = Witness::new(&bed.database, "sits there");
    let _in_the_copy = Witness::new(&beside(&bed.database, 1), "an exporter");
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, database) = (stop.clone(), bed.database.clone());
    let comes_back = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            psql_command(&database)
                .args(["-c", "SELECT 1", "-c", "SELECT pg_sleep(10)"])
                .output()
                .expect("psql runs");
        }
    });
    let connected = format!("SELECT count(*) > 1 FROM pg_stat_activity WHERE datname = '{}'", bed.database);
    until("they are in", || admin(&connected) == "t").await;
    let done = put_back(&bed.engine(), &bed.fence(2), &stamp).await;
    stop.store(true, Ordering::SeqCst);
    admin(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        bed.database
    ));
    comes_back.join().expect("it ends");
    is_back(&bed, &done, 2);
}

#[tokio::test]
async fn whom_an_ordinary_owner_may_not_end_is_named_and_the_database_is_open_again() {
    let bed = owner();
    let stamp = damaged(&bed).await;
    let mut superuser = Witness::new(&bed.database, "a superuser");
    let pid = superuser.pid();
    let refusal = bed.engine().put_back(&bed.fence(2), &stamp).await.expect_err("may not end it");
    let EngineError::Busy { by, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!((by.pid, by.sql.clone()), (Some(pid), Some(format!("SELECT pg_terminate_backend({pid});"))));
    assert!(
        by.what.ends_with(&format!("is connected to {} and can't be ended by our role", bed.database)),
        "{by}"
    );
    is_as_it_was(&bed);
    drop(superuser);
    let done = put_back(&bed.engine(), &bed.fence(2), &stamp).await;
    is_back(&bed, &done, 2);
}

#[tokio::test]
async fn a_prepared_transaction_is_somebodys_and_is_not_lost() {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    bed.psql("BEGIN; INSERT INTO whimbrel.history SELECT * FROM whimbrel.history WHERE false; CREATE TABLE p (); PREPARE TRANSACTION 'it''s'");
    let refusal = bed.engine().put_back(&bed.fence(2), &stamp).await.expect_err("is in the way").to_string();
    assert!(
        refusal.ends_with(
            "prepared transaction it's is open in it, and would be lost with it; whoever prepared it must commit it or \
             roll it back. To end it: ROLLBACK PREPARED 'it''s';"
        ),
        "{refusal}"
    );
    is_as_it_was(&bed);
    bed.psql("ROLLBACK PREPARED 'it''s'");
    let done = bed.engine().put_back(&bed.fence(2), &stamp).await.expect("nothing is in the way");
    is_back(&bed, &done, 2);
}

#[tokio::test]
async fn a_copy_that_is_not_what_the_run_began_with_stays_beside() {
    let bed = Bed::new(As::Superuser);
    let mut stamp = damaged(&bed).await;
    let right = stamp.histories.insert(HISTORY.to_owned(), "sha256:0".to_owned()).expect("there was one");
    let refusal = bed.engine().put_back(&bed.fence(2), &stamp).await.expect_err("another history");
    let words = format!(
        "the copy {} is not what the run began with: history default has other scripts",
        beside(&bed.database, 1)
    );
    assert!(refusal.to_string().ends_with(&words), "{refusal}");
    is_as_it_was(&bed);
    stamp.histories.insert(HISTORY.to_owned(), right);
    crate::bed::psql(&beside(&bed.database, 1), "CREATE TABLE smuggled ()");
    let refusal = bed.engine().put_back(&bed.fence(2), &stamp).await.expect_err("another structure");
    assert!(
        refusal.to_string().ends_with("its relations, columns, types differ")
            || refusal.to_string().contains("its relations"),
        "{refusal}"
    );
    is_as_it_was(&bed);
}

/// The restore's Job of the same run, or another driver.
#[tokio::test]
async fn who_holds_the_lock_is_named() {
    let bed = Bed::new(As::Superuser);
    let stamp = damaged(&bed).await;
    let mut other = Witness::new("postgres", "a restore");
    let pid = other.pid();
    other.say(&format!("SELECT pg_advisory_lock({})", lock(&bed.database)));
    let refusal = bed.engine().put_back(&bed.fence(2), &stamp).await.expect_err("one at a time");
    let EngineError::Busy { by, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!(by.pid, Some(pid));
    is_as_it_was(&bed);
}

#[tokio::test]
async fn only_what_says_that_it_is_ours_is_dropped() {
    let bed = Bed::new(As::Superuser);
    let kept = aside(&bed.database, 1);
    admin(&format!("CREATE DATABASE {kept}"));
    let refusal = bed.engine().drop_aside(&bed.fence(1), 1).await.expect_err("has no comment");
    assert!(
        refusal.to_string().contains(&format!("database {kept} is not dropped: its comment does not say")),
        "{refusal}"
    );
    let label = Label { whimbrel: Stage::Aside, run: 2, ..copy(&bed) };
    admin(&format!("COMMENT ON DATABASE {kept} IS '{}'", label.text().replace('\'', "''")));
    bed.engine().drop_aside(&bed.fence(1), 1).await.expect_err("is another run's");
    assert_ne!(oid(&kept), "");
    // The first run of another plan has the same number, and may be at work.
    let label = Label { run: 1, run_uid: "another".to_owned(), ..label };
    admin(&format!("COMMENT ON DATABASE {kept} IS '{}'", label.text().replace('\'', "''")));
    bed.engine().drop_aside(&bed.fence(1), 1).await.expect_err("is another plan's run's");
    let label = Label { run_uid: bed.fence(1).run_uid, ..label };
    admin(&format!("DROP DATABASE {kept}"));
    admin(&format!("CREATE DATABASE {}", beside(&bed.database, 3)));
    bed.engine().drop_aside(&bed.fence(1), 3).await.expect_err("has no comment");
    admin(&format!("DROP DATABASE {}", beside(&bed.database, 3)));
    admin(&format!(
        "COMMENT ON DATABASE {} IS '{}'",
        beside(&bed.database, 1),
        Label { whimbrel: Stage::Restoring, comment: None, run: 1, ..label }.text()
    ));
    assert_eq!(bed.engine().drop_aside(&bed.fence(1), 1).await.expect("is ours"), [beside(&bed.database, 1)]);
}

//! Who may go into a target, the same for every engine: what an engine's own tests begin with, and what they can't leave out.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use whimbrel::engine::{Claim, Engine, EngineError, Fence, Session};

/// The tests' own run at `target`.
pub(crate) fn fence(target: &str, token: u64) -> Fence {
    Fence {
        target: target.to_owned(),
        run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
        run: 1,
        plan: "test/release".to_owned(),
        cluster: "c1".to_owned(),
        token,
    }
}

/// Goes in once nobody is in the way any more.
pub(crate) async fn enter<E: Engine>(engine: &E, fence: &Fence) -> E::Session {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match engine.enter(fence).await {
            Ok(session) => return session,
            Err(EngineError::Busy { by, .. }) => {
                assert!(Instant::now() < deadline, "{by}");
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Why `fence` is not let in.
pub(crate) async fn refused<E: Engine>(engine: &E, fence: &Fence) -> EngineError {
    match engine.enter(fence).await {
        Ok(_) => panic!("{fence:?} was let in"),
        Err(refusal) => refusal,
    }
}

/// Another run than that of `ours`, of another plan in another cluster.
fn another_run(ours: &Fence, token: u64) -> Fence {
    Fence {
        run_uid: "eeeeeeee-88aa-4a63-9b65-000000000002".to_owned(),
        run: 4,
        plan: "other/plan".to_owned(),
        cluster: "c2".to_owned(),
        token,
        ..ours.clone()
    }
}

/// Two runs at one target that nobody has entered yet, which messages call `at`: the claim of one outlives its session and
/// keeps the other out until it is given up; the token outlives both.
pub(crate) async fn one_run_at_a_time<E: Engine>(engine: &E, ours: &Fence, at: &str) {
    let ours = |token| Fence { token, ..ours.clone() };
    let another = |token| another_run(&ours(token), token);
    let overtaken = |token| EngineError::Overtaken { at: at.to_owned(), token };
    let stays = "the session ends and its claim stays";
    let gone = "the session ends and gives its claim up";

    enter(engine, &ours(3)).await.leave(Claim::Keep).await.expect(stays);
    let claim = engine.look().await.expect("looks").claim.expect("claimed");
    assert_eq!((claim.token, claim.run_uid, claim.run), (3, ours(3).run_uid, ours(3).run));
    let Fence { run, plan, cluster, .. } = ours(3);
    for token in [1, 3, 9] {
        assert_eq!(
            refused(engine, &another(token)).await.to_string(),
            format!("{at} is claimed by run {run} of {plan} (cluster {cluster})")
        );
    }
    assert_eq!(refused(engine, &ours(2)).await, overtaken(3));
    enter(engine, &ours(3)).await.leave(Claim::Keep).await.expect(stays);

    enter(engine, &ours(4)).await.leave(Claim::GiveUp).await.expect(gone);
    assert_eq!(engine.look().await.expect("looks").claim, None);
    assert_eq!(refused(engine, &another(4)).await, overtaken(4));
    assert_eq!(refused(engine, &ours(3)).await, overtaken(4));

    enter(engine, &another(5)).await.leave(Claim::Keep).await.expect(stays);
    let claim = engine.look().await.expect("looks").claim.expect("claimed");
    assert_eq!((claim.token, claim.plan, claim.cluster), (5, another(5).plan, another(5).cluster));
    enter(engine, &another(5)).await.leave(Claim::GiveUp).await.expect(gone);
    assert_eq!(refused(engine, &ours(5)).await, overtaken(5));
}

//! Who may come in, and what is said to who may not.

use std::time::Duration;

use whimbrel::engine::neo4j::{Neo4j, Settings, Tls, TlsMode};
use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, Open, count, credentials, enter, env, fence, rows, script, texts};
use crate::entering;

async fn refused(settings: Settings) -> String {
    entering::refused(&Neo4j::new(settings), &fence(1)).await.to_string()
}

#[tokio::test]
async fn what_is_wrong_with_the_address_or_the_user() {
    let bed = Bed::new().await;
    let at = format!("test/graph (localhost:{}/neo4j)", env("PORT"));
    let wrong = Settings { credentials: credentials("neo4j", "wrong-password"), ..bed.settings() };
    assert_eq!(
        refused(wrong).await,
        format!(
            "{at}: no login: The client is unauthorized due to authentication failure. (Neo.ClientError.Security.Unauthorized). Check the Secret in spec.credentials."
        )
    );
    let other = Settings { database: "orders".to_owned(), ..bed.settings() };
    assert_eq!(
        refused(other).await,
        format!(
            "test/graph (localhost:{}/orders): there is no database orders on this server, or its name is not for this user. Correct spec.neo4j.database; SHOW DATABASES lists what is there",
            env("PORT")
        )
    );
    let http = Settings { port: env("HTTP_PORT").parse().expect("a port"), ..bed.plain(1) };
    let said = refused(http).await;
    assert!(
        said.contains("is not reachable: what answers does not speak Bolt (7687 is usual; 7474 is HTTP)"),
        "{said}"
    );
    let nobody = Settings { port: 1, ..bed.settings() };
    let said = refused(nobody).await;
    assert!(
        said.starts_with("test/graph (localhost:1/neo4j) is not reachable: Connection refused"),
        "{said}"
    );
    let stranger =
        Tls { ca: Some(std::fs::read(env("STRANGER_CA")).expect("readable")), ..bed.settings().tls };
    let said = refused(Settings { tls: stranger, ..bed.settings() }).await;
    assert_eq!(
        said,
        format!(
            "{at}: no TLS connection: the server's certificate is signed by nobody we trust. Put the certificate that signed the server's into tls.ca."
        )
    );
    let identity = Settings { identity_expect: Some("ABC".to_owned()), ..bed.settings() };
    let said = refused(identity).await;
    assert!(said.starts_with(&format!("{at} is another database: expected identity ABC, found ")), "{said}");
}

#[tokio::test]
async fn a_read_only_server_is_refused_before_anything_is_tried() {
    let bed = Bed::new().await;
    let reader = Settings { port: env("READER_PORT").parse().expect("a port"), ..bed.settings() };
    let at = format!("test/graph (localhost:{}/neo4j)", env("READER_PORT"));
    assert_eq!(
        refused(reader).await,
        format!(
            "{at} is not the primary: the database is read-only (server.databases.read_only, or access in SHOW DATABASES). Give the address of the server that takes writes."
        )
    );
}

#[tokio::test]
async fn plain_and_by_signer_only() {
    let bed = Bed::new().await;
    let by_ca = Tls { mode: TlsMode::VerifyCa, ..bed.settings().tls };
    for settings in [
        bed.plain(crate::bed::port()),
        Settings { tls: by_ca, host: "127.0.0.1".to_owned(), ..bed.settings() },
    ] {
        let session = enter(&Neo4j::new(settings), 1).await;
        session.leave(Claim::GiveUp).await.expect("leaves");
    }
}

#[tokio::test]
async fn a_claim_keeps_other_runs_out_and_a_token_only_grows() {
    let bed = Bed::new().await;
    let at = format!("test/graph (localhost:{}/neo4j)", env("PORT"));
    entering::one_run_at_a_time(&bed.engine(), &fence(1), &at).await;
    // The other run's number is there, and nobody holds anything.
    assert_eq!(count("MATCH (f:__WhimbrelFence {claimed: false, token: 5}) RETURN f.run"), 4);
}

#[tokio::test]
async fn an_older_session_can_do_nothing_more() {
    let bed = Bed::new().await;
    rows("CREATE (:N {n: 0})");
    let add = script("MATCH (x:N) SET x.n = x.n + 1");
    for token in [1, 2] {
        // The same epoch too: a session whose connection was given up is an older one.
        let mut older = bed.enter(1).await;
        let mut newer = enter(&bed.engine(), token).await;
        let outcome = older.apply(HISTORY, &add).await;
        let ended = matches!(
            outcome,
            Err(ScriptFailure::Lost { .. } | ScriptFailure::Overtaken { .. } | ScriptFailure::LockLost)
        );
        assert!(ended, "{outcome:?}");
        if token == 2 {
            newer.apply(HISTORY, &add).await.expect("applies");
        }
        newer.leave(Claim::Keep).await.expect("leaves");
    }
    assert_eq!(count("MATCH (x:N) RETURN x.n"), 1);
}

#[tokio::test]
async fn who_holds_the_fence_is_waited_for() {
    let bed = Bed::new().await;
    bed.enter(1).await.leave(Claim::Keep).await.expect("leaves");
    let open = Open::new("MATCH (f:__WhimbrelFence) SET f.beat = 'x'");
    let settings = Settings { lock_timeout: Duration::from_millis(300), ..bed.settings() };
    let Err(busy) = Neo4j::new(settings).enter(&fence(2)).await else { panic!("let in") };
    assert!(
        matches!(&busy, EngineError::Busy { by, .. } if by.what == "a transaction still holds the fence node"),
        "{busy}"
    );
    open.commit();
    bed.enter(2).await.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn the_history_of_another_tool_is_never_taken_for_none() {
    let bed = Bed::new().await;
    rows("CREATE (:__Neo4jMigration {version: 'BASELINE'})");
    rows("CREATE (:SchemaMigration {version: 3, dirty: false})");
    assert_eq!(
        refused(bed.settings()).await,
        format!(
            "test/graph (localhost:{}/neo4j) is not empty and carries the history of another tool: __Neo4jMigration (neo4j-migrations), SchemaMigration (golang-migrate). Its format is not declared in spec histories, and scripts could be applied twice.",
            env("PORT")
        )
    );
}

#[tokio::test]
async fn the_lock_of_a_dead_tool_is_reported_and_never_removed() {
    let bed = Bed::new().await;
    rows("CREATE (:__Neo4jMigrationsLock {id: '4c1d', name: 'John Doe'})");
    let Err(busy) = Neo4j::new(bed.peers()).enter(&fence(1)).await else { panic!("let in") };
    assert!(busy.to_string().ends_with(
        "is busy: neo4j-migrations holds its lock (id 4c1d, name John Doe): it runs, or it died and left the lock behind. \
         To end it: MATCH (l:__Neo4jMigrationsLock {id: '4c1d'}) DELETE l; once it is sure that no such tool runs"
    ), "{busy}");
    let warnings = bed.engine().look().await.expect("looks").warnings;
    assert_eq!(
        warnings,
        [
            "neo4j-migrations holds its lock (id 4c1d): a run waits until it is gone; if no such tool runs, it died and left the lock behind"
        ]
    );
    assert_eq!(texts("MATCH (l:__Neo4jMigrationsLock) RETURN l.id"), ["4c1d"]);
    rows("MATCH (l:__Neo4jMigrationsLock) DELETE l");
    let session = enter(&Neo4j::new(bed.peers()), 1).await;
    assert_eq!(texts("MATCH (l:__Neo4jMigrationsLock) RETURN l.name"), ["John Doe"]);
    // A session that died leaves its own lock, and the next one knows it.
    drop(session);
    let session = enter(&Neo4j::new(bed.peers()), 1).await;
    assert_eq!(count("MATCH (l:__Neo4jMigrationsLock) RETURN count(l)"), 1);
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(count("MATCH (l:__Neo4jMigrationsLock) RETURN count(l)"), 0);
}

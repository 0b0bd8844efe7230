//! Bad addresses, bad certificates, bad passwords: what a person reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use whimbrel::engine::postgresql::{
    ClientCertificate, Credentials, CredentialsError, Postgresql, Settings, Tls, TlsMode,
};
use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{As, Bed, HISTORY, admin, credentials, env, port, raw};
use crate::proxy::Proxy;

/// What looking says, with the target's name cut off.
async fn refusal(settings: Settings) -> String {
    let at = format!("{} ({}:{}/{})", settings.target, settings.host, settings.port, settings.database);
    let refusal = Postgresql::new(settings).look().await.expect_err("refused").to_string();
    refusal.strip_prefix(&at).expect("says where").to_owned()
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(&env(name))).expect("readable")
}

#[tokio::test]
async fn a_wrong_password() {
    let bed = Bed::new(As::Owner);
    let settings = Settings { credentials: credentials(&bed.role, "wrong"), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        format!(
            ": no login: password authentication failed for user \"{}\" (28P01). Check the Secret in spec.credentials.",
            bed.role
        )
    );
}

#[tokio::test]
async fn no_credentials_at_all() {
    let bed = Bed::new(As::Owner);
    let nothing =
        || async { Err(CredentialsError("Secret aether/pg has no key password".to_owned())) }.boxed();
    let settings = Settings { credentials: Arc::new(nothing), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        ": no login: Secret aether/pg has no key password. Check the Secret in spec.credentials."
    );
}

#[tokio::test]
async fn a_password_that_rotates_between_two_connections() {
    let bed = Bed::new(As::Owner);
    let rotated = Arc::new(AtomicBool::new(false));
    let (seen, role, old) = (rotated.clone(), bed.role.clone(), bed.password.clone());
    let source = move || {
        let password = if seen.load(Ordering::SeqCst) { "new".to_owned() } else { old.clone() };
        let credentials = Credentials { user: role.clone(), password };
        async move { Ok(credentials) }.boxed()
    };
    let engine = Postgresql::new(Settings { credentials: Arc::new(source), ..bed.settings() });
    let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
    admin(&format!("ALTER ROLE {} PASSWORD 'new'", bed.role));
    rotated.store(true, Ordering::SeqCst);
    session.apply(HISTORY, &raw("1", "SELECT 1", None)).await.expect("an open session goes on");
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(engine.enter(&bed.fence(2)).await.expect("the new one").histories()[HISTORY].len(), 1);
}

#[tokio::test]
async fn credentials_never_show() {
    let credentials = Credentials { user: "app".to_owned(), password: "hunter2".to_owned() };
    assert_eq!(format!("{credentials:?}"), "Credentials { user: \"app\", .. }");
}

#[tokio::test]
async fn a_server_without_tls() {
    let bed = Bed::new(As::Superuser);
    let settings = Settings { port: env("_POOLER_PORT").parse().expect("a port"), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        ": no TLS connection: the server does not offer it. Turn on ssl at the server, or say tls.mode: Disable to \
         send everything unencrypted."
    );
}

#[tokio::test]
async fn a_certificate_of_a_stranger() {
    let bed = Bed::new(As::Superuser);
    for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa] {
        let tls = Tls { mode, ca: Some(read("_STRANGER_CA")), client: None };
        assert_eq!(
            refusal(Settings { tls, ..bed.settings() }).await,
            ": no TLS connection: the server's certificate is signed by nobody we trust. Put the certificate that \
             signed the server's into tls.ca."
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let bed = Bed::new(As::Superuser);
    let proxy = Proxy::new("127.0.0.2", port()).await;
    let settings = |mode| Settings {
        host: "127.0.0.2".to_owned(),
        port: proxy.port,
        tls: Tls { mode, ca: Some(read("_CA")), client: None },
        ..bed.settings()
    };
    assert_eq!(
        refusal(settings(TlsMode::VerifyFull)).await,
        ": no TLS connection: the server's certificate is not for host 127.0.0.2. Use a host name that it carries, \
         or tls.mode VerifyCA."
    );
    Postgresql::new(settings(TlsMode::VerifyCa)).look().await.expect("any name will do");
}

#[tokio::test]
async fn a_ca_that_is_none() {
    let bed = Bed::new(As::Superuser);
    let tls = Tls { mode: TlsMode::VerifyFull, ca: Some(b"not a certificate".to_vec()), client: None };
    assert_eq!(
        refusal(Settings { tls, ..bed.settings() }).await,
        ": no TLS connection: tls.ca holds no PEM certificate. Put the certificate that signed the server's into tls.ca."
    );
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let bed = Bed::new(As::Superuser);
    let client = ClientCertificate { certificate: read("_CERTIFICATE"), key: read("_CERTIFICATE_KEY") };
    let tls = Tls { mode: TlsMode::VerifyFull, ca: Some(read("_CA")), client: Some(client) };
    let role = env("_CERTIFICATE_USER");
    admin(&format!(
        "DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$"
    ));
    bed.psql(&format!("GRANT CREATE ON DATABASE {} TO {role}", bed.database));
    let settings = Settings { tls, credentials: credentials(&role, ""), ..bed.settings() };
    Postgresql::new(settings).look().await.expect("needs no password");
}

#[tokio::test]
async fn nobody_listens_and_no_such_name() {
    let bed = Bed::new(As::Superuser);
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound").port();
    assert_eq!(
        refusal(Settings { port: unused, ..bed.settings() }).await,
        " is not reachable: Connection refused (os error 111). Check host, port and network policies, and that the \
         server runs."
    );
    let nowhere = refusal(Settings { host: "no-such-host.invalid".to_owned(), ..bed.settings() }).await;
    assert!(nowhere.starts_with(" is not reachable: failed to lookup address information"), "{nowhere}");
}

#[tokio::test]
async fn somebody_listens_and_never_answers_or_answers_nonsense() {
    let bed = Bed::new(As::Superuser);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = silent.local_addr().expect("bound").port();
    let settings = Settings { port, connect_timeout: Duration::from_millis(200), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        " is not reachable: no answer within 0.2 s. Check host, port and network policies, and that the server runs."
    );
    let web = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = web.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut client, _) = web.accept().await.expect("a client");
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
    });
    assert_eq!(
        refusal(Settings { port, ..bed.settings() }).await,
        ": no TLS connection: what answers is no PostgreSQL server. Check host and port."
    );
}

/// CVE-2021-23222: bytes put between the server's `S` and the handshake must not be read as if they were encrypted.
#[tokio::test]
async fn what_is_slipped_in_before_the_handshake_ends_it() {
    let bed = Bed::new(As::Superuser);
    let between = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = between.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut client, _) = between.accept().await.expect("a client");
        // `S`, then a login that is already done.
        client.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.expect("written");
    });
    let said = refusal(Settings { port, ..bed.settings() }).await;
    assert!(said.starts_with(": no TLS connection: "), "{said}");
}

#[tokio::test]
async fn a_replica_a_pooler_and_a_read_only_database() {
    let bed = Bed::new(As::Superuser);
    let replica = Settings {
        port: env("_REPLICA_PORT").parse().expect("a port"),
        database: "postgres".to_owned(),
        ..bed.settings()
    };
    assert_eq!(
        refusal(replica).await,
        " is not the primary: it is a standby in recovery. Give the address of the server that takes writes."
    );
    let pooler = bed.plain(env("_POOLER_PORT").parse().expect("a port"));
    assert_eq!(
        refusal(pooler).await,
        " is a connection pooler: the process that greeted us is not the one that answers. Give the server's own address."
    );
    admin(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", bed.database));
    assert_eq!(
        refusal(bed.settings()).await,
        " is not the primary: its transactions are read-only (default_transaction_read_only is on). Give the address \
         of the server that takes writes."
    );
}

#[tokio::test]
async fn settings_under_which_text_means_something_else() {
    let bed = Bed::new(As::Superuser);
    admin(&format!("ALTER DATABASE {} SET standard_conforming_strings = off", bed.database));
    assert_eq!(
        refusal(bed.settings()).await,
        ": standard_conforming_strings is off for this role or database, so text would be read differently than it \
         was checked. Set it to on."
    );
}

#[tokio::test]
async fn another_database_than_the_target_says() {
    let bed = Bed::new(As::Superuser);
    let identity = bed.engine().look().await.expect("looks").identity;
    let (system, _) = identity.split_once('/').expect("two parts");
    for expected in [&identity, system] {
        let settings = Settings { identity_expect: Some(expected.to_owned()), ..bed.settings() };
        Postgresql::new(settings).look().await.expect("is the one");
    }
    let settings = Settings { identity_expect: Some("7391".to_owned()), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        format!(
            " is another database: expected identity 7391, found {identity}. Correct the address, or spec.identity.expect."
        )
    );
    let settings = Settings { database: "no_such_database".to_owned(), ..bed.settings() };
    assert_eq!(
        refusal(settings).await,
        ": the server says: database \"no_such_database\" does not exist (3D000)"
    );
}

#[tokio::test]
async fn a_database_that_was_made_anew_has_another_lineage_and_says_so_once() {
    let bed = Bed::new(As::Owner);
    let engine = bed.engine();
    let before = engine.look().await.expect("looks").lineage;
    admin(&format!("DROP DATABASE {0}", bed.database));
    admin(&format!("CREATE DATABASE {0} OWNER {1}", bed.database, bed.role));
    let said = engine.look().await.expect_err("another past").to_string();
    let after = engine.look().await.expect("read again").lineage;
    assert_ne!(before, after);
    let expected = format!(
        "has another past than before: lineage was {before}, is {after}. Its histories are read again before anything goes on."
    );
    assert!(said.ends_with(&expected), "{said}");
}

//! The other product, which asks for a login and speaks TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use whimbrel::engine::TlsMode;
use whimbrel::engine::search::{Login, Search};
use whimbrel::engine::{Claim, Engine, EngineError, Session};

use crate::bed::{Bed, HISTORY, PEER, Product, enter, env, scripts};

#[tokio::test]
async fn a_script_and_its_undo_beside_the_other_tool() {
    let bed = Bed::of(Product::Elasticsearch).await;
    bed.fill("a", 20);
    let engine = bed.beside_peer(bed.settings());
    let look = engine.look().await.expect("a look");
    assert!(look.version.starts_with("Elasticsearch 7.17"), "{}", look.version);
    let up = "PUT /b\n\n{\"settings\":{\"number_of_replicas\":0}}\n###\n# @await task\nPOST /_reindex\n\n{\"conflicts\":\"proceed\",\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\",\"op_type\":\"create\"}}\n";
    let all = scripts(&[("V1__b.http", up), ("U1__b.http", "DELETE /b\n")]);
    let before = engine.proof().await.expect("a proof");
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.count("b"), 20);
    assert_eq!(bed.get(&format!("/{PEER}/_doc/1"))["_source"]["success"], true);
    let mut session = enter(&engine, &bed.fence(2)).await;
    session.undo(HISTORY, &all[0]).await.expect("undone");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(!bed.has("/b"));
    assert_eq!(engine.proof().await.expect("a proof").structure, before.structure);
}

#[tokio::test]
async fn a_wrong_password_and_one_that_was_changed() {
    let bed = Bed::of(Product::Elasticsearch).await;
    let mut settings = bed.settings();
    let login =
        |password: &str| Login::Password { user: env("ELASTICSEARCH_USER"), password: password.to_owned() };
    let wrong = login("wrong");
    settings.credentials = Some(Arc::new(move || {
        let wrong = wrong.clone();
        Box::pin(async move { Ok(wrong) })
    }));
    let refused = Search::new(settings.clone()).look().await.expect_err("refused");
    assert_eq!(
        refused.to_string(),
        format!(
            "aether/search ({}): no login: unable to authenticate user [elastic] for REST request [/]. Check the Secret in spec.credentials.",
            bed.url()
        )
    );
    settings.credentials = None;
    let refused = Search::new(settings.clone()).look().await.expect_err("refused").to_string();
    assert!(
        refused.contains("no login: the server asks for one, and spec.credentials names no Secret"),
        "{refused}"
    );
    // The first that is read is the old one, as when a Secret changes in the middle of a run.
    let (asked, old, new) =
        (Arc::new(AtomicUsize::new(0)), login("old"), login(&env("ELASTICSEARCH_PASSWORD")));
    settings.credentials = Some(Arc::new(move || {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        let login = if first { old.clone() } else { new.clone() };
        Box::pin(async move { Ok(login) })
    }));
    Search::new(settings).look().await.expect("the new one is read and used");
}

#[tokio::test]
async fn certificates() {
    let bed = Bed::of(Product::Elasticsearch).await;
    let mut settings = bed.settings();
    settings.tls.ca = Some(std::fs::read(env("ELASTICSEARCH_STRANGER_CA")).expect("readable"));
    let refused = Search::new(settings.clone()).look().await.expect_err("a stranger signed it");
    assert_eq!(
        refused.to_string(),
        format!(
            "aether/search ({}): no TLS connection: the server's certificate is signed by nobody we trust. Put the certificate that signed the server's into tls.ca.",
            bed.url()
        )
    );
    let mut settings = bed.settings();
    settings.url = settings.url.replace("localhost", "127.0.0.2");
    let refused = Search::new(settings.clone()).look().await.expect_err("another name").to_string();
    // The server listens on 127.0.0.1 only: what matters is that no password was shown to whoever is there.
    assert!(refused.contains("is not reachable") || refused.contains("is not for host"), "{refused}");
    let mut settings = bed.settings();
    settings.tls.mode = TlsMode::VerifyCa;
    Search::new(settings.clone()).look().await.expect("signed by whom we trust");
    settings.tls.mode = TlsMode::Disable;
    let refused = Search::new(settings).look().await.expect_err("no");
    assert!(matches!(refused, EngineError::Tls { .. }), "{refused}");
}

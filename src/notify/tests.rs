//! A receiver in the test's own process, plain and with TLS.

use super::*;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers one request after the other as told, the last one for ever, and keeps what it got.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

async fn receiver(answers: &[&str], tls: Option<TlsAcceptor>) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let (kept, answers) = (got.clone(), answers.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answers[n.min(answers.len() - 1)].clone();
            match &tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &answer, &kept).await,
                    Err(_) => continue,
                },
                None => serve(stream, &answer, &kept).await,
            }
        }
    });
    Receiver { port, got }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &str,
    kept: &Mutex<Vec<(String, Value)>>,
) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            kept.lock().unwrap().push((head.to_owned(), body));
            break;
        }
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn webhooks(roots: RootCertStore) -> Webhooks {
    Webhooks::over(roots, true, Duration::from_millis(1))
}

async fn deliver(receiver: &Receiver) -> Result<(), Undelivered> {
    let url = format!("http://127.0.0.1:{}/services/T0/secret?x=1\n", receiver.port);
    webhooks(RootCertStore::empty()).deliver(&url, &json!({"text": "über"})).await
}

#[tokio::test]
async fn one_post_with_json() {
    let receiver = receiver(&[OK], None).await;
    assert_eq!(deliver(&receiver).await, Ok(()));
    let got = receiver.got.lock().unwrap();
    let (head, body) = &got[0];
    assert_eq!((got.len(), body), (1, &json!({"text": "über"})));
    let head = head.to_lowercase();
    assert!(head.starts_with("post /services/t0/secret?x=1 http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
}

#[tokio::test]
async fn what_surely_did_not_arrive_is_tried_again_and_nothing_else() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let twice = receiver(&[busy, busy, OK], None).await;
    assert_eq!(deliver(&twice).await, Ok(()));
    assert_eq!(twice.got.lock().unwrap().len(), 3);
    let ever = receiver(&[busy], None).await;
    assert_eq!(deliver(&ever).await, Err(Undelivered::Answered { code: 503 }));
    assert_eq!(ever.got.lock().unwrap().len(), 3);
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Undelivered::Answered { code: 404 }),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", Undelivered::Answered { code: 500 }),
        ("", Undelivered::Lost),
    ] {
        let receiver = receiver(&[answer], None).await;
        assert_eq!(deliver(&receiver).await, Err(expected));
        assert_eq!(receiver.got.lock().unwrap().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let other = receiver(&[OK], None).await;
    let leads = format!(
        "HTTP/1.1 307 Away\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        other.port
    );
    let first = receiver(&[&leads], None).await;
    let refused = deliver(&first).await.unwrap_err();
    assert_eq!(refused.to_string(), "it answered 307; redirects are not followed");
    assert!(other.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_only_the_operator_could_reach_is_refused() {
    let receiver = receiver(&[OK], None).await;
    let real = Webhooks::over(RootCertStore::empty(), false, Duration::from_millis(1));
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0.0.0.0"] {
        let url = format!("http://{host}:{}/", receiver.port);
        assert_eq!(real.deliver(&url, &json!({})).await, Err(Undelivered::Near), "{host}");
    }
    for url in ["", "mailto:a@b", "ftp://host/x", "/path", "http://"] {
        assert_eq!(real.deliver(url, &json!({})).await, Err(Undelivered::BadUrl), "{url}");
    }
    assert!(receiver.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_there_is_said_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/secret");
    let refused = webhooks(RootCertStore::empty()).deliver(&url, &json!({})).await.unwrap_err();
    assert_eq!(refused.to_string(), "no connection: connection refused");
}

#[tokio::test]
async fn with_tls_the_certificate_must_be_trusted() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(certified.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let receiver = receiver(&[OK], Some(TlsAcceptor::from(Arc::new(config)))).await;
    let url = format!("https://localhost:{}/secret", receiver.port);
    let stranger = webhooks(RootCertStore::empty()).deliver(&url, &json!({"n": 1})).await.unwrap_err();
    assert_eq!(stranger.to_string(), "no connection: its certificate is not trusted");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    assert_eq!(webhooks(roots).deliver(&url, &json!({"n": 2})).await, Ok(()));
    assert_eq!(
        receiver.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect::<Vec<_>>(),
        [json!({"n": 2})]
    );
}

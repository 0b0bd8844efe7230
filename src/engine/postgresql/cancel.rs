//! The cancel request: a connection of its own that names the session by pid and secret.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use futures::FutureExt;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connect::{Connection, secure};
use super::settings::Settings;
use crate::engine::Canceller;
use crate::engine::canceller::Cancelled;

/// A canceller for `connection`.
pub(super) fn canceller(
    settings: Arc<Settings>,
    connection: &Connection,
    cancelled: &Cancelled,
) -> Canceller {
    let (peer, pid, secret) = (connection.peer, connection.wire.pid(), connection.wire.secret());
    cancelled.canceller(move || {
        let settings = settings.clone();
        async move {
            // An unanswered request is as good as a lost one; the session's own answer is what counts.
            let _ = timeout(settings.connect_timeout, ask(&settings, peer, pid, secret)).await;
        }
        .boxed()
    })
}

async fn ask(settings: &Settings, peer: SocketAddr, pid: i32, secret: i32) -> Option<()> {
    let stream = TcpStream::connect(peer).await.ok()?;
    let (mut stream, _) = secure(settings, stream).await.ok()?;
    let mut request = BytesMut::new();
    frontend::cancel_request(pid, secret, &mut request);
    stream.write_all(&request).await.ok()?;
    stream.flush().await.ok()?;
    // The server closes when it has passed the request on.
    while matches!(stream.read(&mut [0; 16]).await, Ok(n) if n > 0) {}
    Some(())
}

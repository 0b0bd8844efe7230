//! The stream that a session runs on: dialled, kept alive, encrypted, within the time for it.

use std::io::ErrorKind;
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{TlsFault, client_config, handshake_fault};
use super::{DatabaseSettings, EngineError};

/// Any stream a session may run on.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Probes after 15 s, five seconds apart, three times: a half-open session ends within half a minute. A server that can be
/// told to does the same on its side.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_PROBES: u32 = 3;
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Address lookup, TLS, login and whatever else `opening` does, within the time for all of it together.
pub(super) async fn in_time<H, T>(
    settings: &DatabaseSettings<H>,
    opening: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let unanswered = |_| EngineError::Unreachable {
        at: settings.at(),
        reason: format!("no answer within {} s", settings.connect_timeout.as_secs_f32()),
    };
    timeout(settings.connect_timeout, opening).await.map_err(unanswered)?
}

/// A stream to the server, not encrypted yet.
pub(super) async fn dial<H>(settings: &DatabaseSettings<H>) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
    keep_alive(&stream)?;
    Ok(stream)
}

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Why a stream is not encrypted.
pub(super) enum NotEncrypted {
    /// The server hung up in the middle of the handshake and said nothing.
    HungUp(TlsFault),
    /// Everything else.
    Fault(TlsFault),
}

impl From<NotEncrypted> for TlsFault {
    fn from(why: NotEncrypted) -> Self {
        let (NotEncrypted::HungUp(fault) | NotEncrypted::Fault(fault)) = why;
        fault
    }
}

/// The handshake, checked as the settings say.
pub(super) async fn encrypt<H>(
    settings: &DatabaseSettings<H>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, NotEncrypted> {
    let config = client_config(&settings.tls).map_err(NotEncrypted::Fault)?;
    let name = ServerName::try_from(settings.host.clone()).map_err(|error| {
        NotEncrypted::Fault(TlsFault::new(error.to_string(), "Give a host name or an address."))
    })?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
        let fault = handshake_fault(&error, &settings.host);
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => NotEncrypted::HungUp(fault),
            _ => NotEncrypted::Fault(fault),
        }
    })
}

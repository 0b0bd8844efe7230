//! From a fresh stream to a session that answers queries.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::{ServerError, Wire, server_error};
use crate::engine::Credentials;
use crate::engine::lost::Lost;

/// What the startup packet says.
pub(super) struct Startup<'a> {
    pub(super) database: &'a str,
    pub(super) application_name: &'a str,
    /// `-c name=value …`: given here, and not by SET, since RESET ALL goes back to these.
    pub(super) options: &'a str,
}

/// How well the stream is protected, which decides what may be said on it.
pub(super) enum Protection {
    Plain,
    Encrypted {
        /// Hash of the server's certificate, if its signature's hash is one we know.
        end_point: Option<Vec<u8>>,
    },
}

pub(super) enum LoginError {
    Lost(Lost),
    Server(ServerError),
    /// The server wants a login that we do not do, or does its part wrongly.
    Refused(String),
}

impl From<Lost> for LoginError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<std::io::Error> for LoginError {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

pub(super) async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    startup: &Startup<'_>,
    credentials: &Credentials,
    protection: Protection,
) -> Result<Wire<S>, LoginError> {
    let mut wire = Wire::new(stream);
    let mut message = BytesMut::new();
    let parameters = [
        ("user", credentials.user.as_str()),
        ("database", startup.database),
        ("application_name", startup.application_name),
        ("client_encoding", "UTF8"),
        ("options", startup.options),
    ];
    frontend::startup_message(parameters, &mut message)?;
    wire.send(&message).await?;
    authenticate(&mut wire, credentials, protection).await?;
    loop {
        match next(&mut wire).await? {
            Message::ReadyForQuery(_) => return Ok(wire),
            _ => continue,
        }
    }
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Result<Message, LoginError> {
    match wire.receive().await? {
        Message::ErrorResponse(body) => Err(LoginError::Server(server_error(body.fields())?)),
        message => Ok(message),
    }
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    credentials: &Credentials,
    protection: Protection,
) -> Result<(), LoginError> {
    let password = credentials.password.as_bytes();
    match next(wire).await? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            if matches!(protection, Protection::Plain) {
                let what = "the server asks for the password in clear text on an unencrypted connection";
                return Err(LoginError::Refused(what.to_owned()));
            }
            say_password(wire, password).await?;
        }
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(credentials.user.as_bytes(), password, body.salt());
            say_password(wire, hash.as_bytes()).await?;
        }
        Message::AuthenticationSasl(body) => scram(wire, &body, password, protection).await?,
        _ => {
            let what = "the server asks for a login other than a password (GSSAPI, SSPI or Kerberos)";
            return Err(LoginError::Refused(what.to_owned()));
        }
    }
    match next(wire).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(LoginError::Refused("the server did not finish the login".to_owned())),
    }
}

async fn say_password<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    password: &[u8],
) -> Result<(), LoginError> {
    let mut message = BytesMut::new();
    frontend::password_message(password, &mut message)?;
    Ok(wire.send(&message).await?)
}

/// SCRAM-SHA-256, bound to the TLS channel where the server offers it: a man in the middle with another certificate
/// can't pass the proof on.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    offer: &AuthenticationSaslBody,
    password: &[u8],
    protection: Protection,
) -> Result<(), LoginError> {
    let offered: Vec<String> = offer.mechanisms().map(|name| Ok(name.to_owned())).collect()?;
    let offers = |name: &str| offered.iter().any(|mechanism| mechanism == name);
    let (mechanism, binding) = match protection {
        Protection::Encrypted { end_point: Some(hash) } if offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
        }
        // "I could, you did not offer": lets the server notice that somebody cut the offer.
        Protection::Encrypted { end_point: Some(_) } => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        _ => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    if !offers(mechanism) {
        return Err(LoginError::Refused(format!(
            "the server offers no login we know: {}",
            offered.join(", ")
        )));
    }
    let mut scram = ScramSha256::new(password, binding);
    let mut message = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut message)?;
    wire.send(&message).await?;

    let Message::AuthenticationSaslContinue(body) = next(wire).await? else {
        return Err(LoginError::Refused("the server broke off the SCRAM login".to_owned()));
    };
    scram.update(body.data())?;
    let mut message = BytesMut::new();
    frontend::sasl_response(scram.message(), &mut message)?;
    wire.send(&message).await?;

    let Message::AuthenticationSaslFinal(body) = next(wire).await? else {
        return Err(LoginError::Refused("the server broke off the SCRAM login".to_owned()));
    };
    Ok(scram.finish(body.data())?)
}

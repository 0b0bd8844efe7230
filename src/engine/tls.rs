//! How a connection is encrypted, and what is checked of the server. One set-up for all engines: rustls with ring.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::EngineError;

/// How the connection is encrypted.
#[derive(Clone)]
pub struct Tls {
    /// What is checked.
    pub mode: TlsMode,
    /// PEM certificates that may have signed the server's; `None` is the system's own store.
    pub ca: Option<Vec<u8>>,
    /// Shown to a server that asks for one.
    pub client: Option<ClientCertificate>,
}

/// What is checked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Its signer and that it is for this host.
    VerifyFull,
    /// Its signer only.
    VerifyCa,
    /// Nothing: the connection is not encrypted.
    Disable,
}

/// A client certificate with its key, both PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, then its chain.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// A reason and what to change, both parts of [`EngineError::Tls`].
pub(super) struct TlsFault {
    pub(super) reason: String,
    pub(super) fix: String,
}

impl TlsFault {
    pub(super) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }

    /// Why there is no connection to `at`.
    pub(super) fn at(self, at: String) -> EngineError {
        EngineError::Tls { at, reason: self.reason, fix: self.fix }
    }
}

const CA_FIX: &str = "Put the certificate that signed the server's into tls.ca.";

/// The settings as rustls wants them.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, TlsFault> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(tls)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| TlsFault::new(format!("tls.ca can't be used: {error}"), CA_FIX))?;
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        TlsMode::VerifyCa => Arc::new(AnyName(verifier)),
        TlsMode::VerifyFull | TlsMode::Disable => verifier,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let fault = |what: String| {
                TlsFault::new(
                    what,
                    "Put a PEM certificate and its key into the Secret of tls.clientCertificate.",
                )
            };
            let chain = CertificateDer::pem_slice_iter(&client.certificate)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| fault(format!("the client certificate can't be read: {error}")))?;
            let key = PrivateKeyDer::from_pem_slice(&client.key).map_err(|error| {
                fault(format!("the key of the client certificate can't be read: {error}"))
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| fault(format!("the client certificate can't be used: {error}")))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &tls.ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TlsFault::new("the system has no CA certificates and tls.ca names none", CA_FIX));
        }
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| TlsFault::new(format!("tls.ca can't be read: {error}"), CA_FIX))?;
        roots
            .add(certificate)
            .map_err(|error| TlsFault::new(format!("tls.ca can't be used: {error}"), CA_FIX))?;
    }
    if roots.is_empty() {
        return Err(TlsFault::new("tls.ca holds no PEM certificate", CA_FIX));
    }
    Ok(roots)
}

/// What went wrong in a handshake with `host`, with the way out.
pub(super) fn handshake_fault(error: &std::io::Error, host: &str) -> TlsFault {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            TlsFault::new("the server's certificate is signed by nobody we trust", CA_FIX)
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => TlsFault::new(
            format!("the server's certificate is not for host {host}"),
            "Use a host name that it carries, or tls.mode VerifyCA.",
        ),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => TlsFault::new("the server's certificate has expired", "Renew it."),
        _ => TlsFault::new(error.to_string(), "Check tls and the server's certificate."),
    }
}

/// Checks everything but the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The verifier looks at the name last, so the chain is known to be good here.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

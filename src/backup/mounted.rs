//! The credentials that are mounted into a Job, as an engine wants them.

use super::{BackupError, TlsMode};
use crate::engine::{ClientCertificate, Tls, TlsMode as EngineTlsMode};
use std::{fs, io::ErrorKind, path::Path};

/// The folder: `username` and `password`, or `token`; perhaps `ca.crt`, and `tls.crt` with `tls.key`.
pub(super) struct Mounted<'a>(pub(super) &'a Path);

impl Mounted<'_> {
    /// User and password; none: nobody logs in by them.
    pub(super) fn login(&self) -> Result<Option<(String, String)>, BackupError> {
        match (self.text("username")?, self.text("password")?) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (None, None) => Ok(None),
            _ => {
                let sentence = "the Secret has only one of username and password";
                Err(BackupError::Credentials(sentence.to_owned()))
            }
        }
    }

    /// How the connection is encrypted.
    pub(super) fn tls(&self, mode: TlsMode) -> Result<Tls, BackupError> {
        let mode = match mode {
            TlsMode::VerifyFull => EngineTlsMode::VerifyFull,
            TlsMode::VerifyCa => EngineTlsMode::VerifyCa,
            TlsMode::Disable => EngineTlsMode::Disable,
        };
        let client = match (self.bytes("tls.crt")?, self.bytes("tls.key")?) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            _ => None,
        };
        Ok(Tls { mode, ca: self.bytes("ca.crt")?, client })
    }

    /// A key that is a text; none if it is not there. A newline at its end is an editor's.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, BackupError> {
        let Some(bytes) = self.bytes(key)? else { return Ok(None) };
        let text =
            String::from_utf8(bytes).map_err(|_| BackupError::Credentials(format!("{key} is no text")))?;
        Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
    }

    fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>, BackupError> {
        let path = self.0.join(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::file(&path)(error)),
        }
    }
}

//! How the tools reach the source: libpq's environment, with the password in a file that only we can read.

use super::{BackupError, tool::Environment};
use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum TlsMode {
    /// Issuer and host name.
    VerifyFull,
    /// Issuer only.
    #[value(name = "VerifyCA")]
    VerifyCa,
    /// No TLS at all.
    Disable,
}

/// Where the source is and how it is spoken to.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Host name or address of the server.
    #[arg(long)]
    pub host: String,
    /// Port of the server.
    #[arg(long, default_value_t = 5432)]
    pub port: u16,
    /// Name of the database.
    #[arg(long)]
    pub database: String,
    /// What of the server's certificate is checked.
    #[arg(long, value_enum, default_value_t = TlsMode::VerifyFull)]
    pub tls: TlsMode,
    /// Folder of the credentials: `username`, `password`; perhaps `ca.crt`, and `tls.crt` with `tls.key`. Without
    /// `ca.crt` the system's certificates are trusted.
    #[arg(long)]
    pub credentials: PathBuf,
    /// Folder in memory that only this program can read, for the password file that libpq wants.
    #[arg(long)]
    pub private: PathBuf,
    /// The name under which our sessions are known at the server, so that they are not taken for foreign ones.
    #[arg(long)]
    pub application_name: String,
}

/// Debian's and Alpine's bundle; libpq before 16 has no word for "the system's own".
pub(super) const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Connection {
    /// `<host>:<port>/<database>`, for sentences.
    pub(super) fn at(&self) -> String {
        self.at_database(&self.database)
    }

    /// As [`Connection::at`], for another database of the server.
    pub(super) fn at_database(&self, database: &str) -> String {
        format!("{}:{}/{database}", self.host, self.port)
    }

    /// Reads the credentials and writes what libpq wants of them into the private folder.
    pub(super) fn open(&self) -> Result<Opened, BackupError> {
        let user = self.required("username")?;
        let mut environment: Environment = vec![
            ("PGHOST", self.host.clone().into()),
            ("PGPORT", self.port.to_string().into()),
            ("PGDATABASE", self.database.clone().into()),
            ("PGUSER", user.clone().into()),
            ("PGAPPNAME", self.application_name.clone().into()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            ("PGCLIENTENCODING", "UTF8".into()),
        ];
        // A password file, not PGPASSWORD: an environment can be read by everything that runs as the same user.
        environment.push(("PGPASSFILE", self.password_file()?.into()));
        environment.push((
            "PGSSLMODE",
            match self.tls {
                TlsMode::VerifyFull => "verify-full",
                TlsMode::VerifyCa => "verify-ca",
                TlsMode::Disable => "disable",
            }
            .into(),
        ));
        if self.tls != TlsMode::Disable {
            let ca = self.credentials.join("ca.crt");
            let ca = if ca.exists() { ca } else { SYSTEM_CERTIFICATES.into() };
            environment.push(("PGSSLROOTCERT", ca.into()));
            if let Some(key) = self.optional("tls.key")? {
                environment.push(("PGSSLCERT", self.credentials.join("tls.crt").into()));
                // Copied: libpq refuses a key that the group may read, and fsGroup makes every mounted one so.
                environment.push(("PGSSLKEY", self.private_file("tls.key", &key)?.into()));
            }
        }
        Ok(Opened { user, environment })
    }

    fn password_file(&self) -> Result<PathBuf, BackupError> {
        let password = self.optional("password")?.unwrap_or_default();
        let password = password.strip_suffix('\n').unwrap_or(&password);
        if password.contains('\n') {
            return Err(BackupError::Credentials("password has more than one line".into()));
        }
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        self.private_file("pgpass", &format!("*:*:*:*:{escaped}\n"))
    }

    fn required(&self, key: &str) -> Result<String, BackupError> {
        let text = self.optional(key)?.unwrap_or_default();
        let text = text.trim();
        if text.is_empty() {
            return Err(BackupError::Credentials(format!("the Secret has no {key}")));
        }
        Ok(text.to_owned())
    }

    fn optional(&self, key: &str) -> Result<Option<String>, BackupError> {
        let path = self.credentials.join(key);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::file(&path)(error)),
        }
    }

    fn private_file(&self, name: &str, text: &str) -> Result<PathBuf, BackupError> {
        let path = self.private.join(name);
        write_private(&path, text).map_err(BackupError::file(&path))?;
        Ok(path)
    }
}

/// Readable by us alone from its first byte on; an old file of the name may be somebody's link and is removed.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// What the tools get.
pub(super) struct Opened {
    pub(super) user: String,
    pub(super) environment: Environment,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn connection(folder: &Path) -> Connection {
        Connection {
            host: "db".into(),
            port: 5432,
            database: "app".into(),
            tls: TlsMode::VerifyFull,
            credentials: folder.to_owned(),
            private: folder.to_owned(),
            application_name: "wb/1/2/3".into(),
        }
    }

    #[test]
    fn the_password_is_in_a_file_of_our_own_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("username"), "admin\n").unwrap();
        fs::write(folder.path().join("password"), "a:b\\c\n").unwrap();
        let opened = connection(folder.path()).open().unwrap();
        let file = folder.path().join("pgpass");
        assert_eq!(fs::read_to_string(&file).unwrap(), "*:*:*:*:a\\:b\\\\c\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(opened.user, "admin");
        let all = format!("{:?}", opened.environment);
        assert!(!all.contains("a:b"), "{all}");
        assert!(all.contains("verify-full") && all.contains(SYSTEM_CERTIFICATES), "{all}");
    }

    #[test]
    fn what_is_missing_or_unusable_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = |it: Result<Opened, BackupError>| it.err().map(|error| error.to_string());
        let connection = connection(folder.path());
        assert_eq!(said(connection.open()).as_deref(), Some("credentials: the Secret has no username"));
        fs::write(folder.path().join("username"), "admin").unwrap();
        fs::write(folder.path().join("password"), "a\nb").unwrap();
        assert_eq!(said(connection.open()).as_deref(), Some("credentials: password has more than one line"));
    }
}

//! The two commands with which a person restores a verified backup: shown where the way back could not complete.
//!
//! Nothing is destroyed: the database that is there is renamed, and the backup becomes a new one under the old name,
//! with the owner, locale, grants and settings it had.

use super::{
    jobs::{BACKUPS, claim, credentials, folder},
    manifest::DATA,
    roles::identifier,
};
use crate::{
    api::{
        pod::Pod,
        target::{Postgresql, TlsMode, VolumeClaim},
    },
    engine::postgresql::{aside, maintenance},
    job::{idle_pod, mount},
};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What is to be restored, and where.
#[derive(Clone, Debug)]
pub struct ByHand<'a> {
    /// The target's namespace.
    pub namespace: &'a str,
    /// Where backups are kept.
    pub storage: &'a VolumeClaim,
    /// The backup's folder: [`super::Taken::path`].
    pub path: &'a str,
    /// Number of the run that took it; names the database that is put aside.
    pub run: u64,
    /// `spec.backup.image`.
    pub tools_image: &'a str,
    /// `spec.backup.pod`.
    pub pod: &'a Pod,
    /// The database.
    pub postgresql: &'a Postgresql,
    /// The Secret with `username` and `password`.
    pub credentials: &'a str,
}

/// The commands, for a shell. The first starts a pod with the backups, the credentials and the engine's tools; the
/// second puts the database aside and restores the backup. The role must be allowed to create databases and to rename
/// this one, and nobody may be connected.
pub fn restore_by_hand(input: &ByHand<'_>) -> [String; 2] {
    let namespace = input.namespace;
    let pod = format!("wb-restore-{}", &hex::encode(Sha256::digest(input.path))[..10]);
    let credentials = credentials(input.credentials, &input.postgresql.tls);
    let mounts = vec![mount("backups", BACKUPS, true), mount("credentials", "/credentials", true)];
    let spec = idle_pod(input.tools_image, input.pod, vec![claim(input.storage), credentials], mounts);
    let overrides = quote(&json!({ "spec": spec }).to_string());
    let image = quote(input.tools_image);
    [
        format!(
            "kubectl -n {namespace} run {pod} --image={image} --restart=Never --overrides={overrides} && kubectl -n {namespace} wait pod/{pod} --for=condition=Ready --timeout=5m"
        ),
        format!("kubectl -n {namespace} exec {pod} -- sh -ec {}", quote(&script(input))),
    ]
}

fn script(input: &ByHand<'_>) -> String {
    let postgresql = input.postgresql;
    let database = &postgresql.database;
    // A database can't be renamed by a session that is in it.
    let elsewhere =
        maintenance(database).next().expect("there are two, and only one of them can be this one");
    let rename = format!(
        "ALTER DATABASE {} RENAME TO {}",
        identifier(database),
        identifier(&aside(database, input.run))
    );
    [
        format!("export PGHOST={} PGPORT={}", quote(&postgresql.host), postgresql.port),
        "export PGUSER=\"$(cat /credentials/username)\" PGPASSWORD=\"$(cat /credentials/password)\"".into(),
        tls(postgresql),
        format!("psql -X -d {elsewhere} -c {}", quote(&rename)),
        format!(
            "pg_restore --create --exit-on-error --no-subscriptions --jobs=2 -d {elsewhere} {}",
            quote(&format!("{}/{}/{DATA}", folder(input.storage), input.path))
        ),
        format!("psql -X -d {} -c ANALYZE", quote(database)),
    ]
    .into_iter()
    .filter(|line| !line.is_empty())
    .collect::<Vec<_>>()
    .join("; ")
}

fn tls(postgresql: &Postgresql) -> String {
    let mode = match postgresql.tls.mode {
        TlsMode::VerifyFull => "verify-full",
        TlsMode::VerifyCA => "verify-ca",
        TlsMode::Disable => return "export PGSSLMODE=disable".into(),
    };
    let ca = if postgresql.tls.ca.is_some() {
        "/credentials/ca.crt"
    } else {
        super::connection::SYSTEM_CERTIFICATES
    };
    let mut line = format!("export PGSSLMODE={mode} PGSSLROOTCERT={ca}");
    if postgresql.tls.client_certificate.is_some() {
        // libpq refuses a key that others may read, and a mounted one is such a key.
        line.push_str("; install -m 600 /credentials/tls.key /tmp/tls.key");
        line.push_str("; export PGSSLCERT=/credentials/tls.crt PGSSLKEY=/tmp/tls.key");
    }
    line
}

/// One word for a POSIX shell, whatever is in it.
fn quote(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@,=".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_command_puts_aside_and_restores() {
        let postgresql = json!({"host": "db", "database": "tas's", "tls": {
            "ca": {"secretKeyRef": {"name": "ca", "key": "c"}}, "clientCertificate": {"secretRef": {"name": "c"}}}});
        let postgresql: Postgresql = serde_json::from_value(postgresql).unwrap();
        let storage = serde_json::from_value(json!({"name": "backups", "path": "tas"})).unwrap();
        let input = ByHand {
            namespace: "aether",
            storage: &storage,
            path: "plan/7/tas-1",
            run: 7,
            tools_image: "registry/pg:15",
            pod: &Pod::default(),
            postgresql: &postgresql,
            credentials: "pg-admin",
        };
        let [first, second] = restore_by_hand(&input);
        assert!(first.starts_with(
            "kubectl -n aether run wb-restore-a6042bc5d6 --image=registry/pg:15 --restart=Never --overrides='{\"spec\":{"
        ), "{first}");
        assert!(first.len() + second.len() < 4096, "both fit into a message: {}", first.len() + second.len());
        assert_eq!(
            script(&input),
            concat!(
                "export PGHOST=db PGPORT=5432; ",
                "export PGUSER=\"$(cat /credentials/username)\" PGPASSWORD=\"$(cat /credentials/password)\"; ",
                "export PGSSLMODE=verify-full PGSSLROOTCERT=/credentials/ca.crt; ",
                "install -m 600 /credentials/tls.key /tmp/tls.key; ",
                "export PGSSLCERT=/credentials/tls.crt PGSSLKEY=/tmp/tls.key; ",
                "psql -X -d postgres -c 'ALTER DATABASE \"tas'\\''s\" RENAME TO \"wb_8f7c02b5_r7\"'; ",
                "pg_restore --create --exit-on-error --no-subscriptions --jobs=2 -d postgres /backups/tas/plan/7/tas-1/data; ",
                "psql -X -d 'tas'\\''s' -c ANALYZE",
            )
        );
    }

    #[test]
    fn a_word_stays_a_word() {
        assert_eq!(quote("a-b/c.d"), "a-b/c.d");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a'b $(c)"), r"'a'\''b $(c)'");
    }
}

//! PostgreSQL: the database is renamed, and `pg_restore` makes a new one under its name, with the owner, locale, grants and
//! settings that it had.

use super::{ByHand, pod::Pod, shell::quote};
use crate::{
    api::target::{Postgresql, TlsMode},
    backup::{connection::SYSTEM_CERTIFICATES, jobs::credentials, roles::identifier, storage::DUMP},
    engine::postgresql::{aside, maintenance},
    job::mount,
};

/// What becomes of the database that is there, and the commands. The role must be allowed to create databases and to rename
/// this one, and nobody may be connected.
pub(super) fn commands(input: &ByHand<'_>, postgresql: &Postgresql) -> Option<(String, Vec<String>)> {
    let secret = input.spec.credentials.as_ref()?;
    let pod = Pod {
        input,
        image: input.spec.backup.image.as_deref()?,
        kept: input.kept()?,
        mounts: vec![(
            credentials(&secret.secret_ref.name, &postgresql.tls),
            mount("credentials", "/credentials", true),
        )],
    };
    let (database, aside) =
        (identifier(&postgresql.database), identifier(&aside(&postgresql.database, input.run)));
    let what = format!(
        "Database {database} becomes {aside}, which is kept. Should the restore fail: DROP DATABASE {database}; ALTER DATABASE {aside} RENAME TO {database}."
    );
    Some((what, pod.commands(&script(input, postgresql, &pod))))
}

fn script(input: &ByHand<'_>, postgresql: &Postgresql, pod: &Pod<'_>) -> Vec<String> {
    let database = &postgresql.database;
    // A database can't be renamed by a session that is in it.
    let elsewhere =
        maintenance(database).next().expect("there are two, and only one of them can be this one");
    let rename = format!(
        "ALTER DATABASE {} RENAME TO {}",
        identifier(database),
        identifier(&aside(database, input.run))
    );
    let (fetch, data) = pod.data();
    let dump = if fetch.is_some() { format!("{data}/{DUMP}") } else { data };
    let mut lines = vec![
        format!("export PGHOST={} PGPORT={}", quote(&postgresql.host), postgresql.port),
        "export PGUSER=\"$(cat /credentials/username)\" PGPASSWORD=\"$(cat /credentials/password)\"".into(),
        tls(postgresql),
    ];
    // Before anything is renamed: what can't be fetched can't be restored.
    lines.extend(fetch);
    lines.extend([
        format!("psql -X -d {elsewhere} -c {}", quote(&rename)),
        format!(
            "pg_restore --create --exit-on-error --no-subscriptions --jobs=2 -d {elsewhere} {}",
            quote(&dump)
        ),
        format!("psql -X -d {} -c ANALYZE", quote(database)),
    ]);
    lines
}

fn tls(postgresql: &Postgresql) -> String {
    let mode = match postgresql.tls.mode {
        TlsMode::VerifyFull => "verify-full",
        TlsMode::VerifyCA => "verify-ca",
        TlsMode::Disable => return "export PGSSLMODE=disable".into(),
    };
    let ca = if postgresql.tls.ca.is_some() { "/credentials/ca.crt" } else { SYSTEM_CERTIFICATES };
    let mut line = format!("export PGSSLMODE={mode} PGSSLROOTCERT={ca}");
    if postgresql.tls.client_certificate.is_some() {
        // libpq refuses a key that others may read, and a mounted one is such a key.
        line.push_str("; install -m 600 /credentials/tls.key /tmp/tls.key");
        line.push_str("; export PGSSLCERT=/credentials/tls.crt PGSSLKEY=/tmp/tls.key");
    }
    line
}

#[cfg(test)]
#[path = "postgresql_tests.rs"]
mod tests;

//! What our sessions call themselves at a server: `wb/<8 hex of target>/<8 hex of run uid>/<epoch>`. Each engine says where
//! the server shows it: as application name, as user agent, in the metadata of a transaction.
//!
//! By this name a newer epoch finds the sessions of an older one. PostgreSQL cuts names at 63 bytes, so the target is
//! there as a hash: a name that lost its epoch would let one run end another's session.

use sha2::{Digest, Sha256};

use super::Fence;

/// What a session is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// May change the database; the only kind that takes the lock.
    Write(&'a Fence),
    /// Watches on behalf of a run.
    Watch(&'a Fence),
    /// Looks at the database for anybody.
    Look,
}

/// The name of a session for `purpose` at `target`.
pub(super) fn session_name(target: &str, purpose: Purpose<'_>) -> String {
    let prefix = prefix(target);
    match purpose {
        Purpose::Write(fence) => format!("{prefix}{}/{}", run_part(&fence.run_uid), fence.token),
        Purpose::Watch(fence) => format!("{prefix}{}/{}/watch", run_part(&fence.run_uid), fence.token),
        Purpose::Look => format!("{prefix}look"),
    }
}

/// What a tool that works for a run at `fence.target`, `pg_dump` say, must call itself (`PGAPPNAME`), so that it does
/// not count as a foreign session. Write nothing under this name: only [`Purpose::Write`] is fenced.
pub fn tool_name(fence: &Fence, tool: &str) -> String {
    let short: String = tool.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("{}{}/{}/{short}", prefix(&fence.target), run_part(&fence.run_uid), fence.token)
}

/// What the names of all our sessions at `target` begin with.
pub(super) fn prefix(target: &str) -> String {
    format!("wb/{}/", &hex::encode(Sha256::digest(target))[..8])
}

/// The first 8 hex digits of a run's uid, so that a person finds it.
pub(super) fn run_part(run_uid: &str) -> String {
    run_uid.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// A session that may write, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) run: String,
    pub(super) token: u64,
}

/// Reads a session's name; `None` if it is no writer of ours at `target`.
pub(super) fn writer(target: &str, name: &str) -> Option<Writer> {
    let (run, token) = name.strip_prefix(&prefix(target))?.split_once('/')?;
    Some(Writer { run: run.to_owned(), token: token.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0f5d7a1c-88aa-4a63-9b65-000000000000";

    #[test]
    fn a_writers_name_keeps_its_epoch_within_63_bytes() {
        let name = session_name("aether/tas-shared", Purpose::Write(&Fence::of_run(RUN, u64::MAX)));
        assert_eq!(name, "wb/77c06ec0/0f5d7a1c/18446744073709551615");
        assert!(name.len() <= 63);
        let expected = Writer { run: "0f5d7a1c".to_owned(), token: u64::MAX };
        assert_eq!(writer("aether/tas-shared", &name), Some(expected));
    }

    #[test]
    fn readers_and_sessions_at_other_targets_are_no_writers() {
        let target = "aether/tas-shared";
        assert_eq!(writer(target, &session_name(target, Purpose::Watch(&Fence::of_run(RUN, 4)))), None);
        assert_eq!(writer(target, &session_name(target, Purpose::Look)), None);
        assert_eq!(
            writer(target, &session_name("b/tas-shared", Purpose::Write(&Fence::of_run(RUN, 4)))),
            None
        );
    }
}

//! What our connections and transactions call themselves: `wb/<8 hex of target>/<8 hex of run uid>/<epoch>`, as user
//! agent in the list of connections and as metadata in the list of transactions.
//!
//! By these names a newer epoch finds what an older one left behind. The target is there as a hash, as at PostgreSQL.

use sha2::{Digest, Sha256};

use crate::engine::Fence;

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// May change the database.
    Write(&'a Fence),
    /// Watches on behalf of a run.
    Watch(&'a Fence),
    /// Looks at the database for anybody.
    Look,
}

/// The name of a connection for `purpose` at `target`.
pub(super) fn agent(target: &str, purpose: Purpose<'_>) -> String {
    let prefix = prefix(target);
    match purpose {
        Purpose::Write(fence) => format!("{prefix}{}/{}", run_part(&fence.run_uid), fence.token),
        Purpose::Watch(fence) => format!("{prefix}{}/{}/watch", run_part(&fence.run_uid), fence.token),
        Purpose::Look => format!("{prefix}look"),
    }
}

/// What the names of all our connections at `target` begin with.
pub(super) fn prefix(target: &str) -> String {
    format!("wb/{}/", &hex::encode(Sha256::digest(target))[..8])
}

/// The first 8 hex digits of a run's uid, so that a person finds it.
pub(super) fn run_part(run_uid: &str) -> String {
    run_uid.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// A connection that may write, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) run: String,
    pub(super) token: u64,
}

/// Reads a name; `None` if it is no writer of ours at `target`.
pub(super) fn writer(target: &str, name: &str) -> Option<Writer> {
    let (run, token) = name.strip_prefix(&prefix(target))?.split_once('/')?;
    Some(Writer { run: run.to_owned(), token: token.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_found_by_its_name_and_readers_are_none() {
        let fence = Fence {
            target: "aether/graph".to_owned(),
            run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000000".to_owned(),
            run: 3,
            plan: "aether/release".to_owned(),
            cluster: "c".to_owned(),
            token: 7,
        };
        let target = "aether/graph";
        let expected = Writer { run: "0f5d7a1c".to_owned(), token: 7 };
        assert_eq!(writer(target, &agent(target, Purpose::Write(&fence))), Some(expected));
        assert_eq!(writer(target, &agent(target, Purpose::Watch(&fence))), None);
        assert_eq!(writer(target, &agent(target, Purpose::Look)), None);
        assert_eq!(writer(target, &agent("b/graph", Purpose::Write(&fence))), None);
    }
}

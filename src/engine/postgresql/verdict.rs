//! What the answer to a guarded message lets one believe.

use super::wire::{Reply, ServerError, Status};

/// What is known of a script after its message was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Effect, journal and history are durable.
    Committed,
    /// The server refused it; nothing of it is there.
    Refused(ServerError),
    /// As `Refused`: it ended its own transaction by a rollback and was stopped at the end.
    EndedItself,
    /// Nothing was begun: somebody else has the lock.
    LockLost,
    /// Nothing was begun: the fence has this token.
    Overtaken(u64),
    /// Nothing was begun: the journal has this script already.
    Twice,
    /// Nothing was begun: the journal has the script at another statement, or not at all.
    Elsewhere(String),
    /// Nothing was begun: this younger script must be undone first.
    Younger(String),
    /// Nothing was begun: the script to undo is not in the history.
    NotThere,
    /// It made something durable before it was stopped.
    Unknown(String),
}

/// `before` is how many statements stand before the script. Success is the tag of our own COMMIT, as the only one, and
/// an idle session. Everything else is judged by whether anything can have become durable: only a COMMIT or PREPARE TRANSACTION in the script can do that.
pub(super) fn judge(reply: &Reply, status: Status, before: usize) -> Verdict {
    let Some(error) = &reply.error else {
        return match reply.commits {
            1 if reply.last_tag == "COMMIT" && status == Status::Idle => Verdict::Committed,
            commits => Verdict::Unknown(format!(
                "the server ended it with {} after {commits} transactions instead of one",
                reply.last_tag
            )),
        };
    };
    if reply.completed < before {
        return opening(error);
    }
    if reply.commits > 0 {
        return Verdict::Unknown(format!(
            "it ended its own transaction; what it did before that is there, what came after is not: {} ({})",
            error.message, error.code
        ));
    }
    match error.code.as_str() {
        "WB003" => Verdict::EndedItself,
        _ => Verdict::Refused(error.clone()),
    }
}

/// Only what stands before the script can raise these codes here; the script itself could raise any.
pub(super) fn opening(error: &ServerError) -> Verdict {
    match (error.code.as_str(), error.constraint.as_deref()) {
        ("WB001", _) => Verdict::LockLost,
        ("WB002", _) => Verdict::Overtaken(error.message.parse().unwrap_or(0)),
        ("WB004", _) => Verdict::Younger(error.message.clone()),
        ("WB005", _) => Verdict::NotThere,
        ("WB006", _) => Verdict::Elsewhere(error.message.clone()),
        ("23505", Some("journal_once")) => Verdict::Twice,
        _ => Verdict::Refused(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::OPENING;
    use super::*;

    fn judge(reply: &Reply, status: Status) -> Verdict {
        super::judge(reply, status, OPENING)
    }

    fn error(code: &str, message: &str) -> Option<ServerError> {
        Some(ServerError { code: code.to_owned(), message: message.to_owned(), ..ServerError::default() })
    }

    fn reply(completed: usize, commits: usize, last_tag: &str, error: Option<ServerError>) -> Reply {
        Reply { completed, commits, last_tag: last_tag.to_owned(), error, ..Reply::default() }
    }

    #[test]
    fn only_our_own_commit_on_an_idle_session_is_success() {
        let done = reply(OPENING + 5, 1, "COMMIT", None);
        assert_eq!(judge(&done, Status::Idle), Verdict::Committed);
        assert!(matches!(judge(&done, Status::InTransaction), Verdict::Unknown(_)));
        let twice = reply(OPENING + 5, 2, "COMMIT", None);
        assert!(matches!(judge(&twice, Status::Idle), Verdict::Unknown(_)));
        let rolled_back = reply(OPENING + 5, 0, "ROLLBACK", None);
        assert!(matches!(judge(&rolled_back, Status::Idle), Verdict::Unknown(_)));
    }

    #[test]
    fn an_error_after_a_commit_of_the_script_is_unknown() {
        let half = reply(OPENING + 2, 1, "COMMIT", error("42P01", "relation \"x\" does not exist"));
        assert_eq!(
            judge(&half, Status::Idle),
            Verdict::Unknown(
                "it ended its own transaction; what it did before that is there, what came after is not: \
                 relation \"x\" does not exist (42P01)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn codes_of_the_guard_count_only_where_the_guard_can_raise_them() {
        let at = |completed, code: &str| judge(&reply(completed, 0, "", error(code, "9")), Status::Failed);
        assert_eq!(at(OPENING - 1, "WB001"), Verdict::LockLost);
        assert_eq!(at(OPENING - 1, "WB002"), Verdict::Overtaken(9));
        assert!(matches!(at(OPENING, "WB001"), Verdict::Refused(_)));
        assert!(matches!(at(OPENING, "WB002"), Verdict::Refused(_)));
        assert_eq!(at(OPENING + 3, "WB003"), Verdict::EndedItself);
    }
}

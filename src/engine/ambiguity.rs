//! The ambiguity rule: before anything in a target is believed, older sessions of ours have ended.
//!
//! A server may go on with a statement whose client is gone. So an older session that is executing is waited for, and one
//! that is not is ended and seen gone. How sessions are found and ended is the engine's.

use std::time::Duration;

use super::Fence;
use super::name::{Writer, run_part};

/// What is to be done about an older session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A newer epoch, or another run that is only knocking: the fence decides, not we.
    Leave,
    /// It executes something: its outcome is worth more than our hurry.
    Wait,
    /// It does nothing: it has nothing to lose.
    End,
}

/// How long a session that was ended may take to be gone before we say that it is in the way.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(5);
pub(super) const GONE_POLL: Duration = Duration::from_millis(25);

/// What becomes of the session of `writer`, seen by who goes in as `fence`.
pub(super) fn judge(writer: &Writer, executing: bool, fence: &Fence) -> Verdict {
    let same_run = writer.run == run_part(&fence.run_uid);
    match executing {
        _ if writer.token > fence.token => Verdict::Leave,
        // The same epoch in another run's name is a driver that is about to read the fence as we are.
        _ if writer.token == fence.token && !same_run => Verdict::Leave,
        true => Verdict::Wait,
        false => Verdict::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(run: &str, token: u64, executing: bool) -> Verdict {
        let writer = Writer { run: run.to_owned(), token };
        judge(&writer, executing, &Fence::of_run("0f5d7a1c-88aa", 5))
    }

    #[test]
    fn what_executes_is_waited_for_and_what_idles_is_ended() {
        for token in [3, 5] {
            assert_eq!(judged("0f5d7a1c", token, true), Verdict::Wait);
            assert_eq!(judged("0f5d7a1c", token, false), Verdict::End);
        }
        assert_eq!(judged("eeeeeeee", 4, true), Verdict::Wait);
        assert_eq!(judged("eeeeeeee", 4, false), Verdict::End);
    }

    #[test]
    fn newer_epochs_and_other_runs_at_the_door_are_left_alone() {
        for executing in [true, false] {
            assert_eq!(judged("0f5d7a1c", 6, executing), Verdict::Leave);
            assert_eq!(judged("eeeeeeee", 5, executing), Verdict::Leave);
        }
    }
}

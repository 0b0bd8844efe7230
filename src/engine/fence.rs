//! Who may go in: one run at one epoch, past the claim and the token that stand in the target.

use super::EngineError;

/// Who wants in: one run at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// `<namespace>/<name>` of the target.
    pub target: String,
    /// Uid of the run's record; names our sessions at the server.
    pub run_uid: String,
    /// Number of the run within its plan.
    pub run: u64,
    /// `<namespace>/<name>` of the plan.
    pub plan: String,
    /// Id of the cluster, so that another cluster's operator is recognised.
    pub cluster: String,
    /// The epoch. Only grows; a session with an older one may change nothing any more.
    pub token: u64,
}

/// What becomes of the claim in the fence row when a session leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The run goes on and keeps others out.
    Keep,
    /// The run's last word in this target. The token stays, so that an older epoch stays out.
    GiveUp,
}

/// The claim as it stands in the target's fence row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSeen {
    /// Uid of the run that holds or last held the target.
    pub run_uid: String,
    /// Its number.
    pub run: u64,
    /// `<namespace>/<name>` of its plan.
    pub plan: String,
    /// The highest token seen by the target.
    pub token: u64,
    /// Id of the cluster it runs in.
    pub cluster: String,
}

/// Whether `fence` may go in past what stands in the target: `seen`, and whether that run still holds it.
pub(super) fn admit(at: &str, claimed: bool, seen: &ClaimSeen, fence: &Fence) -> Result<(), EngineError> {
    let ours = seen.run_uid == fence.run_uid;
    if claimed && !ours {
        let ClaimSeen { run, plan, cluster, .. } = seen;
        let holder = format!("run {run} of {plan} (cluster {cluster})");
        return Err(EngineError::Claimed { at: at.to_owned(), holder });
    }
    // The same token in another run's name is a higher one too: two runs must never share an epoch here.
    if seen.token > fence.token || (seen.token == fence.token && !ours) {
        return Err(EngineError::Overtaken { at: at.to_owned(), token: seen.token });
    }
    Ok(())
}

#[cfg(test)]
impl Fence {
    /// Of a run at a target, as tests of engines need one.
    pub(super) fn of_run(run_uid: &str, token: u64) -> Self {
        Self {
            target: "aether/t".to_owned(),
            run_uid: run_uid.to_owned(),
            run: 1,
            plan: "aether/p".to_owned(),
            cluster: "c1".to_owned(),
            token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether run `a` at epoch 5 may go in.
    fn admitted(claimed: bool, run_uid: &str, token: u64) -> Result<(), EngineError> {
        let seen = ClaimSeen {
            run_uid: run_uid.to_owned(),
            run: 7,
            plan: "other/q".to_owned(),
            token,
            cluster: "c2".to_owned(),
        };
        admit("t", claimed, &seen, &Fence::of_run("a", 5))
    }

    #[test]
    fn a_token_only_grows() {
        assert_eq!(admitted(true, "a", 4), Ok(()));
        assert_eq!(admitted(true, "a", 5), Ok(()));
        let overtaken = EngineError::Overtaken { at: "t".to_owned(), token: 6 };
        assert_eq!(admitted(true, "a", 6), Err(overtaken.clone()));
        assert_eq!(admitted(false, "b", 6), Err(overtaken));
    }

    #[test]
    fn two_runs_never_share_a_token() {
        assert_eq!(admitted(false, "b", 4), Ok(()));
        assert_eq!(admitted(false, "b", 5), Err(EngineError::Overtaken { at: "t".to_owned(), token: 5 }));
    }

    #[test]
    fn another_runs_claim_is_refused_by_its_name_whatever_its_token() {
        for token in [1, 5, 9] {
            let refusal = admitted(true, "b", token).unwrap_err();
            assert_eq!(refusal.to_string(), "t is claimed by run 7 of other/q (cluster c2)");
        }
    }
}

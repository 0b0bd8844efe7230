//! Who holds a thing: `<plan uid>/<run>/<epoch>`, on Leases of targets and on workloads alike.

use super::NotOurs;
use std::{fmt, str::FromStr};

/// One driver of one run. The same run may be driven again later, under a higher epoch; then the entry is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The plan's uid.
    pub plan_uid: String,
    /// The run's number.
    pub run: u64,
    /// The driver's epoch.
    pub epoch: u64,
}

impl Holder {
    /// Whether `other` is the same run, whatever driver.
    pub fn is_same_run(&self, other: &Self) -> bool {
        self.plan_uid == other.plan_uid && self.run == other.run
    }

    /// Whether this driver may write where `found` stands. The epoch only grows: an older driver never writes over a
    /// newer one, and nothing that can't be read as a holder is ever taken for free.
    ///
    /// # Errors
    /// Another run's claim, or our own run's under a newer epoch.
    pub fn may_write_over(&self, what: &str, found: Option<&str>) -> Result<(), NotOurs> {
        let Some(found) = found.filter(|it| !it.is_empty()) else { return Ok(()) };
        match found.parse::<Self>() {
            Ok(holder) if self.is_same_run(&holder) && holder.epoch <= self.epoch => Ok(()),
            Ok(holder) if self.is_same_run(&holder) => {
                Err(NotOurs::NewerEpoch { what: what.to_owned(), epoch: holder.epoch })
            }
            _ => Err(NotOurs::Claimed { what: what.to_owned(), holder: found.to_owned() }),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.plan_uid, self.run, self.epoch)
    }
}

/// The text is no holder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not <plan uid>/<run>/<epoch>")]
pub struct NoHolder(String);

impl FromStr for Holder {
    type Err = NoHolder;

    fn from_str(text: &str) -> Result<Self, NoHolder> {
        let no = || NoHolder(text.to_owned());
        let mut parts = text.split('/');
        let (Some(plan_uid), Some(run), Some(epoch), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(no());
        };
        if plan_uid.is_empty() {
            return Err(no());
        }
        Ok(Self {
            plan_uid: plan_uid.to_owned(),
            run: run.parse().map_err(|_| no())?,
            epoch: epoch.parse().map_err(|_| no())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Holder {
        "uid-a/7/3".parse().unwrap()
    }

    #[test]
    fn it_reads_what_it_writes_and_nothing_else() {
        assert_eq!(me().to_string(), "uid-a/7/3");
        for bad in ["", "/7/3", "uid-a/7", "uid-a/7/3/1", "uid-a/seven/3", "uid-a/7/-1"] {
            assert_eq!(bad.parse::<Holder>(), Err(NoHolder(bad.to_owned())));
        }
    }

    #[test]
    fn the_epoch_only_grows_and_other_runs_are_never_written_over() {
        let may = |found| me().may_write_over("Deployment aether/web", found);
        assert_eq!(may(None), Ok(()));
        assert_eq!(may(Some("")), Ok(()));
        assert_eq!(may(Some("uid-a/7/2")), Ok(()));
        assert_eq!(may(Some("uid-a/7/3")), Ok(()));
        let what = || "Deployment aether/web".to_owned();
        assert_eq!(may(Some("uid-a/7/4")), Err(NotOurs::NewerEpoch { what: what(), epoch: 4 }));
        for other in ["uid-a/8/1", "uid-b/7/1", "somebody"] {
            assert_eq!(may(Some(other)), Err(NotOurs::Claimed { what: what(), holder: other.to_owned() }));
        }
    }
}

//! What can become of a write: four answers, and everything above matches on these.

use super::{Account, Forbidden};
use kube::core::Status;
use std::fmt;

/// A write that did not end as asked.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody wrote the object since it was read. Read it, look whether it is still ours, decide again.
    #[error("the object was changed meanwhile")]
    Stale,
    /// The thing belongs to somebody else, or to a newer driver of the same run.
    #[error("{0}")]
    NotOurs(NotOurs),
    /// The API server refused it and will refuse it again.
    #[error("{0}")]
    Refused(Refused),
    /// No answer that says whether it was done. Read the object and compare before anything is sent again.
    #[error("no answer from the API server: {0}")]
    Lost(Box<dyn std::error::Error + Send + Sync>),
}

/// To whom the thing belongs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Another run has claimed it.
    #[error("{what} is claimed by {holder}")]
    Claimed {
        /// The thing.
        what: String,
        /// `<plan uid>/<run>/<epoch>` of the other run, or what else stands there.
        holder: String,
    },
    /// A driver with a higher epoch was here: whoever reads this is no longer the one that drives.
    #[error("{what} carries epoch {epoch}, newer than ours")]
    NewerEpoch {
        /// The thing.
        what: String,
        /// The epoch found.
        epoch: u64,
    },
    /// Another object has the name.
    #[error("{what} exists already and is not ours")]
    Exists {
        /// The thing.
        what: String,
    },
}

/// A refusal, with the account it was said to.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What the API server said.
    pub status: Box<Status>,
    /// As whom the request was made.
    pub account: Account,
}

impl Refused {
    /// The missing right, if RBAC is what refused it.
    pub fn forbidden(&self) -> Option<Forbidden> {
        Forbidden::of(&self.status, &self.account)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.forbidden() {
            Some(forbidden) => forbidden.fmt(f),
            None if self.status.message.is_empty() => write!(f, "refused with code {}", self.status.code),
            None => f.write_str(&self.status.message),
        }
    }
}

impl WriteError {
    /// Reads the error of a write that was sent as `account`.
    ///
    /// A 5xx or 429 is [`WriteError::Lost`], not a refusal: etcd may have committed before the API server gave up, and
    /// a 429 says itself that the same request may succeed later.
    pub fn of(error: kube::Error, account: &Account) -> Self {
        match error {
            kube::Error::Api(status) if status.code >= 500 || status.code == 429 => Self::Lost(status),
            kube::Error::Api(status) if status.is_already_exists() => {
                let details = status.details.as_ref().map(|it| (it.kind.as_str(), it.name.as_str()));
                let (kind, name) = details.unwrap_or(("object", ""));
                Self::NotOurs(NotOurs::Exists { what: format!("{kind} {name}").trim_end().to_owned() })
            }
            kube::Error::Api(status) if status.is_conflict() => Self::Stale,
            kube::Error::Api(status) => Self::Refused(Refused { status, account: account.clone() }),
            other => Self::Lost(Box::new(other)),
        }
    }

    /// The object is gone.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.status.is_not_found())
    }

    /// The missing right, if that is why.
    pub fn forbidden(&self) -> Option<Forbidden> {
        match self {
            Self::Refused(refused) => refused.forbidden(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake;

    fn read(code: u16, reason: &str, message: &str) -> WriteError {
        let status: Status = serde_json::from_value(fake::status(code, reason, message)).unwrap();
        WriteError::of(kube::Error::Api(Box::new(status)), &Account::Operator)
    }

    #[test]
    fn every_answer_is_one_of_four() {
        assert!(matches!(read(409, "Conflict", "the object has been modified"), WriteError::Stale));
        assert!(matches!(read(409, "AlreadyExists", "jobs \"x\" already exists"), WriteError::NotOurs(_)));
        assert!(matches!(read(422, "Invalid", "strict decoding error"), WriteError::Refused(_)));
        assert!(matches!(read(403, "Forbidden", "no"), WriteError::Refused(_)));
        assert!(matches!(read(429, "TooManyRequests", "slower"), WriteError::Lost(_)));
        assert!(matches!(read(500, "InternalError", "etcdserver: request timed out"), WriteError::Lost(_)));
        assert!(matches!(read(504, "Timeout", "request did not complete"), WriteError::Lost(_)));
        let cut = kube::Error::SerdeError(serde_json::from_str::<u8>("").unwrap_err());
        assert!(
            matches!(WriteError::of(cut, &Account::Operator), WriteError::Lost(_)),
            "200 with half a body"
        );
        assert!(read(404, "NotFound", "gone").is_not_found());
    }

    #[test]
    fn the_texts() {
        assert_eq!(
            read(422, "Invalid", "strict decoding error: unknown field").to_string(),
            "strict decoding error: unknown field"
        );
        let claimed = NotOurs::Claimed { what: "Deployment aether/web".into(), holder: "u/7/3".into() };
        assert_eq!(WriteError::NotOurs(claimed).to_string(), "Deployment aether/web is claimed by u/7/3");
        let newer = NotOurs::NewerEpoch { what: "Deployment aether/web".into(), epoch: 9 };
        assert_eq!(newer.to_string(), "Deployment aether/web carries epoch 9, newer than ours");
    }
}

//! As whom a thing is done in the cluster.

use std::fmt;

/// The identity under which requests of a plan or target are made. The API server's RBAC decides what it may do, so a
/// plan's author never gains more than this account has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// The operator's own rights: for its own kinds, and for single-tenant clusters without a default service account.
    Operator,
    /// A service account, impersonated.
    Service {
        /// Where the account lives: the namespace of the plan or target.
        namespace: String,
        /// The account's name.
        name: String,
    },
}

impl Account {
    /// The account that a plan or target in `namespace` names; an empty `name` means the operator's own rights.
    pub fn of(namespace: &str, name: &str) -> Self {
        if name.is_empty() {
            Self::Operator
        } else {
            Self::Service { namespace: namespace.to_owned(), name: name.to_owned() }
        }
    }

    /// The user name that the API server knows a service account by; none for the operator itself.
    ///
    /// Only the user is impersonated: the API server adds the account's groups by itself, and every header more would
    /// need a right more.
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Operator => None,
            Self::Service { namespace, name } => Some(format!("system:serviceaccount:{namespace}:{name}")),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("the operator"),
            Self::Service { namespace, name } => write!(f, "service account {namespace}/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_is_the_operator_itself() {
        assert_eq!(Account::of("aether", ""), Account::Operator);
        assert_eq!(Account::Operator.user(), None);
        let account = Account::of("aether", "whimbrel");
        assert_eq!(account.user().as_deref(), Some("system:serviceaccount:aether:whimbrel"));
        assert_eq!(account.to_string(), "service account aether/whimbrel");
    }
}

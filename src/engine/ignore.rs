//! Sessions that a quiet database may have.

use super::ForeignSession;

/// A rule for sessions that do not count as foreign; both fields that are given must match exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The role.
    pub user: Option<String>,
    /// What the session calls itself.
    pub application_name: Option<String>,
}

/// The sessions that no rule ignores.
pub(super) fn not_ignored(
    rules: &[Ignore],
    sessions: impl Iterator<Item = ForeignSession>,
) -> Vec<ForeignSession> {
    sessions.filter(|session| !rules.iter().any(|rule| rule.matches(session))).collect()
}

impl Ignore {
    /// A rule without a field matches nobody.
    fn matches(&self, session: &ForeignSession) -> bool {
        let user = self.user.as_ref().map(|user| session.user.as_ref() == Some(user));
        let name = self.application_name.as_ref().map(|name| session.application == *name);
        (user.is_some() || name.is_some()) && user.unwrap_or(true) && name.unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_only_if_all_its_fields_do() {
        let session = ForeignSession {
            pid: 1,
            user: Some("exporter".to_owned()),
            application: "metrics".to_owned(),
            address: None,
            state: None,
            backend_type: None,
            since: None,
        };
        let rule = |user: Option<&str>, name: Option<&str>| Ignore {
            user: user.map(str::to_owned),
            application_name: name.map(str::to_owned),
        };
        let left = |rule: Ignore| not_ignored(&[rule], [session.clone()].into_iter()).len();
        assert_eq!(left(rule(Some("exporter"), None)), 0);
        assert_eq!(left(rule(Some("exporter"), Some("metrics"))), 0);
        assert_eq!(left(rule(Some("exporter"), Some("other"))), 1);
        assert_eq!(left(rule(None, None)), 1);
    }
}

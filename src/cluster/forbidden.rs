//! Which right is missing, and the command that gives it.

use super::Account;
use kube::core::Status;

/// RBAC refused a request. Two rights are needed to do a thing as an account: the operator may impersonate the
/// account, and the account may do the thing. The API server's sentence tells which one is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The operator may not act as the account.
    #[error(
        "the operator may not act as service account {namespace}/{name}; allow it: kubectl create role whimbrel-impersonate-{name} --namespace={namespace} --verb=impersonate --resource=serviceaccounts --resource-name={name} && kubectl create rolebinding whimbrel-impersonate-{name} --namespace={namespace} --role=whimbrel-impersonate-{name} {operator}"
    )]
    Impersonate {
        /// Namespace of the account.
        namespace: String,
        /// Name of the account.
        name: String,
        /// The operator as `kubectl create rolebinding` wants it, such as `--serviceaccount=whimbrel-system:whimbrel`.
        operator: String,
    },
    /// The account itself may not do it.
    #[error(
        "service account {account_namespace}/{account} may not {verb} {resource} in namespace {namespace}; allow it: kubectl create rolebinding whimbrel-runner-{account_namespace}-{account} --namespace={namespace} --clusterrole=whimbrel-runner --serviceaccount={account_namespace}:{account}"
    )]
    Account {
        /// Namespace of the account.
        account_namespace: String,
        /// Name of the account.
        account: String,
        /// What it wanted to do, such as `patch`.
        verb: String,
        /// To what, such as `deployments.apps`.
        resource: String,
        /// Where.
        namespace: String,
    },
    /// The operator's own rights do not reach; its chart gives them.
    #[error(
        "the operator itself may not {verb} {resource}{place}; its chart's roles are missing or older than it"
    )]
    Operator {
        /// What it wanted to do.
        verb: String,
        /// To what.
        resource: String,
        /// ` in namespace x`, or nothing for the whole cluster.
        place: String,
    },
}

impl Forbidden {
    /// Reads the refusal of a request made as `account`. None if RBAC is not what refused it: Pod Security, quotas and
    /// admission policies answer 403 too, and their own sentence is the better one.
    pub fn of(status: &Status, account: &Account) -> Option<Self> {
        if !status.is_forbidden() {
            return None;
        }
        let said = Refusal::parse(&status.message)?;
        match account {
            Account::Service { namespace, name } if said.verb == "impersonate" => Some(Self::Impersonate {
                namespace: namespace.clone(),
                name: name.clone(),
                operator: binding_flag(said.user),
            }),
            Account::Service { namespace, name } => Some(Self::Account {
                account_namespace: namespace.clone(),
                account: name.clone(),
                verb: said.verb.to_owned(),
                resource: said.resource(),
                namespace: said.namespace.unwrap_or(namespace).to_owned(),
            }),
            Account::Operator => Some(Self::Operator {
                verb: said.verb.to_owned(),
                resource: said.resource(),
                place: said.namespace.map(|it| format!(" in namespace {it}")).unwrap_or_default(),
            }),
        }
    }
}

/// RBAC's own sentence: `… User "u" cannot patch resource "deployments" in API group "apps" in the namespace "ns"`.
struct Refusal<'a> {
    user: &'a str,
    verb: &'a str,
    plural: &'a str,
    group: &'a str,
    namespace: Option<&'a str>,
}

impl<'a> Refusal<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (plural, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace =
            rest.split_once("in the namespace \"").and_then(|(_, it)| it.split_once('"')).map(|it| it.0);
        Some(Self { user, verb, plural, group, namespace })
    }

    fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

fn binding_flag(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(account: &Account, message: &str) -> Option<String> {
        let status = Status::failure(message, "Forbidden").with_code(403);
        Forbidden::of(&status, account).map(|it| it.to_string())
    }

    #[test]
    fn the_account_lacks_a_right() {
        let text = forbidden(
            &Account::of("aether", "whimbrel"),
            r#"deployments.apps "web" is forbidden: User "system:serviceaccount:aether:whimbrel" cannot patch resource "deployments" in API group "apps" in the namespace "aether-be""#,
        );
        assert_eq!(
            text.unwrap(),
            "service account aether/whimbrel may not patch deployments.apps in namespace aether-be; allow it: \
             kubectl create rolebinding whimbrel-runner-aether-whimbrel --namespace=aether-be \
             --clusterrole=whimbrel-runner --serviceaccount=aether:whimbrel"
        );
    }

    #[test]
    fn the_operator_may_not_impersonate() {
        let text = forbidden(
            &Account::of("aether", "whimbrel"),
            r#"serviceaccounts "whimbrel" is forbidden: User "system:serviceaccount:whimbrel-system:whimbrel-operator" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "aether""#,
        );
        assert_eq!(
            text.unwrap(),
            "the operator may not act as service account aether/whimbrel; allow it: kubectl create role \
             whimbrel-impersonate-whimbrel --namespace=aether --verb=impersonate --resource=serviceaccounts \
             --resource-name=whimbrel && kubectl create rolebinding whimbrel-impersonate-whimbrel --namespace=aether \
             --role=whimbrel-impersonate-whimbrel --serviceaccount=whimbrel-system:whimbrel-operator"
        );
    }

    #[test]
    fn the_operators_own_rights_are_the_charts_business() {
        let text = forbidden(
            &Account::Operator,
            r#"leases.coordination.k8s.io is forbidden: User "ops" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "whimbrel-system""#,
        );
        assert_eq!(
            text.unwrap(),
            "the operator itself may not create leases.coordination.k8s.io in namespace whimbrel-system; its chart's \
             roles are missing or older than it"
        );
    }

    #[test]
    fn a_refusal_that_is_not_rbac_keeps_its_own_sentence() {
        let account = Account::of("aether", "whimbrel");
        assert_eq!(
            forbidden(&account, r#"pods "x" is forbidden: violates PodSecurity "restricted:latest""#),
            None
        );
        let not_found = Status::failure("no", "NotFound").with_code(404);
        assert_eq!(Forbidden::of(&not_found, &account), None);
    }
}

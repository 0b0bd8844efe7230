//! Who wrote a field, read from `managedFields`: whom to name when replicas are fought over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// Managers of `spec.replicas`, or of a CronJob's `spec.suspend`, the one that wrote last first.
pub fn replicas_owners(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    let owns = |fields: &Value| {
        !fields["f:spec"]["f:replicas"].is_null() || !fields["f:spec"]["f:suspend"].is_null()
    };
    let mut found: Vec<&ManagedFieldsEntry> = entries
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0)))
        .collect();
    found.sort_by_key(|entry| std::cmp::Reverse(entry.time.as_ref().map(|time| time.0)));
    let mut names: Vec<String> = Vec::new();
    for name in found.into_iter().filter_map(|entry| entry.manager.clone()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    #[test]
    fn the_last_writer_is_named_first() {
        let web = fixture::deployment(
            r#"managedFields:
- {manager: helm, operation: Update, time: "2026-11-01T00:00:00Z", fieldsV1: {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}}}}}}
- {manager: argocd-controller, operation: Apply, time: "2026-11-02T00:00:00Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}
- {manager: kube-controller-manager, operation: Update, subresource: status, fieldsV1: {"f:status": {"f:replicas": {}}}}
- {manager: kubectl, operation: Update, time: "2026-11-03T00:00:00Z", fieldsV1: {"f:spec": {"f:template": {}}}}"#,
        );
        assert_eq!(replicas_owners(&web.managed_fields), ["argocd-controller", "helm"]);
        assert_eq!(replicas_owners(&[]), [""; 0]);
    }
}

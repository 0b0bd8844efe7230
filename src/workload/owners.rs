//! Who wrote a field, read from `managedFields`: whom to name when replicas or images are fought over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// Managers of `spec.replicas`, the one that wrote last first.
pub fn replicas_owners(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    owners(entries, |fields| !fields["f:spec"]["f:replicas"].is_null())
}

/// Managers of the image of any container or init container, the one that wrote last first.
pub fn image_owners(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    owners(entries, |fields| {
        let template = if fields["f:spec"]["f:jobTemplate"].is_null() {
            &fields["f:spec"]["f:template"]
        } else {
            &fields["f:spec"]["f:jobTemplate"]["f:spec"]["f:template"]
        };
        let pod = &template["f:spec"];
        [&pod["f:containers"], &pod["f:initContainers"]]
            .into_iter()
            .filter_map(Value::as_object)
            .flat_map(|containers| containers.values())
            .any(|container| !container["f:image"].is_null())
    })
}

fn owners(entries: &[ManagedFieldsEntry], owns: impl Fn(&Value) -> bool) -> Vec<String> {
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
- {manager: kubectl, operation: Update, time: "2026-11-03T00:00:00Z", fieldsV1: {"f:spec": {"f:template": {"f:spec": {"f:initContainers": {'k:{"name":"wait"}': {"f:image": {}}}}}}}}"#,
        );
        assert_eq!(replicas_owners(&web.managed_fields), ["argocd-controller", "helm"]);
        assert_eq!(image_owners(&web.managed_fields), ["kubectl", "helm"]);
        assert_eq!(replicas_owners(&[]), [""; 0]);
    }
}

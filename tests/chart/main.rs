//! The chart as Helm renders it: rights with reasons, a restricted pod, values that are refused.
//!
//! Needs helm and kubeconform, which `testbed/testbed tools` builds; hence the feature `tool-tests`.

mod render;
#[path = "../tools/mod.rs"]
mod tools;

use render::{Manifest, refused, rendered, run, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tools::path_of;

const NAMESPACED: &[&str] = &["watchNamespaces={aether,aether-be}"];

#[test]
fn helm_has_nothing_to_say_against_it() {
    run(&path_of("helm"), &["lint", "--strict", "--quiet", render::CHART]);
}

#[test]
fn every_object_is_one_that_kubernetes_knows() {
    let kubeconform = path_of("kubeconform");
    let schemas = path_of("schemas");
    for values in [&[][..], NAMESPACED, &["replicas=2", "log.format=pretty", "serviceAccount.name=other"]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rendered.yaml");
        std::fs::write(&file, text(values)).unwrap();
        let arguments = ["-strict", "-skip", "CustomResourceDefinition", "-schema-location", &schemas];
        run(&kubeconform, &[&arguments[..], &[file.to_str().unwrap()]].concat());
    }
}

#[test]
fn every_kustomization_builds_into_known_objects() {
    let folder = tempfile::tempdir().unwrap();
    for base in ["default", "samples", "prometheus", "grafana"] {
        let built = run(&path_of("kubectl"), &["kustomize", &format!("{}/config/{base}", render::ROOT)]);
        std::fs::write(folder.path().join(format!("{base}.yaml")), built).unwrap();
    }
    // Kinds that others define; ours are checked by the API server itself.
    let foreign = "PrometheusRule,PodMonitor,MigrationPlan,DatabaseTarget";
    let schemas = path_of("schemas");
    let arguments = ["-strict", "-skip", foreign, "-schema-location", &schemas];
    run(&path_of("kubeconform"), &[&arguments[..], &[folder.path().to_str().unwrap()]].concat());
}

#[test]
fn the_kustomize_bases_are_what_the_chart_says() {
    let folder = tempfile::tempdir().unwrap();
    run(&format!("{}/config/generate", render::ROOT), &[folder.path().to_str().unwrap()]);
    for base in ["rbac", "approval", "manager"] {
        let file = format!("{base}/{base}.yaml");
        let generated = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        let committed = std::fs::read_to_string(format!("{}/config/{file}", render::ROOT)).unwrap();
        assert!(generated == committed, "config/{file} is not what the chart says: make config");
    }
}

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let known = std::fs::read_to_string(format!("{}/src/serve/metrics.rs", render::ROOT)).unwrap();
    let mut used = BTreeSet::new();
    for file in ["prometheus/rules.yaml", "grafana/whimbrel.json"] {
        let text = std::fs::read_to_string(format!("{}/config/{file}", render::ROOT)).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        used.extend(words.filter_map(|word| word.strip_prefix("whimbrel_")).map(str::to_owned));
    }
    assert!(used.len() > 8, "metrics were found: {used:?}");
    for name in used {
        let name = ["_total", "_bucket", "_sum"].iter().find_map(|it| name.strip_suffix(it)).unwrap_or(&name);
        assert!(
            known.contains(&format!("\"{name}\"")),
            "whimbrel_{name} is no metric of src/serve/metrics.rs"
        );
    }
}

#[test]
fn every_rule_has_its_reason_beside_it() {
    for values in [&[][..], NAMESPACED] {
        let text = text(values);
        let lines: Vec<&str> = text.lines().collect();
        let mut rules = 0;
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("  - apiGroups: [")) {
            rules += 1;
            let before = lines[at - 1].trim_start();
            assert!(before.starts_with("# "), "no reason stands above this rule:\n{line}\n{}", lines[at + 1]);
        }
        let all: usize = rendered(values).iter().map(|it| it.rules().len()).sum();
        assert_eq!(
            rules, all,
            "every rule starts with `- apiGroups: [`, so that its reason can be looked for above it"
        );
    }
}

#[test]
fn the_operator_reads_no_secret_and_changes_no_workload() {
    for values in [&[][..], NAMESPACED] {
        let mut seen = 0;
        for role in rendered(values).iter().filter(|it| it.is_role() && it.name().contains("whimbrel-")) {
            if ["whimbrel-runner", "whimbrel-view", "whimbrel-edit", "whimbrel-approver", "whimbrel-on-call"]
                .contains(&role.name())
            {
                continue;
            }
            for rule in role.rules() {
                seen += 1;
                let group = &rule["apiGroups"];
                let words = format!("{} {}", rule["resources"], rule["verbs"]);
                for never in ["secrets", "configmaps", "*", "users", "groups", "escalate", "bind"] {
                    assert!(!words.contains(&format!("\"{never}\"")), "{}: {never}: {rule}", role.name());
                }
                if group == &json!(["apps"]) || group == &json!(["batch"]) || words.contains("\"pods\"") {
                    assert_eq!(rule["verbs"], json!(["list", "watch"]), "{}", role.name());
                }
            }
        }
        assert!(seen >= 11, "the operator's rules were found");
    }
}

#[test]
fn pods_are_restricted() {
    let objects = rendered(&[]);
    let pods: Vec<(&str, &Value)> = objects
        .iter()
        .filter(|it| ["Deployment", "Job"].contains(&it.kind()))
        .map(|it| (it.name(), &it.body["spec"]["template"]["spec"]))
        .collect();
    assert_eq!(
        pods.iter().map(|it| it.0).collect::<Vec<_>>(),
        ["whimbrel", "whimbrel-uninstall-check"],
        "all pods of the chart"
    );
    for (name, pod) in pods {
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                   "seccompProfile": {"type": "RuntimeDefault"}}),
            "{name}"
        );
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(
                container["securityContext"],
                json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                       "capabilities": {"drop": ["ALL"]}}),
                "{name}"
            );
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
        assert!(pod.get("hostNetwork").is_none() && pod.get("hostPID").is_none(), "{name}");
    }
}

#[test]
fn the_deployment_is_what_a_running_statement_needs() {
    let objects = rendered(&["replicas=1"]);
    let spec = &objects.iter().find(|it| it.kind() == "Deployment").unwrap().body["spec"];
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 600);
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!(["operator"]));
    let environment: BTreeSet<&str> =
        container["env"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    let wanted = [
        "POD_NAME",
        "POD_NAMESPACE",
        "RUST_LOG",
        "WHIMBREL_APPROVAL_POLICY",
        "WHIMBREL_DEFAULT_SERVICE_ACCOUNT",
        "WHIMBREL_HMAC_KEY_FILE",
        "WHIMBREL_IMAGE",
        "WHIMBREL_LOG_FORMAT",
        "WHIMBREL_WATCH_NAMESPACES",
    ];
    assert_eq!(environment, BTreeSet::from(wanted));
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "health"}));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "health"}));
}

#[test]
fn crds_are_rendered_kept_and_equal_to_the_committed_ones() {
    /// Numbers as floats: Helm prints `1.0` as `1`.
    fn by_value(value: &Value) -> Value {
        match value {
            Value::Number(number) => json!(number.as_f64()),
            Value::Array(items) => items.iter().map(by_value).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), by_value(value))).collect()
            }
            other => other.clone(),
        }
    }
    let of = |objects: &[Manifest]| -> Vec<Value> {
        objects
            .iter()
            .filter(|it| it.kind() == "CustomResourceDefinition")
            .map(|it| it.body.clone())
            .collect()
    };
    let mut rendered_crds = of(&rendered(&[]));
    assert_eq!(rendered_crds.len(), 3, "targets, plans, runs");
    for crd in &mut rendered_crds {
        let annotations = crd["metadata"]["annotations"].as_object_mut().unwrap();
        assert_eq!(annotations.remove("helm.sh/resource-policy"), Some(json!("keep")));
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let committed = render::yaml_file(&format!("crds/{plural}.yaml"));
        assert!(
            by_value(&committed) == by_value(crd),
            "crds/{plural}.yaml is not what the chart installs: make crds"
        );
    }
    assert_eq!(of(&rendered(&["crds.enabled=false"])), Vec::<Value>::new());
}

#[test]
fn namespaced_it_has_roles_and_one_small_cluster_role() {
    let objects = rendered(NAMESPACED);
    let bindings: Vec<&str> =
        objects.iter().filter(|it| it.kind() == "ClusterRoleBinding").map(Manifest::name).collect();
    assert_eq!(bindings, ["whimbrel-system:whimbrel-cluster"]);
    let cluster = objects
        .iter()
        .find(|it| it.kind() == "ClusterRole" && it.name() == "whimbrel-system:whimbrel-cluster")
        .unwrap();
    for rule in cluster.rules() {
        assert_eq!(rule["verbs"], json!(["get"]));
        assert!(rule["resourceNames"].is_array(), "by name only: {rule}");
    }
    for namespace in ["aether", "aether-be"] {
        for name in ["whimbrel-operator", "whimbrel-impersonate"] {
            let there = |kind: &str| {
                objects.iter().any(|it| {
                    it.kind() == kind && it.name() == name && it.body["metadata"]["namespace"] == namespace
                })
            };
            assert!(there("Role") && there("RoleBinding"), "{name} in {namespace}");
        }
    }
}

#[test]
fn whom_it_may_act_as_can_be_narrowed_alone() {
    let objects = rendered(&["impersonate.namespaces={aether}"]);
    let impersonators: Vec<(&str, &str)> = objects
        .iter()
        .filter(|it| it.rules().iter().any(|rule| rule["verbs"] == json!(["impersonate"])))
        .map(|it| (it.kind(), it.body["metadata"]["namespace"].as_str().unwrap_or("everywhere")))
        .collect();
    assert_eq!(impersonators, [("Role", "aether")]);
}

#[test]
fn every_guarded_verb_is_in_the_policy() {
    let policies: Vec<Value> = rendered(&[])
        .into_iter()
        .filter(|it| it.kind() == "ValidatingAdmissionPolicy")
        .map(|it| it.body)
        .collect();
    assert_eq!(policies.len(), 2);
    let text = serde_json::to_string(&policies).unwrap();
    for verb in ["approve", "override", "rollback", "resolve", "abandon", "adopt"] {
        assert!(text.contains(&format!("key == 'whimbrel.dev/{verb}'")), "{verb}");
        assert!(text.contains(&format!(".subresource('{verb}')")), "{verb}");
    }
    for policy in policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        assert_eq!(
            policy["spec"]["matchConstraints"]["resourceRules"][0]["operations"],
            json!(["CREATE", "UPDATE"])
        );
    }
    let without = rendered(&["approval.policy=false"]);
    assert!(!without.iter().any(|it| it.kind().starts_with("ValidatingAdmission")));
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (value, sentence) in [
        ("replcas=2", "additional properties 'replcas' not allowed"),
        ("replicas=many", "at '/replicas': got string, want integer"),
        ("log.format=text", "at '/log/format': value must be one of 'json', 'pretty'"),
        ("watchNamespaces={Aether}", "at '/watchNamespaces/0': 'Aether' does not match pattern"),
        ("terminationGracePeriodSeconds=5", "at '/terminationGracePeriodSeconds': minimum: got 5, want 30"),
        (
            "defaultServiceAccount=whimbrel-operator",
            "serviceAccount.name and defaultServiceAccount are both \"whimbrel-operator\": a plan in namespace \
             whimbrel-system would act as the operator itself; give one of them another name",
        ),
    ] {
        let said = refused(&[value]);
        assert!(said.contains(sentence), "{value}: helm said:\n{said}");
    }
}

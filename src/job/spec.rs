//! One Job of ours as the API server gets it. Pure.
//!
//! The pod is always of the `restricted` profile with a read-only root and no API token. Whimbrel's own image only
//! lends its program: an init container copies it to where the tools' image can start it.

use super::JobKey;
use crate::api::pod::Pod;
use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::{
            Capabilities, Container, EmptyDirVolumeSource, LocalObjectReference, PodSecurityContext, PodSpec,
            PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};
use std::{collections::BTreeMap, time::Duration};

/// Name of the container that does the work; its termination message is the result.
pub const WORKER: &str = "worker";
/// Exit codes after which the same again would fail the same way: the user's "never", and "a newer driver owns it".
const NEVER_AGAIN: [i32; 2] = [42, 43];
/// Where the program is copied to.
pub const PROGRAM: &str = "/whimbrel-bin/whimbrel";

/// A Job in which Whimbrel's program works with the tools of another image.
#[derive(Clone, Debug)]
pub struct WorkerJob<'a> {
    /// For what.
    pub key: &'a JobKey,
    /// Where it runs: where its Secrets and volumes are.
    pub namespace: &'a str,
    /// The run's record, in its own namespace only: the garbage collector removes at once what has an owner in
    /// another one.
    pub owner: Option<OwnerReference>,
    /// Image of the program.
    pub whimbrel_image: &'a str,
    /// Image of the tools.
    pub tools_image: &'a str,
    /// What follows `whimbrel worker`. Seen by everybody who may read Jobs: never a credential.
    pub arguments: Vec<String>,
    /// Volumes beside the program's and `/tmp`.
    pub volumes: Vec<Volume>,
    /// Where the worker has them.
    pub mounts: Vec<VolumeMount>,
    /// What the user says about pods.
    pub pod: &'a Pod,
    /// Disk that the pod needs on its node, in bytes; 0 says nothing.
    pub node_disk: u64,
    /// How long the Job may be active, all tries together.
    pub within: Duration,
    /// How often a pod that failed is replaced, evictions not counted.
    pub retries: i32,
}

impl WorkerJob<'_> {
    /// The Job.
    pub fn build(&self) -> Job {
        let mut labels = self.key.labels();
        let made_for = [(super::MADE_FOR.to_owned(), self.key.made_for())];
        let metadata = ObjectMeta {
            name: Some(self.key.name()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels.clone()),
            annotations: Some(made_for.clone().into()),
            owner_references: self.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        // A mesh's sidecar would keep the pod running for ever. A user who needs the mesh says so in `pod`.
        labels.insert("sidecar.istio.io/inject".into(), "false".into());
        let mut annotations = BTreeMap::from(made_for);
        annotations.insert("linkerd.io/inject".into(), "disabled".into());
        // The user's come first, ours last: nobody makes a pod of ours look like another run's.
        let labels = self.pod.labels.clone().into_iter().chain(without(
            labels,
            &self.pod.labels,
            "sidecar.istio.io/inject",
        ));
        let annotations = self.pod.annotations.clone().into_iter().chain(without(
            annotations,
            &self.pod.annotations,
            "linkerd.io/inject",
        ));
        Job {
            metadata,
            spec: Some(JobSpec {
                active_deadline_seconds: Some(i64::try_from(self.within.as_secs()).unwrap_or(i64::MAX)),
                backoff_limit: Some(self.retries),
                completions: Some(1),
                parallelism: Some(1),
                // A second pod only when the first has ended: two dumps into one volume help nobody.
                pod_replacement_policy: Some("Failed".into()),
                pod_failure_policy: Some(failure_policy()),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta {
                        labels: Some(labels.collect()),
                        annotations: Some(annotations.collect()),
                        ..ObjectMeta::default()
                    }),
                    spec: Some(self.pod_spec()),
                },
                ..JobSpec::default()
            }),
            ..Job::default()
        }
    }

    fn pod_spec(&self) -> PodSpec {
        let worker = Container {
            name: WORKER.into(),
            image: Some(self.tools_image.to_owned()),
            command: Some([PROGRAM, "worker"].map(str::to_owned).into()),
            args: Some(self.arguments.clone()),
            volume_mounts: Some(self.mounts.clone()),
            resources: Some(resources(self.pod, self.node_disk)),
            ..Container::default()
        };
        with_program(self.whimbrel_image, self.pod, restricted_pod(self.pod, worker, self.volumes.clone()))
    }
}

/// The pod with our program at [`PROGRAM`] in its containers.
fn with_program(whimbrel_image: &str, pod: &Pod, mut spec: PodSpec) -> PodSpec {
    spec.volumes.get_or_insert_default().insert(0, scratch_volume("whimbrel-bin", None, None));
    for container in &mut spec.containers {
        let mounts = container.volume_mounts.get_or_insert_default();
        mounts.insert(0, mount("whimbrel-bin", "/whimbrel-bin", true));
    }
    let install = Container {
        name: "whimbrel".into(),
        image: Some(whimbrel_image.to_owned()),
        command: Some(["/whimbrel", "worker", "install", PROGRAM].map(str::to_owned).into()),
        volume_mounts: Some(vec![mount("whimbrel-bin", "/whimbrel-bin", false)]),
        resources: Some(resources(pod, 0)),
        security_context: Some(restricted()),
        ..Container::default()
    };
    PodSpec { init_containers: Some(vec![install]), ..spec }
}

/// A pod that holds volumes and tools ready for a person, of the same profile as the Jobs'; with our program at [`PROGRAM`] if
/// an image that has it is given.
pub fn idle_pod(
    image: &str,
    whimbrel_image: Option<&str>,
    pod: &Pod,
    volumes: Vec<Volume>,
    mounts: Vec<VolumeMount>,
) -> PodSpec {
    let idle = Container {
        name: WORKER.into(),
        image: Some(image.to_owned()),
        command: Some(vec!["sleep".into(), "infinity".into()]),
        volume_mounts: Some(mounts),
        resources: Some(resources(pod, 0)),
        ..Container::default()
    };
    let spec = restricted_pod(pod, idle, volumes);
    match whimbrel_image {
        Some(whimbrel_image) => with_program(whimbrel_image, pod, spec),
        None => spec,
    }
}

/// One container with a `/tmp` of its own, and what the user says about placing it.
fn restricted_pod(pod: &Pod, container: Container, mut volumes: Vec<Volume>) -> PodSpec {
    let users = pod.security_context.unwrap_or_default();
    let secrets = pod.image_pull_secrets.iter().map(|it| LocalObjectReference { name: it.name.clone() });
    volumes.push(scratch_volume("tmp", None, None));
    let mut mounts = container.volume_mounts.unwrap_or_default();
    mounts.push(mount("tmp", "/tmp", false));
    PodSpec {
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: users.run_as_user,
            run_as_group: users.run_as_group,
            // Without it a fresh volume belongs to root and nobody in here could write to it.
            fs_group: users.fs_group.or(users.run_as_group).or(users.run_as_user),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: Some(secrets.collect::<Vec<_>>()).filter(|it| !it.is_empty()),
        node_selector: Some(pod.node_selector.clone()).filter(|it| !it.is_empty()),
        tolerations: Some(pod.tolerations.clone()).filter(|it| !it.is_empty()),
        affinity: pod.affinity.clone(),
        priority_class_name: pod.priority_class_name.clone(),
        containers: vec![Container {
            volume_mounts: Some(mounts),
            security_context: Some(restricted()),
            ..container
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// The user's, else small requests: a quota refuses a pod that says nothing.
fn resources(pod: &Pod, node_disk: u64) -> ResourceRequirements {
    let mut resources = pod.resources.clone().unwrap_or_default();
    let requests = resources.requests.get_or_insert_default();
    let mut default = |name: &str, amount: String| {
        let limited = resources.limits.as_ref().is_some_and(|limits| limits.contains_key(name));
        // A limit alone is a request too; a request of ours above it would be refused.
        if !limited {
            requests.entry(name.to_owned()).or_insert(Quantity(amount));
        }
    };
    default("cpu", "100m".into());
    default("memory", "128Mi".into());
    if node_disk > 0 {
        default("ephemeral-storage", node_disk.to_string());
    }
    resources
}

/// Ours, except one that the user has set.
fn without(
    mut ours: BTreeMap<String, String>,
    users: &BTreeMap<String, String>,
    name: &str,
) -> BTreeMap<String, String> {
    if users.contains_key(name) {
        ours.remove(name);
    }
    ours
}

/// A volume that lives as long as the pod.
pub fn scratch_volume(name: &str, medium: Option<&str>, limit: Option<u64>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: medium.map(str::to_owned),
            size_limit: limit.map(|bytes| Quantity(bytes.to_string())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Where a container has a volume.
pub fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

/// A node that goes away is nobody's failure; the two codes are final; everything else counts against the retries.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(WORKER.into()),
                    operator: "In".into(),
                    values: NEVER_AGAIN.into(),
                }),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: Some("True".into()),
                }]),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

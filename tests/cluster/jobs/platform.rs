//! A database on a cluster, in a namespace that admits nothing but the restricted profile.

use crate::place::{Place, kubeconfig, until};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::{process::Command, time::Duration};
use whimbrel::{
    api::{
        pod::Pod as PodBlock,
        target::{Postgresql, VolumeClaim},
    },
    backup::{BackupJob, BackupSource, Kept, job_for_backup},
    job::{self, JobKey, JobState},
};

pub(crate) const TOOLS: &str = "localhost/postgresql:15";

/// What a target and a plan would say.
pub(crate) struct Platform {
    pub(crate) place: Place,
    pub(crate) postgresql: Postgresql,
    pub(crate) storage: VolumeClaim,
    pub(crate) pod: PodBlock,
    pub(crate) image: String,
}

pub(crate) fn key(op: &str, attempt: u32) -> JobKey {
    JobKey {
        plan_uid: "0b3c1d2e".into(),
        plan: "platform".into(),
        run: 7,
        run_uid: "5c1e".into(),
        target: "shop".into(),
        op: op.into(),
        epoch: 3,
        attempt,
    }
}

impl Platform {
    /// The namespace alone.
    pub(crate) async fn new(topic: &str) -> Self {
        let place = Place::new(topic).await;
        let restricted =
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let all: kube::Api<k8s_openapi::api::core::v1::Namespace> =
            kube::Api::all(place.own().client().clone());
        all.patch(&place.namespace, &PatchParams::default(), &Patch::Merge(restricted))
            .await
            .expect("the cluster answers");
        let from = |value| serde_json::from_value(value).expect("the fixture fits its type");
        let host = format!("db.{}.svc", place.namespace);
        Self {
            postgresql: serde_json::from_value(
                json!({"host": host, "database": "shop", "tls": {"mode": "Disable"}}),
            )
            .expect("the fixture fits its type"),
            storage: from(json!({"name": "backups", "path": "shop"})),
            pod: serde_json::from_value(json!({"securityContext": {"runAsUser": 999}}))
                .expect("the fixture fits its type"),
            image: std::env::var("WHIMBREL_TEST_IMAGE")
                .expect("WHIMBREL_TEST_IMAGE names the product's image"),
            place,
        }
    }

    /// With a volume for backups and a running server.
    pub(crate) async fn with_database(topic: &str) -> Self {
        let platform = Self::new(topic).await;
        let place = &platform.place;
        let secret =
            json!({"metadata": {"name": "db"}, "stringData": {"username": "postgres", "password": "p:w\\d"}});
        place.create::<Secret>(secret).await;
        let claim = json!({"metadata": {"name": "backups"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        place.create::<PersistentVolumeClaim>(claim).await;
        let service = json!({"metadata": {"name": "db"}, "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}});
        place.create::<Service>(service).await;
        let password = json!({"secretKeyRef": {"name": "db", "key": "password"}});
        let server = json!({"metadata": {"name": "db", "labels": {"app": "db"}}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "postgres", "image": TOOLS,
                "env": [{"name": "POSTGRES_PASSWORD", "valueFrom": password}, {"name": "POSTGRES_DB", "value": "shop"}],
                "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
        place.create::<Pod>(server).await;
        until("the database is ready", async || {
            let pod: Pod = place.api().get("db").await.expect("the cluster answers");
            let ready = pod.status?.conditions?.iter().any(|it| it.type_ == "Ready" && it.status == "True");
            ready.then_some(())
        })
        .await;
        platform
    }

    pub(crate) fn job<'a>(&'a self, key: &'a JobKey) -> BackupJob<'a> {
        BackupJob {
            key,
            namespace: &self.place.namespace,
            owner: None,
            whimbrel_image: &self.image,
            tools_image: TOOLS,
            storage: Kept::Claim(&self.storage),
            pod: &self.pod,
            within: Duration::from_secs(600),
        }
    }

    pub(crate) fn source(&self) -> BackupSource<'_> {
        BackupSource { postgresql: &self.postgresql, credentials: "db", application_name: "wb/1/2/3" }
    }

    pub(crate) fn backup_job(&self, key: &JobKey) -> Job {
        job_for_backup(&self.job(key), &self.source())
    }

    /// Makes the Job and waits for its end.
    pub(crate) async fn run(&self, job: &Job) -> JobState {
        let name = job.metadata.name.as_deref().expect("it has one");
        job::create(self.place.own(), job).await.expect("the cluster answers");
        until("the Job ends", async || {
            let state = job::look(self.place.own(), &self.place.namespace, name, true)
                .await
                .expect("the cluster answers");
            matches!(state, JobState::Succeeded { .. } | JobState::Failed { .. }).then_some(state)
        })
        .await
    }

    /// Waits for the reason for which the Job does not start.
    pub(crate) async fn why(&self, job: &Job, contains: &str) -> String {
        let name = job.metadata.name.as_deref().expect("it has one");
        job::create(self.place.own(), job).await.expect("the cluster answers");
        until(contains, async || {
            match job::look(self.place.own(), &self.place.namespace, name, true)
                .await
                .expect("the cluster answers")
            {
                JobState::Pending { why: Some(why) } if why.contains(contains) => Some(why),
                _ => None,
            }
        })
        .await
    }

    pub(crate) fn psql(&self, statement: &str) -> String {
        shell(&format!(
            "kubectl -n {} exec db -- psql -U postgres -X -q -A -t -v ON_ERROR_STOP=1 -d shop -c '{statement}'",
            self.place.namespace
        ))
    }
}

/// Runs a line as a person would, and gives what it prints.
pub(crate) fn shell(line: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", line])
        .env("KUBECONFIG", kubeconfig())
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
}

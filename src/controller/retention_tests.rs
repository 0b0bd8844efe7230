//! Retention against a small API server of the test's own and a real folder of backups: the Job of a prune is the real
//! one, run as soon as it is made. The operator dies at every request it makes, before it arrives and after.

use super::*;
use crate::backup::{Prune, prune};
use crate::cluster::ApiServer;
use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const DAYS: i64 = 10;
/// Shorter than what any request waits for its answer: who is dead gives no second try. The clock is the tests' own.
const DEAD_FOR: Duration = Duration::from_secs(4);

/// What the API server and the volume hold.
struct State {
    target: Value,
    version: u64,
    runs: Vec<Value>,
    job: Option<Value>,
    pods: Vec<Value>,
    volume: PathBuf,
    _folder: TempDir,
    /// What time it is for the API server.
    date: Option<String>,
    /// Counts requests down; at zero the operator dies, before the request arrives or after.
    dies: Option<(usize, bool)>,
    created: usize,
    /// What the last Job was told.
    told: Vec<String>,
    asked: usize,
}

#[derive(Clone)]
struct World(Arc<Mutex<State>>);

fn at(day: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(24 * (DAYS + 1 - day)))
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn path(day: i64) -> String {
    format!("shop/{day}/tas-1")
}

impl World {
    /// Backups of ten runs, one a day, and a volume that holds them.
    fn new(retention: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for day in 1..=DAYS {
            let manifest =
                json!({"of": {"planUid": "p", "run": day, "target": "tas"}, "files": []}).to_string();
            let place = folder.path().join(path(day));
            fs::create_dir_all(place.join("data")).unwrap();
            fs::write(place.join("manifest.json"), &manifest).unwrap();
            let sha256 = hex::encode(Sha256::digest(&manifest));
            runs.push(json!({
                "metadata": {"name": format!("shop-{day}"), "namespace": "aether", "uid": format!("r{day}")},
                "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": day, "intentHash": "i"},
                "status": {"outcome": "RolledBack", "finishedAt": at(day),
                    "watermarks": [{"target": "tas", "history": "default", "count": 1, "digest": "d"}],
                    "backups": [{"target": "tas", "path": path(day), "at": at(day), "level": "Structure", "bytes": 7, "sha256": sha256}]}
            }));
        }
        let target = json!({
            "metadata": {"name": "tas", "namespace": "aether", "uid": "t", "resourceVersion": "1"},
            "spec": {"postgresql": {"host": "db", "database": "tas"},
                "backup": {"image": "pg:15", "storage": {"volumeClaim": {"name": "b"}}, "retention": retention}},
            "status": {}
        });
        let state = State {
            target,
            version: 1,
            runs,
            job: None,
            pods: Vec::new(),
            volume: folder.path().to_owned(),
            _folder: folder,
            date: None,
            dies: None,
            created: 0,
            told: Vec::new(),
            asked: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn operator(&self) -> Operator {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let after = {
                    let mut state = world.state();
                    state.asked += 1;
                    let dies = state.dies.as_mut().and_then(|(left, after)| {
                        *left = left.checked_sub(1)?;
                        (*left == 0).then_some(*after)
                    });
                    (dies != Some(false))
                        .then(|| (state.answer(parts.method.as_str(), parts.uri.path(), &body), dies))
                };
                match after {
                    Some(((code, body, date), None)) => {
                        let answer = Response::builder().status(code).header("date", date);
                        Ok::<_, Infallible>(answer.body(Body::from(body.to_string().into_bytes())).unwrap())
                    }
                    // Nobody is there any more to hear it.
                    _ => std::future::pending().await,
                }
            }
        });
        let server = ApiServer::over(kube::Client::new(service, "whimbrel"));
        Operator {
            namespace: "whimbrel".into(),
            default_account: None,
            namespaces: Vec::new(),
            image: "whimbrel:1".into(),
            hmac_key_file: "/key".into(),
            names_are_proven: true,
            cluster: "c1".into(),
            told_verbs: Arc::default(),
            notifier: Arc::default(),
            recorder: crate::cluster::events::Recorder::new(server.own().clone(), "test"),
            metrics: Arc::new(crate::serve::Metrics::new()),
            server,
        }
    }

    /// One look of one operator. False: it died.
    async fn look(&self) -> bool {
        let operator = self.operator();
        let target = serde_json::from_value(self.state().target.clone()).unwrap();
        let looked = tokio::time::timeout(DEAD_FOR, tend(&operator, &target)).await;
        looked.map(|looked| looked.unwrap()).is_ok()
    }

    async fn looks(&self, times: usize) {
        for _ in 0..times {
            self.look().await;
            self.is_consistent();
        }
    }

    fn status(&self) -> DatabaseTargetStatus {
        serde_json::from_value(self.state().target["status"].clone()).unwrap()
    }

    fn condition(&self) -> String {
        let status = self.status();
        let found = condition::get(&status.conditions, ConditionType::Retained).expect("it is said");
        format!("{}/{}: {}", found.status, found.reason, found.message)
    }

    /// The days whose backups are on the volume, complete.
    fn there(&self) -> Vec<i64> {
        let volume = self.state().volume.clone();
        (1..=DAYS).filter(|day| volume.join(path(*day)).join("manifest.json").exists()).collect()
    }

    /// Whatever the status calls a backup, and no deletion has begun, is there.
    fn is_consistent(&self) {
        let status = self.status();
        let going = status.pruning.map(|it| it.paths).unwrap_or_default();
        let there = self.there();
        for backup in status.backups.iter().filter(|it| !going.contains(&it.path)) {
            let day = i64::try_from(number(&backup.run).unwrap()).unwrap();
            assert!(there.contains(&day), "{} is called a backup and is not there", backup.path);
        }
    }
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value, String) {
        let date = self
            .date
            .clone()
            .unwrap_or_else(|| Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let list = |items: &[Value]| (200, json!({"metadata": {}, "items": items}));
        let kind = path.rsplit('/').find(|part| {
            ["databasetargets", "migrationruns", "migrationplans", "jobs", "pods", "events", "version"]
                .contains(part)
        });
        let (code, answer) = match (method, kind.unwrap_or_default()) {
            (_, "version") => (200, json!({})),
            ("GET", "databasetargets") => (200, self.target.clone()),
            ("PATCH", "databasetargets") => self.patch(body),
            ("GET", "migrationruns") => list(&self.runs.clone()),
            ("GET", "migrationplans") => list(&[]),
            ("GET", "pods") => list(&self.pods.clone()),
            ("GET", "jobs") => match &self.job {
                Some(job) if path.ends_with(job["metadata"]["name"].as_str().unwrap()) => (200, job.clone()),
                Some(_) | None => (404, json!({"code": 404, "reason": "NotFound", "status": "Failure"})),
            },
            ("POST", "jobs") => self.run(body),
            ("DELETE", "jobs") => {
                self.job = None;
                self.pods.clear();
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            ("POST", "events") => (201, body.clone()),
            other => panic!("{other:?} {path}"),
        };
        (code, answer, date)
    }

    fn patch(&mut self, body: &Value) -> (u16, Value) {
        if body["metadata"]["resourceVersion"] != self.target["metadata"]["resourceVersion"] {
            return (409, json!({"code": 409, "reason": "Conflict", "status": "Failure"}));
        }
        merge(&mut self.target["status"], &body["status"]);
        self.version += 1;
        self.target["metadata"]["resourceVersion"] = json!(self.version.to_string());
        (200, self.target.clone())
    }

    /// Makes the Job, and does its work at once.
    fn run(&mut self, job: &Value) -> (u16, Value) {
        if self.job.is_some() {
            return (409, json!({"code": 409, "reason": "AlreadyExists", "status": "Failure"}));
        }
        self.created += 1;
        let args = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        self.told = args.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let all = |flag: &str| -> Vec<&str> {
            args.iter().filter_map(|it| it.as_str().unwrap().strip_prefix(&format!("--{flag}="))).collect()
        };
        let over = |text: &&str| {
            let (uid, first) = text.split_once('/').unwrap();
            (uid.to_owned(), first.parse().unwrap())
        };
        let told = Prune {
            storage: crate::backup::Storage::Folder(self.volume.clone()),
            target: all("target")[0].to_owned(),
            told: all("delete").iter().map(|it| it.parse().unwrap()).collect(),
            over: all("over").iter().map(over).collect(),
        };
        let message = match futures::executor::block_on(prune(&told)) {
            Ok(pruned) => json!({ "prune": pruned }),
            Err(error) => json!({"failed": {"code": "File", "message": error.to_string()}}),
        };
        let mut job = job.clone();
        job["metadata"]["uid"] = json!("j");
        job["status"] = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
        self.job = Some(job.clone());
        let ended = json!({"exitCode": 0, "message": message.to_string()});
        self.pods = vec![json!({
            "metadata": {"name": "j-1", "namespace": "aether",
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]},
            "status": {"phase": "Succeeded", "containerStatuses": [{"name": job::WORKER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended}}]}
        })];
        (201, job)
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().unwrap();
    for (key, value) in patch {
        match value {
            Value::Null => drop(fields.remove(key)),
            value => merge(fields.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_keeps_goes_and_it_is_said() {
    let world = World::new(json!({"keepLast": 3}));
    world.looks(8).await;
    assert_eq!(world.there(), [8, 9, 10]);
    let status = world.status();
    assert_eq!((status.backups.len(), status.pruning, status.deleted.len()), (3, None, 7));
    let gone: Vec<&str> = status.deleted.iter().map(|it| it.run.as_str()).collect();
    assert_eq!(gone, ["shop-7", "shop-6", "shop-5", "shop-4", "shop-3", "shop-2", "shop-1"]);
    assert_eq!(status.deleted[0].why, "neither keepLast nor keepFor keeps it");
    assert!(status.deleted[0].bytes.unwrap() > 0);
    let said = world.condition();
    assert!(said.starts_with("True/Done: 3 backups are kept; the oldest is of 20"), "{said}");
    assert!(said.ends_with(", by run shop-8: one of the newest keepLast"), "{said}");
    assert!(world.state().job.is_none(), "the Job is removed");
    assert_eq!(world.state().created, 1);
}

#[tokio::test(start_paused = true)]
async fn wherever_the_operator_dies_the_status_never_calls_a_backup_what_is_gone() {
    let whole = World::new(json!({"keepLast": 8}));
    whole.looks(8).await;
    let requests = whole.state().asked;
    assert!(requests > 30, "{requests}");
    for n in 1..=requests {
        for after in [false, true] {
            let world = World::new(json!({"keepLast": 8}));
            world.state().dies = Some((n, after));
            for _ in 0..12 {
                world.looks(1).await;
                let done = world.status().pruning.is_none() && world.state().dies == Some((0, after));
                if done && world.there().len() == 8 {
                    break;
                }
            }
            assert_eq!(world.there(), (3..=DAYS).collect::<Vec<_>>(), "died at request {n}, after: {after}");
            let status = world.status();
            assert_eq!(
                (status.backups.len(), status.pruning, status.deleted.len()),
                (8, None, 2),
                "{n} {after}"
            );
            // Nobody knows any more of a Job whose outcome is written: it goes by itself.
            let left = world.state().job.as_ref().map(|job| job["spec"]["ttlSecondsAfterFinished"].clone());
            assert!(left.is_none_or(|ttl| ttl == 86400), "{n} {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_a_run_may_need_the_target() {
    let world = World::new(json!({"keepLast": 3}));
    world.state().runs[4]["status"]["outcome"] = json!("Held");
    world.looks(4).await;
    assert_eq!(world.there(), (1..=DAYS).collect::<Vec<_>>());
    assert_eq!(world.condition(), "Unknown/Pending: nothing is deleted while run shop-5 is live");
    assert_eq!(world.state().created, 0);
    // What was begun before the run was made is not gone on with either.
    world.state().runs[4]["status"]["outcome"] = json!("RolledBack");
    world.look().await;
    assert!(world.status().pruning.is_some());
    let live = json!({
        "metadata": {"name": "shop-11", "namespace": "aether", "uid": "r11"},
        "spec": {"plan": {"name": "shop", "uid": "p", "generation": 2}, "number": 11, "intentHash": "i"}, "status": {}});
    world.state().runs.push(live);
    world.looks(4).await;
    assert_eq!((world.there().len(), world.state().created), (10, 0));
    assert_eq!(world.condition(), "Unknown/Pending: nothing is deleted while run shop-11 is live");
    world.state().runs.pop();
    world.looks(8).await;
    assert_eq!(world.there(), [8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_deletes_nothing_be_it_ours_or_theirs() {
    let world = World::new(json!({"keepFor": "240h"}));
    // All are younger than ten days for the API server, whose clock is a month behind ours.
    world.state().date = Some("Sun, 01 Nov 2020 00:00:00 GMT".into());
    world.looks(4).await;
    assert_eq!(world.there().len(), 10);
    world.state().date = Some("no date".into());
    world.looks(2).await;
    assert_eq!(world.there().len(), 10);
    world.state().date = Some("Fri, 01 Jan 2100 00:00:00 GMT".into());
    world.looks(4).await;
    assert_eq!(world.there(), (2..=DAYS).collect::<Vec<_>>(), "ours says that one of them is ten days old");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_stays_is_said_and_is_not_tried_all_the_time() {
    let world = World::new(json!({"keepLast": 8}));
    let volume = world.state().volume.clone();
    fs::write(volume.join(path(1)).join("manifest.json"), "{}").unwrap();
    world.looks(8).await;
    assert_eq!(world.there(), [1, 3, 4, 5, 6, 7, 8, 9, 10]);
    let status = world.status();
    let why = status.backups.last().unwrap().not_deleted.clone().unwrap();
    assert!(why.starts_with("its manifest has SHA-256 44136fa355b3678a"), "{why}");
    assert!(
        world.condition().starts_with("False/Failed: backup shop/1/tas-1 is not deleted: its manifest has")
    );
    assert_eq!(world.state().created, 1);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_not_the_one_keeps_the_intent_and_says_why() {
    let world = World::new(json!({"keepLast": 3}));
    let volume = world.state().volume.clone();
    world.state().volume = volume.join("elsewhere");
    for _ in 0..4 {
        world.look().await;
    }
    let status = world.status();
    assert_eq!(status.backups.len(), 10);
    assert!(status.pruning.unwrap().failed.is_some());
    let said = world.condition();
    assert!(said.starts_with("False/Failed: what nothing keeps could not be deleted: "), "{said}");
    assert!(said.ends_with(". It is tried again within the hour"), "{said}");
    world.state().volume = volume;
    // An hour later.
    let since = Timestamp::now() - SignedDuration::from_mins(61);
    world.state().target["status"]["pruning"]["since"] = json!(since);
    world.looks(8).await;
    assert_eq!(world.there(), [8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removed_by_hand_is_not_called_a_backup_any_more() {
    let world = World::new(json!({"keepLast": 9}));
    let volume = world.state().volume.clone();
    fs::remove_dir_all(volume.join(path(1))).unwrap();
    for _ in 0..6 {
        world.look().await;
    }
    let status = world.status();
    assert_eq!((status.backups.len(), status.deleted.len()), (9, 1));
    assert!(status.deleted[0].why.starts_with("it was not there: somebody removed it"));
    assert_eq!(status.deleted[0].bytes, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_aside_and_can_not_be_dropped_is_said_and_keeps_no_backup_from_going() {
    let world = World::new(json!({"keepLast": 9}));
    let restore =
        json!({"target": "tas", "aside": "wb_1_r1", "replaced": "7/1", "identity": "7/2", "at": at(-20)});
    world.state().runs[0]["status"]["restores"] = json!([restore]);
    world.looks(12).await;
    let status = world.status();
    let why = status.aside[0].not_dropped.clone().unwrap();
    assert!(why.contains("spec.credentials names no Secret"), "{why}");
    assert!(status.aside[0].dropping_since.is_some());
    assert_eq!(world.there(), (2..=DAYS).collect::<Vec<_>>());
    let said = world.condition();
    assert!(said.starts_with("False/Failed: what run shop-1 put aside is not dropped: "), "{said}");
}

#[test]
fn the_attempts_of_a_live_run_and_of_later_ones_are_left() {
    let run = |uid: &str, number: i64, status: Value| -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "uid": format!("{uid}-{number}")},
            "spec": {"plan": {"name": "shop", "uid": uid, "generation": 1}, "number": number, "intentHash": "i"},
            "status": status
        }))
        .unwrap()
    };
    let ended = || json!({"outcome": "Aborted"});
    let runs = [
        run("p", 3, ended()),
        run("p", 4, json!({"outcome": "Held"})),
        run("p", 5, json!({})),
        run("q", 7, ended()),
    ];
    assert_eq!(over(&runs), [("p".to_owned(), 4), ("q".to_owned(), 8)].into());
}

#[test]
fn a_time_in_the_future_keeps_nobody_waiting() {
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let since = |minutes: i64| Time(now - SignedDuration::from_mins(minutes));
    assert!(due(None, hour, now) && due(Some(&since(61)), hour, now) && due(Some(&since(-5)), hour, now));
    assert!(!due(Some(&since(59)), hour, now));
}

#[tokio::test(start_paused = true)]
async fn of_a_search_cluster_it_is_the_cluster_that_deletes() {
    let world = World::new(json!({"keepLast": 9}));
    world.state().target["spec"] = json!({
        "opensearch": {"url": "https://search:9200", "indices": ["documents*"], "backup": {"repository": "backups"}},
        "credentials": {"secretRef": {"name": "search-admin"}},
        "backup": {"retention": {"keepLast": 9}}
    });
    world.looks(8).await;
    assert_eq!(world.there(), (2..=10).collect::<Vec<_>>());
    assert_eq!(world.status().deleted[0].run, "shop-1");
    let told = world.state().told.clone();
    let sha256 = &world.status().deleted[0].id;
    assert_eq!(
        told,
        [
            "prune-snapshots".to_owned(),
            "--url=https://search:9200".to_owned(),
            "--tls=VerifyFull".to_owned(),
            "--credentials=/credentials".to_owned(),
            "--target=tas".to_owned(),
            format!("--delete={sha256}/p/1/shop/1/tas-1"),
            "--index=documents*".to_owned(),
        ]
    );
}

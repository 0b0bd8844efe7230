//! The operator on a real cluster, with exactly the rights that the chart gives it: what it says of what people write.
//!
//! Each file in `refused/` is something that can't work. Its head says which reason and which sentence the plan must show,
//! or how the API server refuses it; nothing may be changed by it.

mod bucket;
mod exported;
mod full_volume;
mod graph;
mod graph_store;
mod held;
#[path = "../neo4j/http.rs"]
mod http;
#[path = "../tools/kubectl.rs"]
mod kubectl;
#[path = "../lane/mod.rs"]
mod lane;
mod minio;
mod records;
mod refused;
mod retention;
mod set_back;
mod stopped;
#[path = "../neo4j/testbed.rs"]
mod testbed;
#[path = "../tools/mod.rs"]
mod tools;
mod while_running;

use lane::{Operator, Platform};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// One platform and one operator for all tests of this file, one test at a time.
fn platform() -> MutexGuard<'static, (Platform, Operator)> {
    static PLATFORM: OnceLock<Mutex<(Platform, Operator)>> = OnceLock::new();
    let platform = PLATFORM.get_or_init(|| {
        lane::prepare_cluster();
        let lane = Platform::set_up("control");
        let operator = Operator::start(&lane.settings, None);
        Mutex::new((lane, operator))
    });
    platform.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The workloads of the platform that keep sessions in the database.
fn every_dependent(lane: &Platform) -> Value {
    let (backend, back) = (format!("{}-backend", lane.name), format!("{}-be", lane.name));
    json!([{"kind": "Deployment", "name": "audimodal"}, {"kind": "Deployment", "name": backend, "namespace": back}])
}

/// Waits until a field of an object is this.
fn wait(lane: &Platform, what: &str, path: &str, value: &str) {
    let waits = format!("--for=jsonpath={path}={value}");
    if let Err(said) = lane.try_kubectl(&["wait", &waits, what, "--timeout=300s"]) {
        panic!("{what}: {path} is not {value}: {said}; it says {}", lane.get(what, "{.status}"));
    }
}

/// Gives a plan or a target a verb as the person who runs the tests, whose name it returns: the admission policy lets nobody
/// speak in another's name.
fn annotate(lane: &Platform, object: &str, verb: &str, what: &str) -> String {
    let me = lane.kubectl(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
    lane.kubectl(&["annotate", object, "--overwrite", &format!("whimbrel.dev/{verb}={what} by {me}")]);
    me
}

/// What a plan could have changed of the workloads.
fn workloads(lane: &Platform) -> String {
    let path = "{range .items[*]}{.metadata.name} {.metadata.annotations} {.spec}{\"\\n\"}{end}";
    let backend = format!("--namespace={}-be", lane.name);
    let shown = format!("--output=jsonpath={path}");
    [lane.get("deployments", path), lane.kubectl(&["get", "deployments", &backend, &shown])].join("\n")
}

//! Programs that tests use; `testbed/testbed tools` builds each once and keeps it.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The path of a tool; builds it at first use. For `schemas`: kubeconform's schema location.
pub(crate) fn path_of(tool: &str) -> String {
    static PATHS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    paths.entry(tool.to_owned()).or_insert_with(|| build(tool)).clone()
}

fn build(tool: &str) -> String {
    let testbed = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed");
    let output = Command::new(testbed).args(["tools", tool]).output().expect("the testbed starts");
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim_end().to_owned()
}

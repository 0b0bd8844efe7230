//! The programs that judge a plan: kstatus, and Argo CD's sandbox.

use crate::tools::path_of;
use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Stdio},
};

const HEALTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/argocd/health.lua");

/// What kstatus makes of an object.
pub(crate) fn kstatus(object: &Value) -> Value {
    ask("kstatus", &[], object)
}

/// What Argo CD makes of an object by our health.lua.
pub(crate) fn argo(object: &Value) -> Value {
    ask("argohealth", &[HEALTH], object)
}

/// What Argo CD's sandbox returns from another script of the same form.
pub(crate) fn sandboxed(script: &str, object: &Value) -> Value {
    let folder = tempfile::tempdir().expect("a folder for the script");
    let file = folder.path().join("script.lua");
    std::fs::write(&file, script).expect("written");
    ask("argohealth", &[file.to_str().expect("UTF-8")], object)
}

fn ask(tool: &str, arguments: &[&str], object: &Value) -> Value {
    let mut child = Command::new(path_of(tool))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(object.to_string().as_bytes()).expect("the tool reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the tool ends");
    assert!(output.status.success(), "{tool}: {}\n{object}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the tool prints JSON")
}

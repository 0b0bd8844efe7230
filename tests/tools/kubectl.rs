//! A real API server, as people reach it: by kubectl. WHIMBREL_TEST_KUBECONFIG names it (`testbed/testbed up`).

use crate::tools::path_of;
use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// The cluster's kubeconfig.
pub(crate) fn kubeconfig() -> String {
    std::env::var("WHIMBREL_TEST_KUBECONFIG")
        .expect("WHIMBREL_TEST_KUBECONFIG names the cluster's kubeconfig: testbed/testbed up prints it")
}

/// Runs kubectl; it must succeed.
pub(crate) fn run(arguments: &[&str]) -> String {
    run_with(arguments, "")
}

/// Runs kubectl with an input; it must succeed.
pub(crate) fn run_with(arguments: &[&str], input: &str) -> String {
    let output = attempt(arguments, input);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
}

/// What kubectl wrote for people.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Runs kubectl with an input; whatever it says.
pub(crate) fn attempt(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(path_of("kubectl"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A kubectl that fails before it reads has closed the pipe: its exit code says so.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("kubectl ends")
}

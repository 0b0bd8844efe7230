//! A real API server, as people reach it: by kubectl. WHIMBREL_TEST_KUBECONFIG names it (`testbed/testbed up`).

use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// A namespace of one test, gone with it.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    /// A new one; the CRDs are there then.
    pub(crate) fn new(name: &str) -> Self {
        install_crds();
        let name = format!("contract-{name}-{:08x}", rand::random::<u32>());
        kubectl(&["create", "namespace", &name]);
        Self(name)
    }

    /// Runs kubectl in it; whatever it says.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        start(&[&["--namespace", &self.0], arguments].concat(), "")
    }

    /// Runs kubectl in it; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.0], arguments].concat())
    }

    /// Creates an object as somebody; `Err` is the server's refusal.
    pub(crate) fn create(&self, as_whom: &str, object: &Value) -> Result<(), String> {
        let arguments = ["--namespace", &self.0, "--as", as_whom, "create", "--filename", "-"];
        let output = start(&arguments, &object.to_string());
        if output.status.success() { Ok(()) } else { Err(said(&output)) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        start(&["delete", "namespace", &self.0, "--wait=false"], "");
    }
}

/// Runs kubectl; it must succeed.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, "")
}

/// Runs kubectl with an input; it must succeed.
pub(crate) fn kubectl_with(arguments: &[&str], input: &str) -> String {
    let output = start(arguments, input);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
}

/// What kubectl wrote for people.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Asks until the answer is yes; the deadline only ends a test that would never end.
pub(crate) fn eventually(what: &str, mut answer: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !answer() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
    }
}

fn install_crds() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
        kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", crds]);
        kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "--filename", crds]);
    });
}

fn start(arguments: &[&str], input: &str) -> Output {
    let kubeconfig = std::env::var("WHIMBREL_TEST_KUBECONFIG")
        .expect("WHIMBREL_TEST_KUBECONFIG names the cluster's kubeconfig: testbed/testbed up prints it");
    let mut child = Command::new(crate::tools::path_of("kubectl"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
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

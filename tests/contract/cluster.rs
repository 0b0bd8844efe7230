//! A namespace of a real cluster, with the CRDs.

use crate::kubectl::{attempt, run, said};
use serde_json::Value;
use std::{
    process::Output,
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
        run(&["create", "namespace", &name]);
        Self(name)
    }

    /// Runs kubectl in it; whatever it says.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        attempt(&[&["--namespace", &self.0], arguments].concat(), "")
    }

    /// Runs kubectl in it; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        run(&[&["--namespace", &self.0], arguments].concat())
    }

    /// Creates an object as somebody; `Err` is the server's refusal.
    pub(crate) fn create(&self, as_whom: &str, object: &Value) -> Result<(), String> {
        let arguments = ["--namespace", &self.0, "--as", as_whom, "create", "--filename", "-"];
        let output = attempt(&arguments, &object.to_string());
        if output.status.success() { Ok(()) } else { Err(said(&output)) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        attempt(&["delete", "namespace", &self.0, "--wait=false"], "");
    }
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
        run(&["apply", "--server-side", "--force-conflicts", "--filename", crds]);
        run(&["wait", "--for=condition=Established", "--timeout=60s", "--filename", crds]);
    });
}

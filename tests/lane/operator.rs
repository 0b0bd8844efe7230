//! One operator as a process of the test's own, with exactly the rights that the chart gives it, started again whenever it
//! dies: what the kubelet would do, without its back-off.

use crate::kubectl;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

/// What an operator is told.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Its kubeconfig, notes and log are here.
    pub(crate) folder: PathBuf,
    /// Namespace of its Leases.
    pub(crate) namespace: String,
    /// Namespaces that it watches.
    pub(crate) watched: String,
    /// Image of backup Jobs.
    pub(crate) image: String,
}

impl Settings {
    /// Where the process notes its points.
    pub(crate) fn notes(&self) -> PathBuf {
        self.folder.join("notes")
    }

    /// What the process logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("operator.log")
    }
}

/// A running operator.
pub(crate) struct Operator {
    stop: Arc<AtomicBool>,
    pid: Arc<AtomicU32>,
    keeper: Option<JoinHandle<()>>,
}

impl Operator {
    /// Starts it with fresh notes and a fresh log; `fault` is the one that it is told.
    pub(crate) fn start(settings: &Settings, fault: Option<&str>) -> Self {
        let fault = fault.map(str::to_owned);
        fs::remove_dir_all(settings.notes())
            .and_then(|()| fs::create_dir(settings.notes()))
            .expect("the lane's folder can be written");
        let (stop, pid) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        File::create(settings.log()).expect("the lane's folder can be written");
        let first = spawn(settings, fault.as_deref());
        pid.store(first.id(), Ordering::SeqCst);
        let keeper = std::thread::spawn({
            let (settings, stop, pid) = (settings.clone(), stop.clone(), pid.clone());
            move || {
                let mut child = first;
                loop {
                    child.wait().expect("our own child");
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    end_leadership(&settings);
                    child = spawn(&settings, fault.as_deref());
                    pid.store(child.id(), Ordering::SeqCst);
                }
            }
        });
        Self { stop, pid, keeper: Some(keeper) }
    }
}

impl Drop for Operator {
    /// Ends it as Kubernetes does, and waits for it: it gives its Lease up.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let pid =
            i32::try_from(self.pid.load(Ordering::SeqCst)).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Takes the Lease away from a process that is dead for sure: the next one need not wait until it is proven by time.
fn end_leadership(settings: &Settings) {
    let lease = ["delete", "lease", "whimbrel-operator", "--ignore-not-found"];
    kubectl::run(&[&["--namespace", &settings.namespace], &lease[..]].concat());
}

fn spawn(settings: &Settings, fault: Option<&str>) -> Child {
    let log = append(&settings.log());
    // Another build of the program, for whoever changes this one while a long series of visits runs.
    let program = std::env::var_os("WHIMBREL_TEST_OPERATOR");
    let mut command = Command::new(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_whimbrel").as_ref()));
    command
        .args(["operator", "--metrics-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0"])
        .args(["--lease-seconds", "10", "--namespace", &settings.namespace, "--image", &settings.image])
        .args(["--watch-namespaces", &settings.watched, "--log-format", "pretty"])
        .arg("--hmac-key-file")
        .arg(settings.folder.join("hmac-key"))
        .env("KUBECONFIG", settings.folder.join("kubeconfig"))
        .env("RUST_LOG", "whimbrel=debug,info")
        .env("WHIMBREL_FAULT_NOTES", settings.notes())
        .env_remove("WHIMBREL_FAULT")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle"))
        .stderr(log);
    if let Some(fault) = fault {
        command.env("WHIMBREL_FAULT", fault);
    }
    command.spawn().expect("the operator starts")
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the lane's folder can be written")
}

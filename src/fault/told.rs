//! What the environment tells a build with fault points.
//!
//! `WHIMBREL_FAULT_NOTES` names a folder: the process appends the name of every point it passes to `points`, and writes
//! `struck` before it strikes, so that the process started after it strikes no more. `WHIMBREL_FAULT=MODE@N`
//! (`abort-before`, `abort-after`, `lose-answer`) names the point that is struck.

use http::{Method, Uri};
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// What happens at the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The process dies, the effect never was.
    AbortBefore,
    /// The effect is there, the process dies before it knows.
    AbortAfter,
    /// The effect is there, its answer does not come; the process lives.
    LoseAnswer,
}

/// One point that will be struck.
pub(super) struct Strike {
    mode: Mode,
    name: String,
}

struct Told {
    notes: PathBuf,
    fault: Option<(Mode, u64)>,
    passed: Mutex<u64>,
}

static TOLD: LazyLock<Option<Told>> = LazyLock::new(|| {
    let notes = PathBuf::from(std::env::var_os("WHIMBREL_FAULT_NOTES")?);
    let fault = std::env::var("WHIMBREL_FAULT").ok().map(|text| {
        parse(&text).unwrap_or_else(|| panic!("WHIMBREL_FAULT={text}: want MODE@N, such as abort-after@17"))
    });
    let fault = fault.filter(|_| !notes.join("struck").exists());
    Some(Told { notes, fault, passed: Mutex::new(0) })
});

/// Counts a point, notes it, and says whether it is the one.
pub(super) fn pass(name: String) -> Option<Strike> {
    let told = TOLD.as_ref()?;
    let mut passed = told.passed.lock().unwrap_or_else(PoisonError::into_inner);
    *passed += 1;
    note(&told.notes.join("points"), &format!("{passed} {name}\n"));
    let (mode, at) = told.fault?;
    (at == *passed).then_some(Strike { mode, name })
}

impl Strike {
    pub(super) async fn around<T, E>(
        self,
        effect: impl Future<Output = Result<T, E>>,
        lost: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        let struck = format!("{:?} {}\n", self.mode, self.name);
        let note_it = || {
            if let Some(told) = TOLD.as_ref() {
                note(&told.notes.join("struck"), &struck);
            }
        };
        if self.mode == Mode::AbortBefore {
            note_it();
            std::process::abort();
        }
        let done = effect.await;
        note_it();
        match self.mode {
            Mode::LoseAnswer => done.and_then(|_| Err(lost(format!("the answer to {} was lost", self.name)))),
            _ => std::process::abort(),
        }
    }
}

/// The name of a write that has a point; none for what changes nothing, and for what happens by the clock (a leader's
/// renewals) or only tells people what the next report tells again (events, the status of plans and targets).
pub(super) fn request(method: &Method, uri: &Uri) -> Option<String> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let mut words = path.rsplit('/');
    let (last, name, kind) = (words.next()?, words.next()?, words.next()?);
    let told = last == "status" && kind != "migrationruns";
    let asks = last.ends_with("reviews") || query.contains("dryRun=All");
    if told || asks || last == "events" || name == "events" || last == "whimbrel-operator" {
        return None;
    }
    let shown = match last {
        "status" => format!("{kind}/{name}/status"),
        _ => format!("{name}/{last}"),
    };
    Some(format!("{method} {shown}"))
}

fn parse(text: &str) -> Option<(Mode, u64)> {
    let (mode, at) = text.split_once('@')?;
    let mode = match mode {
        "abort-before" => Mode::AbortBefore,
        "abort-after" => Mode::AbortAfter,
        "lose-answer" => Mode::LoseAnswer,
        _ => return None,
    };
    Some((mode, at.parse().ok()?))
}

fn note(file: &Path, line: &str) {
    let written = OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| {
        file.write_all(line.as_bytes())?;
        file.sync_data()
    });
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_mode_and_a_number() {
        assert_eq!(parse("abort-before@1"), Some((Mode::AbortBefore, 1)));
        assert_eq!(parse("lose-answer@120"), Some((Mode::LoseAnswer, 120)));
        assert_eq!(parse("abort-after"), None);
        assert_eq!(parse("sleep@3"), None);
    }

    #[test]
    fn what_changes_the_world_has_a_name_and_what_only_tells_has_none() {
        let named = |method: Method, uri: &str| request(&method, &uri.parse().unwrap());
        let crd = "/apis/whimbrel.dev/v1alpha1/namespaces/aether";
        let run = format!("{crd}/migrationruns/platform-3/status?fieldValidation=Strict");
        assert_eq!(named(Method::PATCH, &run).as_deref(), Some("PATCH migrationruns/platform-3/status"));
        let deployment = "/apis/apps/v1/namespaces/aether/deployments/audimodal";
        assert_eq!(named(Method::PATCH, deployment).as_deref(), Some("PATCH deployments/audimodal"));
        let jobs = "/apis/batch/v1/namespaces/aether/jobs";
        assert_eq!(named(Method::POST, jobs).as_deref(), Some("POST aether/jobs"));
        for silent in [
            format!("{crd}/migrationplans/platform/status"),
            format!("{crd}/databasetargets/shop/status"),
            "/apis/events.k8s.io/v1/namespaces/aether/events".to_owned(),
            "/apis/coordination.k8s.io/v1/namespaces/whimbrel/leases/whimbrel-operator".to_owned(),
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
            format!("{jobs}?dryRun=All"),
        ] {
            assert_eq!(named(Method::POST, &silent), None, "{silent}");
        }
    }
}

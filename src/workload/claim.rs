//! The claim on a workload, and its originals: written together, once, on the workload itself.
//!
//! The originals stand beside the claim so that what a workload looked like survives the loss of everything else. They
//! are create-only: recorded twice, the second time would record the zero replicas that we made ourselves.

use super::{
    Workload, WorkloadError, WorkloadKey,
    change::{Merge, change},
};
use crate::{
    api::{reference::Images, run::Original},
    cluster::{Acting, Holder, WriteError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Annotation: `<plan uid>/<run>/<epoch>` of the driver that holds the workload.
pub const CLAIMED_BY: &str = "whimbrel.dev/claimed-by";
/// Annotation: what the workload looked like when it was claimed.
pub const ORIGINAL: &str = "whimbrel.dev/original";
/// Label: set while claimed, so that the sweeper can list.
pub const CLAIMED: &str = "whimbrel.dev/claimed";

/// What stands in [`ORIGINAL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OriginalNote {
    /// `<plan uid>/<run>`.
    run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(default)]
    images: Images,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspend: Option<bool>,
}

/// Claims a workload for `holder`, or rewrites our own run's claim with its newer epoch, and returns what it looked
/// like when this run first claimed it. Idempotent, also after a crash right behind the write.
///
/// # Errors
/// [`WriteError::NotOurs`] naming the other holder or the newer epoch; [`WorkloadError::Leftover`] if originals of
/// another run stand there; [`WorkloadError::ClaimLost`] if ours were removed; a refusal; no answer.
pub async fn claim(acting: &Acting, key: &WorkloadKey, holder: &Holder) -> Result<Original, WorkloadError> {
    let claimed = change(acting, key, Merge::Strategic, |found| claim_patch(found, holder)).await?;
    let note = original_note(&claimed)?.ok_or_else(|| WorkloadError::ClaimLost { what: key.clone() })?;
    Ok(Original {
        kind: key.kind,
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: claimed.uid,
        replicas: note.replicas,
        images: note.images,
        suspend: note.suspend,
    })
}

/// Whether this driver may write the workload: it carries our run's claim, under our epoch or an older one of ours.
///
/// # Errors
/// [`WorkloadError::ClaimLost`] if it carries none, [`WriteError::NotOurs`] if it carries another's or a newer epoch.
pub fn held_by(workload: &Workload, holder: &Holder) -> Result<(), WorkloadError> {
    let Some(found) = workload.annotations.get(CLAIMED_BY) else {
        return Err(WorkloadError::ClaimLost { what: workload.key.clone() });
    };
    holder.may_write_over(&workload.key.to_string(), Some(found)).map_err(|it| WriteError::NotOurs(it).into())
}

fn claim_patch(found: &Workload, holder: &Holder) -> Result<Option<Value>, WorkloadError> {
    let what = found.key.to_string();
    let standing = found.annotations.get(CLAIMED_BY).map(String::as_str);
    holder.may_write_over(&what, standing).map_err(WriteError::NotOurs)?;
    let run = run_of(holder);
    let note = match original_note(found)? {
        Some(note) if note.run == run => None,
        Some(note) => {
            let original = found.annotations.get(ORIGINAL).cloned().unwrap_or_default();
            return Err(WorkloadError::Leftover { what: found.key.clone(), run: note.run, original });
        }
        None if standing.is_some() => return Err(WorkloadError::ClaimLost { what: found.key.clone() }),
        None => Some(OriginalNote {
            run,
            replicas: found.replicas,
            images: found.images(),
            suspend: found.suspend,
        }),
    };
    let text = holder.to_string();
    if note.is_none() && standing == Some(&text) && found.labels.contains_key(CLAIMED) {
        return Ok(None);
    }
    let mut annotations = json!({ CLAIMED_BY: text });
    if let Some(note) = note {
        annotations[ORIGINAL] = json!(json!(note).to_string());
    }
    Ok(Some(json!({"metadata": {"annotations": annotations, "labels": {CLAIMED: "true"}}})))
}

fn run_of(holder: &Holder) -> String {
    format!("{}/{}", holder.plan_uid, holder.run)
}

fn original_note(workload: &Workload) -> Result<Option<OriginalNote>, WorkloadError> {
    let Some(text) = workload.annotations.get(ORIGINAL) else { return Ok(None) };
    let bad = |why: serde_json::Error| WorkloadError::BadOriginal {
        what: workload.key.clone(),
        why: why.to_string(),
    };
    serde_json::from_str(text).map(Some).map_err(bad)
}

/// Whether a workload looks as the originals on it say; without originals it does.
pub(super) fn is_as_recorded(workload: &Workload) -> Result<bool, WorkloadError> {
    let Some(note) = original_note(workload)? else { return Ok(true) };
    let same = note.replicas == workload.replicas && note.suspend == workload.suspend;
    Ok(same && note.images == workload.images())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    fn me(epoch: u64) -> Holder {
        Holder { plan_uid: "uid-a".into(), run: 7, epoch }
    }

    const OURS: &str = r#"labels: {whimbrel.dev/claimed: "true"}
annotations:
  whimbrel.dev/claimed-by: uid-a/7/3
  whimbrel.dev/original: '{"run":"uid-a/7","replicas":5,"images":{"app":"web:0"}}'"#;

    #[test]
    fn claim_and_originals_are_one_patch() {
        let patch = claim_patch(&fixture::deployment(""), &me(3)).unwrap().unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({CLAIMED: "true"}));
        assert_eq!(patch["metadata"]["annotations"][CLAIMED_BY], "uid-a/7/3");
        let note: OriginalNote =
            serde_json::from_str(patch["metadata"]["annotations"][ORIGINAL].as_str().unwrap()).unwrap();
        assert_eq!(note.run, "uid-a/7");
        assert_eq!(note.replicas, Some(3));
        assert_eq!(
            note.images,
            fixture::images([("app", "web:1"), ("sidecar", "proxy:7"), ("wait", "busybox:1")])
        );
        let cron = claim_patch(&fixture::cron_job(), &me(3)).unwrap().unwrap();
        let note = cron["metadata"]["annotations"][ORIGINAL].as_str().unwrap();
        assert_eq!(note, r#"{"run":"uid-a/7","images":{"sync":"sync:1"},"suspend":false}"#);
    }

    #[test]
    fn originals_are_never_written_twice() {
        let ours = fixture::deployment(OURS);
        assert_eq!(claim_patch(&ours, &me(3)).unwrap(), None, "nothing left to do");
        let patch = claim_patch(&ours, &me(4)).unwrap().unwrap();
        let only =
            json!({"metadata": {"annotations": {CLAIMED_BY: "uid-a/7/4"}, "labels": {CLAIMED: "true"}}});
        assert_eq!(patch, only, "a newer driver of the same run rewrites the claim alone");
        assert_eq!(original_note(&ours).unwrap().unwrap().replicas, Some(5));
        let stripped = fixture::deployment("annotations: {whimbrel.dev/claimed-by: uid-a/7/3}");
        assert_eq!(
            claim_patch(&stripped, &me(3)).unwrap_err().to_string(),
            "Deployment aether/web no longer carries this run's claim: it was edited by hand or created anew"
        );
    }

    #[test]
    fn another_holder_is_named_and_a_leftover_is_not_overwritten() {
        let text =
            |metadata: &str| claim_patch(&fixture::deployment(metadata), &me(3)).unwrap_err().to_string();
        assert_eq!(
            text("annotations: {whimbrel.dev/claimed-by: uid-b/1/1}"),
            "Deployment aether/web is claimed by uid-b/1/1"
        );
        assert_eq!(
            text("annotations: {whimbrel.dev/claimed-by: uid-a/7/4}"),
            "Deployment aether/web carries epoch 4, newer than ours"
        );
        assert_eq!(
            text(r#"annotations: {whimbrel.dev/original: '{"run":"uid-b/1","replicas":3}'}"#),
            "Deployment aether/web still carries the originals of run uid-b/1, which never gave it back: \
             {\"run\":\"uid-b/1\",\"replicas\":3}; set these by hand, then remove the annotation: \
             kubectl annotate deployment web --namespace=aether whimbrel.dev/original-"
        );
        assert_eq!(
            text("annotations: {whimbrel.dev/original: three}"),
            "Deployment aether/web carries an annotation whimbrel.dev/original that can't be read: expected ident at line 1 column 2"
        );
    }

    #[test]
    fn originals_that_differ_are_noticed() {
        let web =
            |note: &str| fixture::deployment(&format!("annotations: {{whimbrel.dev/original: '{note}'}}"));
        assert!(is_as_recorded(&fixture::deployment("")).unwrap());
        let same =
            r#"{"run":"u/1","replicas":3,"images":{"app":"web:1","sidecar":"proxy:7","wait":"busybox:1"}}"#;
        assert!(is_as_recorded(&web(same)).unwrap());
        assert!(!is_as_recorded(&web(&same.replace(":3", ":5"))).unwrap());
        assert!(!is_as_recorded(&web(&same.replace("web:1", "web:0"))).unwrap());
    }

    #[test]
    fn who_may_write() {
        let held = |metadata: &str, epoch| held_by(&fixture::deployment(metadata), &me(epoch));
        assert!(held(OURS, 3).is_ok());
        assert!(held(OURS, 4).is_ok());
        assert!(matches!(held(OURS, 2), Err(WorkloadError::Write(WriteError::NotOurs(_)))));
        assert!(matches!(held("", 3), Err(WorkloadError::ClaimLost { .. })));
    }
}

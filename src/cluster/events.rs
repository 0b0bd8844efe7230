//! Events: one per transition, told to people, never in the way of a run.

use super::Acting;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::api::PostParams;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The API server refuses a longer note.
const NOTE: usize = 1024;

/// How long one event may take. A run does not wait longer for an audience.
const PUBLISH_WITHIN: Duration = Duration::from_secs(5);

/// Whether people should worry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As planned.
    Normal,
    /// Somebody should look.
    Warning,
}

/// One transition, as it is told.
#[derive(Clone, Debug)]
pub struct Transition<'a> {
    /// The object that it happened to: a plan, run or target.
    pub regarding: &'a ObjectReference,
    /// The Job, workload or target that had a part in it.
    pub related: Option<&'a ObjectReference>,
    /// Whether people should worry.
    pub severity: Severity,
    /// The reason, such as `StepApplied`.
    pub reason: &'a str,
    /// One sentence; cut to 1024 bytes.
    pub note: &'a str,
    /// What makes this transition different from every other one of the same reason and object, such as
    /// `<run>/<op>/<attempt>`. Told twice, after a crash between the act and its record, it is still one event.
    pub once: &'a str,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is there now, and was not before.
    New,
    /// It was there before: this transition was told.
    Known,
    /// Nobody knows: no answer, or another one than was asked for.
    Unknown,
}

/// Publishes events as the operator.
#[derive(Clone)]
pub struct Recorder {
    own: Acting,
    instance: String,
}

impl Recorder {
    /// `instance` says which operator: the pod's name.
    pub fn new(own: Acting, instance: impl Into<String>) -> Self {
        Self { own, instance: instance.into() }
    }

    /// Publishes one event. It gives up after 5 s and only logs what went wrong: a run that fails since nobody could
    /// be told of it would be the tail wagging the dog.
    pub async fn publish(&self, transition: &Transition<'_>) -> Published {
        let event = event(transition, &self.instance, Timestamp::now());
        let api = self.own.api::<Event>(event.metadata.namespace.as_deref().unwrap_or("default"));
        let parameters = PostParams::default();
        match tokio::time::timeout(PUBLISH_WITHIN, api.create(&parameters, &event)).await {
            Ok(Ok(_)) => return Published::New,
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => return Published::Known,
            Ok(Err(error)) => tracing::warn!(reason = transition.reason, %error, "event not published"),
            Err(_) => tracing::warn!(reason = transition.reason, "event not published within 5 s"),
        }
        Published::Unknown
    }
}

fn event(transition: &Transition<'_>, instance: &str, now: Timestamp) -> Event {
    let regarding = transition.regarding;
    let named = regarding.name.as_deref().unwrap_or("whimbrel");
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{named}.{}", identity(transition))),
            namespace: Some(regarding.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        action: Some(transition.reason.to_owned()),
        reason: Some(transition.reason.to_owned()),
        note: Some(cut(transition.note, NOTE)),
        type_: Some(
            match transition.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            }
            .to_owned(),
        ),
        regarding: Some(regarding.clone()),
        related: transition.related.cloned(),
        reporting_controller: Some("whimbrel.dev/operator".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

fn identity(transition: &Transition<'_>) -> String {
    let uid = transition.regarding.uid.as_deref().unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [uid, transition.reason, transition.once] {
        digest.update(part);
        digest.update([0]);
    }
    hex::encode(digest.finalize())[..16].to_owned()
}

/// At most `bytes` bytes, cut between characters.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes - "…".len();
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;

    fn plan() -> ObjectReference {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "namespace": "aether", "name": "platform", "uid": "u"
        }))
        .unwrap()
    }

    fn applied<'a>(regarding: &'a ObjectReference, once: &'a str) -> Transition<'a> {
        let note = "Data/entities: 3 scripts applied";
        Transition { regarding, related: None, severity: Severity::Normal, reason: "StepApplied", note, once }
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short", 1024), "short");
        let long = "ä".repeat(600);
        let note = cut(&long, NOTE);
        assert!(note.len() <= NOTE && note.len() > NOTE - 4 && note.ends_with("ä…"), "{}", note.len());
    }

    #[test]
    fn a_transition_told_twice_is_one_event_and_two_are_two() {
        let plan = plan();
        let name = |once: &str| event(&applied(&plan, once), "pod", Timestamp::UNIX_EPOCH).metadata.name;
        assert_eq!(name("7/apply-entities/0"), name("7/apply-entities/0"));
        assert_ne!(name("7/apply-entities/0"), name("8/apply-entities/0"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_or_never_answers_does_not_hold_the_run() {
        let fake = FakeApiServer::new();
        let recorder = Recorder::new(fake.api_server().own().clone(), "operator-0");
        recorder.publish(&applied(&plan(), "1")).await;
        fake.hang_next();
        let before = tokio::time::Instant::now();
        recorder.publish(&applied(&plan(), "2")).await;
        assert_eq!(before.elapsed(), PUBLISH_WITHIN);
        let sent = &fake.bodies()[0];
        assert_eq!(sent["reason"], "StepApplied");
        assert_eq!(sent["regarding"]["uid"], "u");
        assert_eq!(sent["reportingInstance"], "operator-0");
        assert!(fake.requests()[0].starts_with("POST /apis/events.k8s.io/v1/namespaces/aether/events"));
    }
}

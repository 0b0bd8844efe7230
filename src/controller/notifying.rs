//! Notifications: which webhook is told of which moment. The URL is read as the plan's account, each time.
//!
//! At most once for each transition of a run: its event is made first, under a name that says which one it is, and who
//! finds it there already is silent. A crash between the two loses the notification, and the event remains.

use super::operator::Operator;
use super::telling::reference;
use crate::api::plan::{Notification, VariableSource};
use crate::api::{EventReason, MigrationPlan};
use crate::cluster::events::{Severity, Transition};
use crate::cluster::source;
use crate::notify::Webhooks;
use crate::words;
use serde_json::Value;
use tokio::sync::Semaphore;

/// Notifications on their way at the same time; the others wait. A receiver that hangs must not pile up memory.
const AT_ONCE: usize = 16;

/// What sends.
pub(super) struct Notifier {
    webhooks: Webhooks,
    room: Semaphore,
}

impl Default for Notifier {
    fn default() -> Self {
        Self { webhooks: Webhooks::new(), room: Semaphore::new(AT_ONCE) }
    }
}

/// Those that a plan wants told of a moment.
pub(super) fn wanted(plan: &MigrationPlan, reason: EventReason) -> Vec<Notification> {
    let on = |notification: &&Notification| {
        notification.on.iter().any(|moment| moment.as_str() == reason.as_str())
    };
    plan.spec.notifications.iter().filter(on).cloned().collect()
}

/// Sends in a task of its own: a run waits for no receiver.
pub(super) fn send(
    operator: &Operator,
    plan: &MigrationPlan,
    wanted: Vec<Notification>,
    transition: &words::Transition,
    body: &Value,
) {
    for notification in wanted {
        let (operator, plan) = (operator.clone(), plan.clone());
        let (transition, body) = (transition.clone(), body.clone());
        tokio::spawn(async move {
            let outcome = deliver(&operator, &plan, &notification, &body).await;
            operator.metrics.notified(outcome.is_ok());
            if let Err(why) = outcome {
                failed(&operator, &plan, &notification, &transition, &why).await;
            }
        });
    }
}

async fn deliver(
    operator: &Operator,
    plan: &MigrationPlan,
    notification: &Notification,
    body: &Value,
) -> Result<(), String> {
    // Never closed.
    let _room = operator.notifier.room.acquire().await.map_err(|closed| closed.to_string())?;
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let from = VariableSource::Secret(notification.url.secret_key_ref.clone());
    let url = source::variable(&operator.for_plan(plan), namespace, &from).await;
    let url = url.map_err(|error| format!("its URL can't be read: {error}"))?;
    operator.notifier.webhooks.deliver(&url, body).await.map_err(|error| error.to_string())
}

/// Says that a notification was not sent, or not delivered.
pub(super) async fn failed(
    operator: &Operator,
    plan: &MigrationPlan,
    notification: &Notification,
    transition: &words::Transition,
    why: &str,
) {
    let (name, reason) = (&notification.name, transition.reason);
    tracing::warn!(notification = name, %reason, why, "a notification was not delivered");
    let note = format!("notification {name} of {reason} was not delivered: {why}");
    operator
        .recorder
        .publish(&Transition {
            regarding: &reference(plan),
            related: None,
            severity: Severity::Warning,
            reason: EventReason::NotificationFailed.as_str(),
            note: &note,
            once: &format!("{}/{reason}/{name}", transition.once),
        })
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_told_of_what_is_in_the_plan() {
        let notification = |name: &str, on: &[&str]| json!({"name": name, "url": {"secretKeyRef": {"name": "s", "key": "url"}}, "on": on});
        let plan: MigrationPlan = serde_json::from_value(json!({
            "metadata": {"name": "shop"},
            "spec": {
                "stages": [{"name": "Data", "steps": [{"name": "s", "approve": {"message": "go?"}}]}],
                "notifications": [notification("chat", &["RunStarted", "RunFailed"]), notification("pager", &["RunFailed"])]
            }
        }))
        .unwrap();
        let names = |reason| wanted(&plan, reason).into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(EventReason::RunFailed), ["chat", "pager"]);
        assert_eq!(names(EventReason::RunStarted), ["chat"]);
        assert_eq!(names(EventReason::StepStarted), [""; 0]);
    }

    #[test]
    fn every_moment_is_a_reason_of_an_event() {
        for moment in crate::api::plan::Moment::ALL {
            assert!(moment.as_str().parse::<EventReason>().is_ok(), "{moment}");
        }
    }
}

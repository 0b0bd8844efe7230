//! The ambiguity rule: what became of a request whose answer never came. Asked only under the lease, when no older request
//! of ours can still be under way.

use serde_json::Value;

use super::aliases;
use super::answer::Answer;
use super::client::{Client, Missed};
use super::record::Sent;
use super::task::{Task, was_ended};
use crate::script::http::{Class, Expected, Probe, Request};

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Done,
    /// It was not done, or doing it again is the same.
    Again,
    /// It is under way at the server; its task, where that can be awaited.
    Running(Option<String>),
    /// Nobody can tell.
    Unknown(String),
    /// Its task ended with this result.
    Ended(Box<Answer>),
}

/// A task that was lost so often is not started once more: something kills it.
const TRIES: u32 = 5;

impl Client {
    /// What became of `request`, sent as `sent` says.
    pub(super) async fn fate(&self, request: &Request, sent: &Sent) -> Result<Fate, Missed> {
        let class = request.class();
        if let Class::Task { again } = class {
            return self.fate_of_task(request, sent, again).await;
        }
        if let Some(id) = self.running(&sent.opaque).await? {
            tracing::info!(id, opaque = sent.opaque, "a request whose answer was lost still runs");
            return Ok(Fate::Running(None));
        }
        Ok(match class {
            Class::Free | Class::Idempotent => Fate::Again,
            Class::Aliases if aliases::hold(self, &request.body).await? && sent.before != Some(true) => {
                Fate::Done
            }
            Class::Aliases => Fate::Again,
            Class::Probed => match &request.probe {
                Some(probe) if self.probe(probe).await? => Fate::Done,
                _ => Fate::Again,
            },
            Class::Once | Class::Task { .. } => Fate::Unknown(format!(
                "request {} ({request}) was sent and its answer is lost. Sent again it might do its work twice; write # @probe above it, or give what it makes an id",
                request.number
            )),
        })
    }

    async fn fate_of_task(&self, request: &Request, sent: &Sent, again: bool) -> Result<Fate, Missed> {
        if let Some(id) = self.running(&sent.opaque).await? {
            return Ok(Fate::Running(Some(id)));
        }
        let task = match &sent.task {
            Some(id) => self.task(id).await?,
            None => self.stored(&sent.opaque).await?,
        };
        Ok(match task {
            Task::Running(id) => Fate::Running(Some(id)),
            // Ended on request, ours or a person's, while nobody waited for it: what it did is passed over.
            Task::Ended(answer) if again && sent.tries < TRIES && was_ended(&answer) => Fate::Again,
            Task::Ended(answer) => Fate::Ended(Box::new(answer)),
            Task::Absent if again && sent.tries < TRIES => Fate::Again,
            Task::Absent => Fate::Unknown(format!(
                "the task of request {} ({request}) is gone, and its node stored no result{}",
                request.number,
                if again { format!("; that was try {}", sent.tries) } else { String::new() }
            )),
        })
    }

    /// Whether the author's probe finds what the request does.
    async fn probe(&self, probe: &Probe) -> Result<bool, Missed> {
        let answer = self.read(&probe.path).await?;
        if answer.status >= 500 || answer.status == 429 {
            return Err(Missed::Lost(format!("the probe {} answered {}", probe.path, answer.status)));
        }
        Ok(match &probe.expect {
            Expected::Status(all) => all.contains(&answer.status),
            Expected::Value { pointer, value } => {
                let found = answer.at(pointer).map(|found| match found {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                found.as_ref() == Some(value)
            }
        })
    }
}

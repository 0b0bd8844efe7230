//! Tasks of the server: found by the id of the request that started them, awaited, cancelled.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::client::{Client, Missed};
use super::verdict::{CANCELED, Known, Refused, Verdict, by_query};

/// What a server knows of a task.
pub(super) enum Task {
    Running(String),
    /// With its result, as if it had been the answer.
    Ended(Answer),
    /// It does not run and no result is stored: its node is gone, or it never began.
    Absent,
}

/// Between two looks at a task: often in the beginning, since most are short.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(50);
pub(super) const LAST_LOOK: Duration = Duration::from_secs(2);

impl Client {
    /// The task that a request with this X-Opaque-Id runs as, if it runs.
    pub(super) async fn running(&self, opaque: &str) -> Result<Option<String>, Missed> {
        let of_it =
            |task: &Value| task.pointer("/headers/X-Opaque-Id").and_then(Value::as_str) == Some(opaque);
        let tasks = self.tasks().await?;
        // The outermost: the others are its parts.
        let found = tasks.iter().filter(|(_, task)| of_it(task)).min_by_key(|(_, task)| {
            (task.get("parent_task_id").is_some(), task["start_time_in_millis"].as_u64().unwrap_or_default())
        });
        Ok(found.map(|(id, _)| id.clone()))
    }

    /// Requests of ours that run, by the beginning of their X-Opaque-Id.
    pub(super) async fn running_like(&self, beginning: &str) -> Result<Vec<(String, String)>, Missed> {
        let tasks = self.tasks().await?;
        let opaque =
            |task: &Value| task.pointer("/headers/X-Opaque-Id").and_then(Value::as_str).map(str::to_owned);
        let ours = tasks.into_iter().filter_map(|(id, task)| Some((id, opaque(&task)?)));
        Ok(ours.filter(|(_, opaque)| opaque.starts_with(beginning)).collect())
    }

    pub(super) async fn tasks(&self) -> Result<Vec<(String, Value)>, Missed> {
        let answer = self.read("/_tasks?detailed=true").await?;
        if !answer.is_success() {
            return Err(Missed::NotSent(self.said(&answer)));
        }
        let nodes = answer.at("/nodes").and_then(Value::as_object);
        let of_node = |node: &Value| node["tasks"].as_object().cloned().unwrap_or_default();
        Ok(nodes.into_iter().flatten().flat_map(|(_, node)| of_node(node)).collect())
    }

    /// A task by its id.
    pub(super) async fn task(&self, id: &str) -> Result<Task, Missed> {
        let answer = self.read(&format!("/_tasks/{id}")).await?;
        match answer.status {
            404 => Ok(Task::Absent),
            _ if !answer.is_success() => Err(Missed::NotSent(self.said(&answer))),
            _ if answer.at("/completed") == Some(&Value::Bool(true)) => Ok(Task::Ended(result(&answer.body))),
            _ => Ok(Task::Running(id.to_owned())),
        }
    }

    /// The stored result of a request whose task id never reached us.
    pub(super) async fn stored(&self, opaque: &str) -> Result<Task, Missed> {
        // Headers are stored and not indexed, so the newest are read and looked through.
        let body = json!({"size": 1000, "sort": [{"task.start_time_in_millis": {"order": "desc", "unmapped_type": "long"}}]});
        let path = "/.tasks/_search?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all";
        let refreshed = self.read("/.tasks/_refresh?ignore_unavailable=true").await?;
        if refreshed.status >= 500 {
            return Err(Missed::NotSent(self.said(&refreshed)));
        }
        let answer = self.ask(path, body.to_string()).await?;
        if !answer.is_success() {
            return Err(Missed::NotSent(self.said(&answer)));
        }
        let hits = answer.at("/hits/hits").and_then(Value::as_array).cloned().unwrap_or_default();
        let of_it = |hit: &Value| {
            let header = hit.pointer("/_source/task/headers/X-Opaque-Id");
            header.and_then(Value::as_str) == Some(opaque)
        };
        let found = hits.into_iter().find(of_it);
        Ok(found.map_or(Task::Absent, |hit| Task::Ended(result(&hit["_source"]))))
    }

    /// Asks the server to end a task; whether it does is seen by its result.
    pub(super) async fn cancel(&self, id: &str) {
        let path = format!("/_tasks/{id}/_cancel");
        if let Err(missed) = self.effect("cancel", Method::POST, &path, None).await {
            tracing::warn!(?missed, id, "a task could not be cancelled");
        }
    }
}

/// A stored result as an answer.
fn result(body: &Value) -> Answer {
    match body.get("error").filter(|error| !error.is_null()) {
        Some(error) => Answer { status: 500, body: json!({"error": error}), text: String::new() },
        None => Answer { status: 200, body: body["response"].clone(), text: String::new() },
    }
}

/// Whether somebody ended the task. It says so itself, or the search that it was in the middle of says it, however deep below
/// "all shards failed".
pub(super) fn was_ended(answer: &Answer) -> bool {
    fn says(value: &Value) -> bool {
        match value {
            Value::Object(fields) => {
                fields.get("type").and_then(Value::as_str) == Some("task_cancelled_exception")
                    || fields.values().any(says)
            }
            Value::Array(all) => all.iter().any(says),
            _ => false,
        }
    }
    answer.at("/canceled").is_some() || answer.at("/error").is_some_and(says)
}

/// What the end of a task means.
pub(super) fn found(answer: &Answer, known: Known) -> Verdict {
    if answer.is_success() {
        return by_query(answer, known);
    }
    Verdict::Refused(Refused {
        code: if was_ended(answer) { CANCELED.to_owned() } else { answer.code() },
        message: answer.message(known.full),
        hint: None,
        in_part: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_was_ended_says_so_itself_or_by_its_search() {
        let ended = |body: Value| was_ended(&result(&body));
        assert!(ended(json!({"response": {"canceled": "by user request", "created": 3}})));
        let shard = json!({"type": "task_cancelled_exception", "reason": "cancelled task with reason: by user request"});
        let all = json!({"type": "search_phase_execution_exception", "reason": "all shards failed", "failed_shards": [{"shard": 0, "reason": shard}]});
        assert!(ended(json!({"error": all})));
        let other = json!({"type": "search_phase_execution_exception", "failed_shards": [{"reason": {"type": "circuit_breaking_exception"}}]});
        assert!(!ended(json!({"error": other})));
        assert!(!ended(json!({"response": {"created": 3}})));
        let known = Known::default();
        let refused = found(&result(&json!({"error": all})), known);
        assert!(
            matches!(refused, Verdict::Refused(Refused { ref code, .. }) if code == CANCELED),
            "{refused:?}"
        );
    }
}

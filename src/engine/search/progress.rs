//! How far a request of ours is that the server runs as a task.

use serde_json::Value;

use super::client::Client;
use crate::engine::name::run_part;
use crate::engine::{EngineError, Fence};

impl Client {
    /// What the task of this run's script has come to.
    pub(super) async fn progress(&self, fence: &Fence) -> Result<Option<String>, EngineError> {
        let ours = format!("wb/{}/{}/", run_part(&fence.run_uid), fence.token);
        let tasks = self.tasks().await.map_err(|missed| self.error(missed))?;
        let of_it = |task: &&Value| {
            let header = task.pointer("/headers/X-Opaque-Id").and_then(Value::as_str);
            // Its parts have a parent, and say only what they have done themselves.
            header.is_some_and(|header| header.starts_with(&ours)) && task.get("parent_task_id").is_none()
        };
        Ok(tasks.iter().map(|(_, task)| task).find(of_it).and_then(so_far))
    }
}

/// `reindex: 1200 of 5000 documents`; nothing of a task that does not count.
fn so_far(task: &Value) -> Option<String> {
    let number = |name: &str| task.pointer(&format!("/status/{name}")).and_then(Value::as_u64);
    let all = number("total").filter(|all| *all > 0)?;
    let done: u64 =
        ["created", "updated", "deleted", "noops", "version_conflicts"].into_iter().filter_map(number).sum();
    let action = task["action"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    Some(format!("{action}: {done} of {all} documents"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_that_counts_says_how_far_it_is() {
        let status =
            json!({"total": 5000, "created": 1100, "updated": 90, "version_conflicts": 10, "batches": 2});
        let task = json!({"action": "indices:data/write/reindex", "status": status});
        assert_eq!(so_far(&task).as_deref(), Some("reindex: 1200 of 5000 documents"));
        assert_eq!(so_far(&json!({"action": "indices:admin/forcemerge"})), None);
        assert_eq!(so_far(&json!({"action": "a/b", "status": {"total": 0}})), None, "it has not looked yet");
    }
}

//! The trial: what would keep a restore from working, or lose something, said before any downtime.
//!
//! What the cluster tells is read. Whether we may make, clone and delete indices is tried with an empty one.

use http::Method;
use serde_json::{Value, json};

use super::names::{ASIDE, MOST_BYTES, aside, base, copy, standin};
use super::seen::All;
use super::swap::in_the_way;
use crate::engine::search::client::Client;
use crate::engine::search::server::few;
use crate::engine::search::settings::Names;
use crate::engine::search::snapshot::PROVING;
use crate::engine::{EngineError, Fence, RestoreTrial};

/// Tries everything but the restore itself.
pub(in crate::engine::search) async fn try_restore(
    client: &Client,
    fence: &Fence,
) -> Result<RestoreTrial, EngineError> {
    let mut trial = RestoreTrial::default();
    if let Some(repository) = &client.settings.repository {
        trial.obstacles.extend(client.try_repository(repository).await?);
    }
    let there = client.of_target().await?;
    trial.obstacles.extend(there.iter().filter_map(|(name, seen)| seen.obstacle(name)));
    trial.obstacles.extend(client.managed(&there).await?);
    trial.obstacles.extend(client.names_taken(fence, &there).await?);
    trial.obstacles.extend(client.lacks_room().await?);
    if trial.obstacles.is_empty() {
        trial.obstacles.extend(client.try_probe(fence.run).await?);
    }
    trial.warnings.push(way(client.settings.names, fence.run, &there));
    Ok(trial)
}

/// How a restored index would get its name.
fn way(names: Names, run: u64, there: &All) -> String {
    let all: Vec<String> = there.keys().cloned().collect();
    let which = few(&all);
    match names {
        Names::Concrete => format!(
            "names: Concrete: a restore deletes {which}, each after its clone was counted, and clones the restored copies to these names"
        ),
        Names::Alias => format!(
            "names: Alias: one call would exchange {which} for indices named …-wb-{run}, and their names become aliases of these"
        ),
    }
}

impl Client {
    /// What is wrong with the repository.
    async fn try_repository(&self, repository: &str) -> Result<Option<String>, EngineError> {
        let path = format!("/_snapshot/{repository}");
        let found = self.read(&path).await.map_err(|missed| self.error(missed))?;
        if found.status == 404 {
            return Ok(Some(match self.of_repository(repository, &found) {
                EngineError::Unsupported { reason, .. } => reason,
                other => other.to_string(),
            }));
        }
        let found = self.expect(Ok(found))?;
        let settings = found.body[repository]["settings"].clone();
        let read_only =
            ["readonly", "read_only"].iter().any(|name| settings[*name] == "true" || settings[*name] == true);
        if read_only {
            return Ok(Some(format!(
                "snapshot repository {repository} is read-only, so no backup can be taken into it: give backup.repository another one"
            )));
        }
        let verify = format!("{path}/_verify");
        let verified = self.effect("verify the repository", Method::POST, &verify, None).await;
        let answer = verified.map_err(|missed| self.error(missed))?;
        if matches!(answer.status, 429 | 502..=504) {
            return Err(self.said(&answer));
        }
        Ok((!answer.is_success()).then(|| {
            format!(
                "not every node can use snapshot repository {repository}: {} ({})",
                answer.message(false),
                answer.code()
            )
        }))
    }

    /// OpenSearch's index state management keeps its policies outside of the indices' settings.
    async fn managed(&self, there: &All) -> Result<Option<String>, EngineError> {
        let path = format!("/_plugins/_ism/explain/{}", self.settings.indices());
        let found = self.read(&path).await.map_err(|missed| self.error(missed))?;
        // A server without the plugin knows no such address.
        if !found.is_success() {
            return Ok(None);
        }
        let policy = |index: &&String| {
            let of = &found.body[index.as_str()];
            ["policy_id", "index.plugins.index_state_management.policy_id"]
                .iter()
                .find_map(|name| of[*name].as_str())
                .is_some()
        };
        Ok(there.keys().find(policy).map(|index| {
            format!("index {index} is managed by a policy of index state management, which may roll it over or delete it meanwhile")
        }))
    }

    /// Names that a restore needs.
    async fn names_taken(&self, fence: &Fence, there: &All) -> Result<Option<String>, EngineError> {
        let run = fence.run;
        let longest = |index: &String| copy(run, index).len().max(aside(run, index).len());
        if let Some(index) = there.keys().find(|index| longest(index) > MOST_BYTES) {
            return Ok(Some(format!(
                "the name of index {index} is too long: a restore makes {}, and a server takes at most {MOST_BYTES} bytes",
                copy(run, index)
            )));
        }
        let note = self.note(&fence.run_uid).await?;
        let kept = self.seen(&format!("{ASIDE}{run}-*")).await?;
        if note.is_none()
            && let Some(name) = kept.keys().next()
        {
            return Ok(Some(in_the_way(name)));
        }
        if self.settings.names == Names::Concrete || note.is_some() {
            return Ok(None);
        }
        for (index, seen) in there {
            let known = base(index, |alias| seen.aliases.iter().any(|it| it == alias));
            let place = standin(run, known);
            if self.has_index(&place).await? {
                return Ok(Some(in_the_way(&place)));
            }
        }
        Ok(None)
    }

    /// An empty index made, closed to writes, cloned and deleted, as the restore would.
    async fn try_probe(&self, run: u64) -> Result<Option<String>, EngineError> {
        let before = format!("{PROVING}{run}-probe");
        self.take_away(&before).await?;
        let tried = self.walk_probe(&before).await;
        // Whatever was met, nothing stays.
        self.take_away(&before).await?;
        match tried {
            Ok(()) => Ok(None),
            Err(EngineError::Server { code, message, .. }) => Ok(Some(format!(
                "an index beside the target's can't be made, cloned and deleted: {message} ({code}). Grant the user of the target's Secret manage and create_index on wb-*"
            ))),
            Err(EngineError::Unsupported { reason, .. }) => {
                Ok(Some(format!("an index beside the target's does not become whole: {reason}")))
            }
            Err(other) => Err(other),
        }
    }

    async fn walk_probe(&self, name: &str) -> Result<(), EngineError> {
        let cloned = format!("{name}-clone");
        let settings = json!({"settings": {"index.number_of_shards": 1, "index.number_of_replicas": 0, "index.hidden": true}});
        self.try_effect("make the probe index", Method::PUT, &format!("/{name}"), settings).await?;
        self.set("close the probe index to writes", name, json!({"index.blocks.write": true})).await?;
        let clone = format!("/{name}/_clone/{cloned}?wait_for_active_shards=0");
        self.try_effect(
            "clone the probe index",
            Method::PUT,
            &clone,
            json!({"settings": {"index.number_of_replicas": 0}}),
        )
        .await?;
        self.until_whole(&format!("{name}*"), 2).await?;
        let actions = json!({"actions": [
            {"remove_index": {"index": name}}, {"add": {"index": cloned, "alias": format!("{name}-alias"), "is_hidden": true}},
        ]});
        self.try_effect("exchange the probe index", Method::POST, "/_aliases", actions).await
    }

    async fn try_effect(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<(), EngineError> {
        self.expect(self.effect(what, method, path, Some(body.to_string())).await).map(drop)
    }
}

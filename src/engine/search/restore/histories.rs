//! The histories as the snapshot has them, so that what is in them is what is in the indices again. Put back last: a
//! history that is behind its indices would have scripts applied a second time.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::names::copy;
use super::swap::Swap;
use crate::engine::search::defined::Changed;
use crate::engine::search::peer::LOCK;
use crate::engine::search::record::{Entry, SCRIPT};
use crate::engine::search::store::{INDEX, Version, Wrote};
use crate::engine::{BlockedBy, EngineError};

impl Swap<'_> {
    pub(super) async fn bring_histories_back(&self) -> Result<(), EngineError> {
        self.bring_own_back().await?;
        match self.client.settings.evolution() {
            Some((_, index)) => self.bring_peers_back(index).await,
            None => Ok(()),
        }
    }

    /// Entry by entry: the fence, and what else is in the index, is of now.
    async fn bring_own_back(&self) -> Result<(), EngineError> {
        let scripts = json!({"term": {"kind": SCRIPT}});
        let mut wanted: BTreeMap<String, Entry> = BTreeMap::new();
        if self.note.histories.contains_key(INDEX) {
            let found: Vec<(Version, String, Entry)> =
                self.client.find(&copy(self.note.run, INDEX), scripts.clone()).await?;
            wanted.extend(found.into_iter().map(|(_, id, entry)| (id, entry)));
        }
        let has: Vec<(Version, String, Entry)> = self.client.find(INDEX, scripts).await?;
        for (version, id, entry) in has {
            self.may_go_on().await?;
            let wrote = match wanted.remove(&id) {
                Some(same) if same == entry => continue,
                Some(before) => {
                    self.client.put("bring a script's entry back", INDEX, &id, Some(version), &before).await?
                }
                None => self.client.delete("forget a script", INDEX, &id, version).await?,
            };
            self.refuse_stale(wrote)?;
        }
        for (id, entry) in wanted {
            self.may_go_on().await?;
            let wrote = self.client.put("bring a script's entry back", INDEX, &id, None, &entry).await?;
            self.refuse_stale(wrote)?;
        }
        // They are as they were: what was written down of them is of a time that is over.
        for Changed { version, definition, earlier } in self.client.changed_definitions(&self.note).await? {
            self.may_go_on().await?;
            let (id, what) = (definition.id(), "forget a definition");
            let wrote = match earlier {
                Some(earlier) => self.client.put(what, INDEX, &id, Some(version), &earlier).await?,
                None => self.client.delete(what, INDEX, &id, version).await?,
            };
            self.refuse_stale(wrote)?;
        }
        Ok(())
    }

    /// Its rows have its own form, which is kept to the letter. The lock among them is ours while we are in here.
    async fn bring_peers_back(&self, index: &str) -> Result<(), EngineError> {
        let all = json!({"match_all": {}});
        let mut wanted: BTreeMap<String, Value> = BTreeMap::new();
        if self.note.histories.contains_key(index) {
            let found: Vec<(Version, String, Value)> =
                self.client.find(&copy(self.note.run, index), all.clone()).await?;
            wanted.extend(found.into_iter().map(|(_, id, row)| (id, row)));
        }
        wanted.remove(LOCK);
        let has: Vec<(Version, String, Value)> = self.client.find(index, all).await?;
        for (_, id, row) in has.into_iter().filter(|(_, id, _)| id != LOCK) {
            match wanted.get(&id) {
                Some(same) if *same == row => {
                    wanted.remove(&id);
                }
                Some(_) => {}
                None => {
                    self.may_go_on().await?;
                    self.client.forget_peer_row(index, &id).await?;
                }
            }
        }
        for (id, row) in wanted {
            let path = format!("/{index}/_doc/{id}?wait_for_active_shards=1&refresh=true");
            self.effect("bring the other tool's row back", Method::PUT, &path, row).await?;
        }
        Ok(())
    }

    fn refuse_stale(&self, wrote: Wrote) -> Result<(), EngineError> {
        match wrote {
            Wrote::Done(_) => Ok(()),
            Wrote::Stale => {
                let what = "an entry of its journal changed meanwhile".to_owned();
                let by = BlockedBy { what, since: None, sql: None, pid: None };
                Err(EngineError::Busy { at: self.client.settings.at(), by })
            }
        }
    }
}

//! The exchange: what is there is closed to writes, cloned and counted; then the copies take its place; then the histories
//! are what they were.
//!
//! Every step is in the note before its first effect, and every effect looks first whether it has been made: called again
//! from wherever an earlier attempt ended, it goes on. All of it under the lease, which is looked at before every effect.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::names::{ASIDE, aside, copy};
use super::note::{Aside, Note, Step};
use super::seen::{All, Seen};
use crate::engine::search::client::Client;
use crate::engine::search::enter::enter;
use crate::engine::search::fence::Watched;
use crate::engine::search::session::SearchSession;
use crate::engine::search::settings::Settings;
use crate::engine::search::store::{INDEX, Version};
use crate::engine::{BlockedBy, Claim, EngineError, Fence, PutBack, ScriptFailure, Session as _, Stamp};

/// Puts the run's copies in the place of the target's indices, from wherever an earlier attempt has ended.
pub(in crate::engine::search) async fn put_back(
    settings: &Arc<Settings>,
    watched: &Arc<Watched>,
    fence: &Fence,
    stamp: &Stamp,
) -> Result<PutBack, EngineError> {
    let session = enter(settings, watched, fence).await?;
    let done = Swap::begin(&session, stamp).await;
    let done = match done {
        Ok(mut swap) => swap.walk().await,
        Err(refusal) => Err(refusal),
    };
    // A lease that is not given back ends by itself.
    if let Err(error) = session.leave(Claim::Keep).await {
        tracing::debug!(%error, "the session of a restore did not close well");
    }
    done
}

/// One exchange, under one session's lease.
pub(super) struct Swap<'a> {
    pub(super) session: &'a SearchSession,
    pub(super) client: &'a Client,
    stamp: &'a Stamp,
    version: Version,
    pub(super) note: Note,
}

impl<'a> Swap<'a> {
    async fn begin(session: &'a SearchSession, stamp: &'a Stamp) -> Result<Self, EngineError> {
        let client: &Client = &session.client;
        let run_uid = &session.fence.run_uid;
        let Some((version, note)) = client.note(run_uid).await? else {
            let reason =
                "there are no restored copies of its indices; the restore's Job makes them".to_owned();
            return Err(EngineError::NotRestorable { at: client.settings.at(), reason });
        };
        if note.token > session.fence.token {
            return Err(EngineError::Overtaken { at: client.settings.at(), token: note.token });
        }
        Ok(Self { session, client, stamp, version, note })
    }

    async fn walk(&mut self) -> Result<PutBack, EngineError> {
        if self.note.step == Step::Copied {
            self.judge().await?;
        }
        if self.note.step == Step::Keeping {
            self.keep().await?;
        }
        if self.note.step == Step::Kept {
            self.place().await?;
            self.note_step(Step::Placed).await?;
        }
        if self.note.step == Step::Placed {
            self.bring_definitions_back().await?;
            self.bring_histories_back().await?;
            self.client.refuse_other_target(self.stamp).await?;
            self.note_step(Step::Proven).await?;
        }
        if self.note.step == Step::Proven {
            self.take_copies_away().await?;
            self.note_step(Step::Done).await?;
        }
        let identity = self.session.identity.clone();
        Ok(PutBack { replaced: identity.clone(), identity, aside: format!("{ASIDE}{}-*", self.note.run) })
    }

    pub(super) fn refuse<T>(&self, reason: String) -> Result<T, EngineError> {
        Err(EngineError::NotRestorable { at: self.client.settings.at(), reason })
    }

    pub(super) async fn note_step(&mut self, step: Step) -> Result<(), EngineError> {
        self.may_go_on().await?;
        let note = Note { step, token: self.session.fence.token, ..self.note.clone() };
        self.version = self.client.write_note(Some(self.version), &note).await?;
        self.note = note;
        Ok(())
    }

    /// Whether an effect may begin.
    pub(super) async fn may_go_on(&self) -> Result<(), EngineError> {
        let at = || self.client.settings.at();
        self.session.may_go_on().await.map_err(|failure| match failure {
            ScriptFailure::Overtaken { token } => EngineError::Overtaken { at: at(), token },
            ScriptFailure::Lost { reason } => EngineError::Lost { at: at(), reason },
            other => {
                let by = BlockedBy { what: other.to_string(), since: None, sql: None, pid: None };
                EngineError::Busy { at: at(), by }
            }
        })
    }

    /// One effect that must succeed.
    pub(super) async fn effect(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<(), EngineError> {
        self.may_go_on().await?;
        let body = if body.is_null() { None } else { Some(body.to_string()) };
        self.client.expect(self.client.effect(what, method, path, body).await).map(drop)
    }

    pub(super) async fn set(&self, what: &str, index: &str, settings: Value) -> Result<(), EngineError> {
        self.may_go_on().await?;
        self.client.set(what, index, settings).await
    }

    /// Deletes an index that is still the one with this uuid.
    pub(super) async fn delete(&self, what: &str, index: &str, uuid: &str) -> Result<(), EngineError> {
        self.may_go_on().await?;
        if self.client.seen(index).await?.get(index).is_some_and(|seen| seen.uuid == uuid) {
            self.client.delete_index(what, index).await?;
        }
        Ok(())
    }

    /// Clones `from`, which takes no writes, and says no more until the server has done it.
    pub(super) async fn clone_index(
        &self,
        what: &str,
        from: &str,
        to: &str,
        body: Value,
    ) -> Result<(), EngineError> {
        let path = format!("/{from}/_clone/{to}?wait_for_active_shards=0");
        self.effect(what, Method::PUT, &path, body).await?;
        self.client.until_whole(to, 1).await
    }

    /// How many documents are in an index, all of them seen.
    pub(super) async fn count(&self, index: &str) -> Result<Option<u64>, EngineError> {
        self.client.expect(self.client.read(&format!("/{index}/_refresh")).await)?;
        let path = format!("/{index}/_stats/docs?filter_path=_shards.failed,_all.primaries.docs.count");
        let answer = self.client.expect(self.client.read(&path).await)?;
        let whole = answer.number_at("/_shards/failed") == 0;
        Ok(answer.at("/_all/primaries/docs/count").and_then(Value::as_u64).filter(|_| whole))
    }

    /// What is there of what goes: the target's indices, and those that an alias made the target's when the snapshot was taken.
    pub(super) async fn going(&self) -> Result<All, EngineError> {
        let mut all = self.client.of_target().await?;
        for index in self.note.copies.keys().chain(self.note.aside.keys()) {
            if !all.contains_key(index) {
                all.extend(self.client.seen(index).await?.remove_entry(index));
            }
        }
        Ok(all)
    }

    /// Whether the exchange may begin at all; then the note says what goes aside.
    async fn judge(&mut self) -> Result<(), EngineError> {
        let operations = self.client.operations().await?;
        let quiet = self.client.quiet().await?;
        if let Some(mark) = &self.stamp.mark
            && quiet.mark.as_ref() != Some(mark)
        {
            return self.refuse(
                "somebody wrote to it while the copies were made, and that would be lost. See who still writes; \
                 then restore by hand, or give it up"
                    .to_owned(),
            );
        }
        let copies = self.client.copies_of(self.note.run).await?;
        for (index, copied) in &self.note.copies {
            let name = copy(self.note.run, index);
            if copies.get(&name).is_none_or(|seen| seen.uuid != copied.uuid || !seen.is_blocked()) {
                return self.refuse(format!(
                    "the copy {name} is not the one that the restore's Job has made; it makes it anew"
                ));
            }
        }
        self.client.refuse_other_copies(&self.note, self.stamp).await?;
        let there = self.going().await?;
        if let Some(obstacle) = there.iter().find_map(|(name, seen)| seen.obstacle(name)) {
            return self.refuse(obstacle);
        }
        self.refuse_strange(&there).await?;
        if let Some(taken) = self.taken(&there).await? {
            return self.refuse(taken);
        }
        self.note.operations = operations;
        self.note.aside = there
            .into_iter()
            .map(|(index, seen)| (index, Aside { blocked: seen.is_blocked(), uuid: seen.uuid }))
            .collect();
        self.note_step(Step::Keeping).await
    }

    /// Refuses an index that was there before and that no snapshot of ours has: what is exchanged for nothing would be
    /// somebody else's.
    async fn refuse_strange(&self, there: &All) -> Result<(), EngineError> {
        let by_alias = |(name, _): &(&String, &Seen)| {
            !self.note.copies.contains_key(*name) && !self.client.settings.covers(name)
        };
        let by_alias: Vec<_> = there.iter().filter(by_alias).collect();
        if by_alias.is_empty() {
            return Ok(());
        }
        let Some(saved) = self.client.saved(&copy(self.note.run, INDEX), self.note.snapshot()).await? else {
            return self.refuse(format!(
                "the copy of {INDEX} no longer says which indices there were before {}: restore by hand",
                self.note.path
            ));
        };
        match by_alias.into_iter().find(|(_, seen)| saved.uuids.contains(&seen.uuid)) {
            None => Ok(()),
            Some((name, _)) => self.refuse(format!(
                "index {name} belongs to it only by an alias that came after its snapshot: take the alias off, then retry"
            )),
        }
    }

    /// Closes to writes what is there, clones it, and counts both.
    async fn keep(&mut self) -> Result<(), EngineError> {
        let note = self.note.clone();
        let there = self.going().await?;
        for (index, aside) in &note.aside {
            match there.get(index).filter(|seen| seen.uuid == aside.uuid) {
                Some(seen) if seen.is_blocked() => {}
                Some(_) => {
                    self.set("close an index to writes", index, json!({"index.blocks.write": true})).await?;
                }
                None => {
                    return self.refuse(format!(
                        "somebody has deleted index {index}, or made it anew, while it was to be kept: see who works in it"
                    ));
                }
            }
        }
        self.refuse_written().await?;
        let kept = self.client.seen(&format!("{ASIDE}{}-*", note.run)).await?;
        for (index, Aside { uuid, .. }) in &note.aside {
            let name = aside(note.run, index);
            match kept.get(&name) {
                Some(seen) if seen.clone_of() == uuid => self.client.until_whole(&name, 1).await?,
                Some(_) => return self.refuse(in_the_way(&name)),
                None => {
                    // Only to be looked at: one copy of each shard is enough, and no pattern finds it.
                    let settings = json!({"index.hidden": true, "index.number_of_replicas": 0, "index.auto_expand_replicas": false});
                    self.clone_index("keep an index", index, &name, json!({"settings": settings})).await?;
                }
            }
            let (had, has) = (self.count(index).await?, self.count(&name).await?);
            if had.is_none() || had != has {
                return self.refuse(format!(
                    "the clone {name} has {} documents, index {index} has {}: it is not replaced",
                    said(has),
                    said(had)
                ));
            }
        }
        // What was under way when they were closed has arrived by now.
        self.refuse_written().await?;
        self.note_step(Step::Kept).await
    }

    /// A write that came between the look at the mark and the closing would be lost: everything is opened again.
    async fn refuse_written(&mut self) -> Result<(), EngineError> {
        if self.client.operations().await? == self.note.operations {
            return Ok(());
        }
        let note = self.note.clone();
        let kept = self.client.seen(&format!("{ASIDE}{}-*", note.run)).await?;
        for (index, aside_of) in &note.aside {
            let name = aside(note.run, index);
            if let Some(seen) = kept.get(&name).filter(|seen| seen.clone_of() == aside_of.uuid) {
                self.delete("take a clone away", &name, &seen.uuid).await?;
            }
            if !aside_of.blocked {
                self.set("open an index again", index, json!({"index.blocks.write": null})).await?;
            }
        }
        self.note.aside.clear();
        self.note_step(Step::Copied).await?;
        self.refuse(
            "somebody wrote to it when it was to be replaced, and that would be lost; it is as it was. See who still writes; \
             then restore by hand, or give it up"
                .to_owned(),
        )
    }

    async fn take_copies_away(&self) -> Result<(), EngineError> {
        let copies = self.note.copies.iter().map(|(index, copied)| (index, &copied.uuid));
        for (index, uuid) in copies.chain(&self.note.histories) {
            self.delete("take a copy away", &copy(self.note.run, index), uuid).await?;
        }
        Ok(())
    }
}

fn said(count: Option<u64>) -> String {
    count.map_or_else(|| "nobody knows how many".to_owned(), |count| count.to_string())
}

/// An index of a name that a restore needs, and none of its own.
pub(super) fn in_the_way(name: &str) -> String {
    format!(
        "index {name} is in the way, and this run did not make it: delete it, or clone it to another name first"
    )
}

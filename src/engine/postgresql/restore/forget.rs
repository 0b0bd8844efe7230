//! Drops what an earlier run has left beside its database: later, when nobody wants to look at it any more.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::door::{Door, Seen};
use super::label::{Label, Stage, aside, beside};
use crate::engine::postgresql::connect::Lineage;
use crate::engine::postgresql::settings::Settings;
use crate::engine::{EngineError, Fence};

/// Drops the databases of the fence's run, which has number `run`; only what its name and its comment both say to be
/// that run's.
pub(in crate::engine::postgresql) async fn drop_aside(
    settings: &Settings,
    lineage: &Lineage,
    fence: &Fence,
    run: u64,
) -> Result<Vec<String>, EngineError> {
    let mut door = Door::of_passer_by(settings, lineage, fence).await?;
    let done = door.drop_aside(run).await;
    door.leave().await;
    done
}

impl Door<'_> {
    async fn drop_aside(&mut self, run: u64) -> Result<Vec<String>, EngineError> {
        let database = &self.settings.database;
        let (beside, aside) = (beside(database, run), aside(database, run));
        let seen = self.look(&[database, &beside, &aside]).await?;
        let closed = seen.get(database).is_some_and(|original| !original.open);
        let there = [&beside, &aside].into_iter().filter_map(|name| Some((name, seen.get(name)?)));
        let there: Vec<_> = there.collect();
        // All are judged before the first is dropped.
        for (name, found) in &there {
            self.refuse(name, found, **name == aside, run, closed).await?;
        }
        let mut dropped = Vec::new();
        for (name, _) in there {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(name));
            self.effect("drop what was put aside", &drop).await?;
            dropped.push(name.clone());
        }
        Ok(dropped)
    }

    async fn refuse(
        &mut self,
        name: &str,
        found: &Seen,
        is_aside: bool,
        run: u64,
        closed: bool,
    ) -> Result<(), EngineError> {
        let refuse = |reason: &str| {
            let reason = format!("database {name} is not dropped: {reason}");
            Err(EngineError::NotRestorable { at: self.settings.at(), reason })
        };
        let ours = |label: &&Label| {
            let stage = (label.whimbrel == Stage::Aside) == is_aside && label.whimbrel != Stage::Probe;
            // Another plan's run may have the same number, and be at work.
            stage && label.is_of(&self.settings.database, &self.fence.run_uid) && label.run == run
        };
        let Some(label) = found.label.as_ref().filter(ours) else {
            return refuse("its comment does not say that it is Whimbrel's");
        };
        if label.whimbrel == Stage::Swapping && closed {
            return refuse("its original is closed, and waits for it");
        }
        // Dropped with it, a slot would take along what its consumer has not read.
        let slots = format!(
            "SELECT slot_name FROM pg_replication_slots WHERE database = {} ORDER BY 1",
            escape_literal(name)
        );
        let sets = self.connection.read(self.settings, &slots).await?;
        let slots: Vec<&str> =
            sets.iter().flat_map(|set| &set.rows).flatten().filter_map(Option::as_deref).collect();
        if slots.is_empty() {
            Ok(())
        } else {
            refuse(&format!("replication slot {} is in it", slots.join(", ")))
        }
    }
}

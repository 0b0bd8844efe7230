//! Applying a script: one transaction for all of it where it only changes data, else statement by statement with a cursor
//! in the journal.

use std::time::Instant;

use super::change::There;
use super::own::Commit;
use super::session::{Neo4jSession, Of};
use crate::engine::ScriptFailure;
use crate::script::cypher::{Does, Step, steps};
use crate::script::{HistoryRow, Script};

impl Neo4jSession {
    pub(super) async fn apply_script(
        &mut self,
        history: &str,
        kept: &Script,
    ) -> Result<HistoryRow, ScriptFailure> {
        self.may_run()?;
        let script = kept.filled();
        let (steps, databases) = steps(&script.body);
        self.is_about_this_database(kept, &databases)?;
        let of = Of { history, script: &script, kept, rank: 0, began: Instant::now() };
        if steps.iter().any(|step| step.does != Does::Data) {
            return self.apply_in_steps(of, &steps).await;
        }
        let of = Of { rank: self.admit(history, kept)?, ..of };
        self.preconditions(&script).await?;
        self.begin_held(vec![self.open(of, None)]).await?;
        for step in &steps {
            self.still_wanted().await?;
            self.theirs(&kept.file, &script.body, &step.statement).await?;
        }
        self.still_wanted().await?;
        let close = self.close(of, last(&steps));
        self.finish(close, Commit { what: &kept.file, file: &kept.file }).await?;
        Ok(self.settled(of))
    }

    /// A session that was cancelled between two statements sends no more of them, and what it has sent is taken back.
    async fn still_wanted(&mut self) -> Result<(), ScriptFailure> {
        if !self.cancelled.asked() {
            return Ok(());
        }
        self.reset().await?;
        Err(ScriptFailure::Cancelled)
    }

    /// A `:use` with another database would have its statements run in this one.
    pub(super) fn is_about_this_database(
        &self,
        script: &Script,
        databases: &[String],
    ) -> Result<(), ScriptFailure> {
        let ours = self.settings.database.to_lowercase();
        match databases.iter().find(|name| **name != ours) {
            None => Ok(()),
            Some(other) => Err(ScriptFailure::of_file(
                &script.file,
                "OtherDatabase",
                format!("it says :use {other}, and the target's database is {ours}"),
                Some("A script is about one database: make a target of the other one, and another script."),
            )),
        }
    }

    async fn apply_in_steps(&mut self, of: Of<'_>, steps: &[Step]) -> Result<HistoryRow, ScriptFailure> {
        let (rank, told) = self.begin(of, steps).await?;
        let of = Of { rank, ..of };
        if let Err(failure) = self.walk(of, steps, told).await {
            return Err(self.stopped(of, failure).await);
        }
        Ok(self.settled(of))
    }

    /// The rank of a script that this run has begun, now or before. Begun now with a change of the schema, the journal is told
    /// of that too; then also what was there before it.
    async fn begin(&mut self, of: Of<'_>, steps: &[Step]) -> Result<(u64, Option<There>), ScriptFailure> {
        if let Some(rank) = self.record.known.resume(of.history, of.kept, &self.fence.run_uid)? {
            return Ok((rank, None));
        }
        let of = Of { rank: self.admit(of.history, of.kept)?, ..of };
        self.preconditions(of.script).await?;
        let mut told = None;
        if let Some(step @ Step { does: Does::Schema(change), .. }) = steps.first() {
            told = Some((step.statement.number, self.before(&of.kept.file, step, change).await?));
        }
        let open = vec![self.open(of, told.map(|(number, there)| (number, there.word())))];
        let what = format!("{}: journal", of.kept.file);
        self.alone(open, Commit { what: &what, file: &of.kept.file }).await?;
        self.noted(of);
        let told = told.map(|(_, there)| there);
        self.record.known.moved(of.history, &of.kept.key, 0, told.map(|there| there.word().to_owned()));
        Ok((of.rank, told))
    }

    async fn walk(
        &mut self,
        of: Of<'_>,
        steps: &[Step],
        mut told: Option<There>,
    ) -> Result<(), ScriptFailure> {
        let last = last(steps);
        let done = self.done(of);
        for step in steps.iter().filter(|step| step.statement.number > done) {
            match &step.does {
                Does::Data => self.inside(of, step).await?,
                Does::Schema(change) => self.change(of, step, change, told.take(), last).await?,
                Does::Batches { restartable } => self.batches(of, step, *restartable).await?,
            }
        }
        self.may_run()?;
        let close = self.close(of, last);
        self.alone(close, Commit { what: &of.kept.file, file: &of.kept.file }).await
    }

    /// How many statements are done.
    pub(super) fn done(&self, of: Of<'_>) -> usize {
        self.record.known.done(of.history, &of.kept.key)
    }

    /// The statement that is under way outside of our transactions, and what was there before it.
    pub(super) fn under_way(&self, of: Of<'_>) -> Option<String> {
        self.record.known.half(of.history, &of.kept.key)?.outside.clone()
    }

    /// Statement and cursor in one transaction.
    async fn inside(&mut self, of: Of<'_>, step: &Step) -> Result<(), ScriptFailure> {
        self.may_run()?;
        let (done, next) = (self.done(of), step.statement.number);
        self.begin_held(vec![self.moves(of, done, next, None)]).await?;
        self.theirs(&of.kept.file, &of.script.body, &step.statement).await?;
        // Deleted by the statement itself, it would be found deleted here and not after the commit.
        let again = vec![self.moves(of, next, next, None)];
        self.finish(again, Commit { what: &of.kept.file, file: &of.kept.file }).await?;
        self.record.known.moved(of.history, &of.kept.key, next, None);
        Ok(())
    }

    /// A script of which nothing has happened was never begun; of any other the failure says what is there.
    async fn stopped(&mut self, of: Of<'_>, failure: ScriptFailure) -> ScriptFailure {
        let Some(half) = self.record.known.half(of.history, &of.kept.key) else { return failure };
        if !failure.is_sure() || self.broken.is_some() || half.outside.is_some() {
            return failure;
        }
        let done = self.done(of);
        if done == 0 {
            return match self.forget(of).await {
                Ok(()) => failure,
                Err(worse) => worse,
            };
        }
        failure.stays(done)
    }
}

/// The number of the last statement.
fn last(steps: &[Step]) -> usize {
    steps.last().map_or(0, |step| step.statement.number)
}

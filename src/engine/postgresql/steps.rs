//! A script without a transaction: statement by statement, with a cursor in the journal.
//!
//! A statement that can runs in one transaction with the move of the cursor. Before another one the journal says, durably,
//! that it is under way and what was there before it; after it that it is done. Between the two only a probe tells
//! whether it happened, and where there is none it is Unknown and never sent again.

use super::guard::{self, Move};
use super::outside::{Answer, Seen};
use super::session::PostgresqlSession;
use super::wire::NO_ROWS;
use crate::engine::{ScriptError, ScriptFailure};
use crate::script::{Executable, HistoryRow, How, Outside, Script, Step};

/// What a script has set so far, to be set again before each of its statements.
#[derive(Default)]
pub(super) struct Made {
    pub(super) text: String,
    count: usize,
}

/// Which script of which history, at which rank.
#[derive(Clone, Copy)]
struct Of<'a> {
    history: &'a str,
    script: &'a Script,
    rank: u64,
}

impl PostgresqlSession {
    /// Applies the script from its cursor on. Only the run that has begun it goes on with it.
    pub(super) async fn apply_in_steps(
        &mut self,
        history: &str,
        script: &Script,
    ) -> Result<HistoryRow, ScriptFailure> {
        let rank = self.begin(history, script).await?;
        let of = Of { history, script, rank };
        if let Err(failure) = self.walk(of).await {
            return Err(self.stopped(of, failure).await);
        }
        let row = HistoryRow::of(script, rank);
        self.record.applied(history, rank, row.clone());
        Ok(row)
    }

    /// The rank of a script that this run has begun, now or before.
    async fn begin(&mut self, history: &str, script: &Script) -> Result<u64, ScriptFailure> {
        if let Some(rank) = self.record.resume(history, script, &self.fence.run_uid)? {
            return Ok(rank);
        }
        self.may_run()?;
        let rank = self.record.admit(history, script)?;
        let row = HistoryRow::of(script, rank);
        self.write(&script.file, &guard::open(&self.fence, history, &row, None)).await?;
        self.record.begun(history, script, rank, &self.fence.run_uid);
        Ok(rank)
    }

    async fn walk(&mut self, of: Of<'_>) -> Result<(), ScriptFailure> {
        let mut made = Made::default();
        let mut all = 0;
        for step in of.script.steps() {
            all = step.statement.number;
            match &step.how {
                How::Setting => {
                    made.text.push_str(step.statement.text(&of.script.body));
                    made.text.push_str("; ");
                    made.count += 1;
                }
                _ if step.statement.number <= self.done(of) => {}
                How::Inside => self.inside(of, &step, &made).await?,
                How::Outside(kind) => self.outside(of, &step, kind, &made).await?,
            }
        }
        self.may_run()?;
        let done = self.done(of);
        let close = format!("{}; {}", self.cursor(of).to(done, all, false, None), guard::CLOSE);
        self.write(&of.script.file, &close).await
    }

    /// How many statements are done.
    fn done(&self, of: Of<'_>) -> usize {
        self.record.done(of.history, &of.script.key)
    }

    fn cursor<'a>(&'a self, of: Of<'a>) -> Move<'a> {
        Move { fence: &self.fence, history: of.history, rank: of.rank }
    }

    /// The cursor as it is in the journal now.
    fn moved(&mut self, of: Of<'_>, done: usize, outside: Option<String>) {
        self.record.moved(of.history, &of.script.key, done, outside);
    }

    async fn inside(&mut self, of: Of<'_>, step: &Step, made: &Made) -> Result<(), ScriptFailure> {
        let (done, next) = (self.done(of), step.statement.number);
        let opening = self.cursor(of).to(done, next, false, None);
        let script = Executable::one(&of.script.body, &step.statement);
        let isolation = of.script.directives.isolation;
        let message = guard::guarded_step(&opening, isolation, (&made.text, made.count), script);
        self.run(&message, &of.script.file).await?;
        self.moved(of, next, None);
        Ok(())
    }

    async fn outside(
        &mut self,
        of: Of<'_>,
        step: &Step,
        kind: &Outside,
        made: &Made,
    ) -> Result<(), ScriptFailure> {
        let done = self.done(of);
        let half = self.record.half(of.history, &of.script.key);
        let under_way = half.and_then(|half| half.outside.clone());
        if let Some(before) = under_way {
            // Nobody knows the answer; every session that could still be working on it has ended.
            match self.seen(of.script, kind, made, &before, Answer::Lost).await? {
                Seen::Done => return self.close_outside(of, step, true).await,
                Seen::NotDone(_) => self.close_outside(of, step, false).await?,
                Seen::Unsure(what) => return Err(unknown(of.script, step, &what)),
            }
        }
        self.may_run()?;
        let before = self.before(of.script, kind, made).await?;
        let begins = self.cursor(of).to(done, done, false, Some(&before));
        self.write(&of.script.file, &begins).await?;
        self.moved(of, done, Some(before.clone()));

        let message = guard::bare(Executable::one(&of.script.body, &step.statement));
        let mut blocker = None;
        let clean = guard::clean(&format!("{}{}", patience(kind), made.text));
        let mut reply = self.connection.wire.query(&clean, NO_ROWS).await?;
        if reply.error.is_none() {
            reply = self.send(&message, &of.script.file, &mut blocker).await?;
        }
        self.broken = self.recover().await.err();
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let answer = if reply.error.is_some() { Answer::Refused } else { Answer::Done };
        match (self.seen(of.script, kind, made, &before, answer).await?, reply.error.take()) {
            (Seen::Done, _) => self.close_outside(of, step, true).await,
            (Seen::Unsure(what), error) => {
                let said =
                    error.map(|error| format!("; the server said: {} ({})", error.text(false), error.code));
                Err(unknown(of.script, step, &format!("{what}{}", said.unwrap_or_default())))
            }
            (Seen::NotDone(_), Some(error)) => {
                let failure = self.refused(&message, &of.script.file, &reply, error, blocker);
                self.close_outside(of, step, false).await?;
                Err(failure)
            }
            (Seen::NotDone(what), None) => {
                self.close_outside(of, step, false).await?;
                Err(ScriptFailure::from(ScriptError {
                    code: "NotDone".to_owned(),
                    message: format!("the server says that it is done, but {what}"),
                    file: of.script.file.clone(),
                    statement: Some(step.statement.number),
                    line: u32::try_from(step.statement.line).ok(),
                    column: u32::try_from(step.statement.column).ok(),
                    hint: None,
                }))
            }
        }
    }

    /// Writes down how a statement outside of a transaction ended.
    async fn close_outside(&mut self, of: Of<'_>, step: &Step, happened: bool) -> Result<(), ScriptFailure> {
        let done = self.done(of);
        let next = if happened { step.statement.number } else { done };
        let ends = self.cursor(of).to(done, next, true, None);
        self.write(&of.script.file, &ends).await?;
        self.moved(of, next, None);
        Ok(())
    }

    /// A script of which nothing has happened was never begun; of any other the failure says what is there.
    async fn stopped(&mut self, of: Of<'_>, failure: ScriptFailure) -> ScriptFailure {
        let Some(half) = self.record.half(of.history, &of.script.key) else { return failure };
        if !failure.is_sure() || self.broken.is_some() || half.outside.is_some() {
            return failure;
        }
        let done = self.done(of);
        if done == 0 {
            let forget = self.cursor(of).forget();
            return match self.write(&of.script.file, &forget).await {
                Ok(()) => {
                    self.record.forget(of.history, of.rank);
                    failure
                }
                Err(worse) => worse,
            };
        }
        failure.stays(done)
    }
}

/// What works beside others waits for them as long as it takes: a timeout would leave an index behind that is INVALID,
/// and the next try would begin from nothing. The script's own settings come after it.
fn patience(kind: &Outside) -> &'static str {
    match kind {
        Outside::CreateIndex { .. } | Outside::DropIndex(_) | Outside::Reindex | Outside::Detach(..) => {
            "SET lock_timeout = 0; "
        }
        _ => "",
    }
}

fn unknown(script: &Script, step: &Step, what: &str) -> ScriptFailure {
    let words: Vec<&str> = step.statement.text(&script.body).split_whitespace().take(6).collect();
    ScriptFailure::Unknown {
        evidence: format!(
            "statement {} ({}:{}:{}, {} ...) was sent outside of a transaction, and {what}",
            step.statement.number,
            script.file,
            step.statement.line,
            step.statement.column,
            words.join(" "),
        ),
    }
}

//! A statement that commits batches of its own, in no transaction of ours: `CALL { … } IN TRANSACTIONS`.
//!
//! Where it is cut, some batches are in and some are not. It runs again only if what is done is not done again, which the
//! statement itself shows or its author says; else nobody can tell, and the counts before and after are all there is.

use super::connect::text;
use super::own::Commit;
use super::packstream::Value;
use super::session::{Neo4jSession, Of};
use super::wire::NO_ROWS;
use crate::engine::{ScriptError, ScriptFailure};
use crate::script::cypher::Step;

impl Neo4jSession {
    pub(super) async fn batches(
        &mut self,
        of: Of<'_>,
        step: &Step,
        shown: bool,
    ) -> Result<(), ScriptFailure> {
        let (done, next) = (self.done(of), step.statement.number);
        let restartable = shown || of.kept.directives.restartable;
        let mut before = self.under_way(of);
        if let Some(before) = before.as_ref().filter(|_| !restartable) {
            return Err(self.cut(of, step, before, "its answer was lost").await);
        }
        self.may_run()?;
        if before.is_none() {
            let counted = self.count(of).await?;
            self.move_alone(of, done, done, Some((next, &counted))).await?;
            before = Some(counted);
        }
        // The fence can't be held beside it: what can be done is to look once more, and to be found by our name.
        let (file, text) = (of.kept.file.as_str(), of.script.body.as_str());
        self.alone_seeing(Vec::new(), Commit { what: &format!("{file}: look"), file }).await?;
        let begin = self.connection.writing(&self.settings, self.settings.statement_timeout);
        let what = format!("{file}: {next}");
        let answer = self.connection.wire.alone(&what, step.statement.text(text), &begin, NO_ROWS).await?;
        let Err(error) = answer else { return self.move_alone(of, done, next, None).await };
        let refusal = self.took_back(file, Some((text, &step.statement)), error).await;
        self.ended(of, step, restartable, &before.unwrap_or_default(), refusal).await
    }

    /// What a refusal in the middle means: the batches before it stay.
    async fn ended(
        &mut self,
        of: Of<'_>,
        step: &Step,
        restartable: bool,
        before: &str,
        refusal: ScriptFailure,
    ) -> Result<(), ScriptFailure> {
        match refusal {
            // Refused before its first batch: nothing was read, let alone written.
            ScriptFailure::Failed(error)
                if error.code.starts_with("Neo.ClientError.Statement.SyntaxError") =>
            {
                let done = self.done(of);
                self.move_alone(of, done, done, None).await?;
                Err(ScriptFailure::Failed(error))
            }
            // The journal keeps saying that it is under way: some of it is there.
            ScriptFailure::Failed(error) if restartable => {
                let hint = "The batches before it are applied and stay; it may run again.".to_owned();
                Err(ScriptFailure::from(ScriptError { hint: Some(hint), ..*error }))
            }
            ScriptFailure::Failed(error) => {
                let why = format!("the server said: {} ({})", error.message, error.code);
                Err(self.cut(of, step, before, &why).await)
            }
            ScriptFailure::Cancelled if !restartable => {
                Err(self.cut(of, step, before, "it was cancelled").await)
            }
            other => Err(other),
        }
    }

    /// What the author's probe says, for the sentence that says what is known.
    async fn count(&mut self, of: Of<'_>) -> Result<String, ScriptFailure> {
        let Some(probe) = of.kept.directives.probe.clone() else { return Ok("no probe".to_owned()) };
        let probe = of.kept.values.fill(&probe);
        match self.connection.read(&self.settings, &probe, Value::map([])).await {
            Ok(set) => Ok(match set.rows.first().and_then(|row| row.first()) {
                Some(Value::Int(number)) => number.to_string(),
                Some(value) => text(Some(value)),
                None => "nothing".to_owned(),
            }),
            Err(crate::engine::EngineError::Server { code, message, .. }) => Err(ScriptFailure::of_file(
                &of.kept.file,
                &code,
                format!("its probe can't be asked: {message}"),
                None,
            )),
            Err(error) => Err(ScriptFailure::Lost { reason: error.to_string() }),
        }
    }

    async fn cut(&mut self, of: Of<'_>, step: &Step, before: &str, why: &str) -> ScriptFailure {
        let counts = match (of.kept.directives.probe.is_some(), self.count(of).await) {
            (true, Ok(now)) => format!("its probe said {before} before and says {now} now"),
            (true, Err(_)) => format!("its probe said {before} before and can't be asked now"),
            (false, _) => "it has no // whimbrel: probe <query> that could tell how far it came".to_owned(),
        };
        ScriptFailure::Unknown {
            evidence: format!(
                "statement {} ({}:{}:{}) commits batches of its own and was cut: {why}; {counts}",
                step.statement.number, of.kept.file, step.statement.line, step.statement.column
            ),
        }
    }
}

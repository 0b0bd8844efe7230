//! Taking a script back by its undo file: changes of the schema first, each of which does nothing where it is done
//! already; then all data and the end of the history's row in one transaction. So an undo that was cut goes on.

use std::time::Instant;

use super::own::Commit;
use super::session::{Neo4jSession, Of};
use crate::engine::ScriptFailure;
use crate::engine::error::DRIFT;
use crate::script::Script;
use crate::script::cypher::{Does, steps};

impl Neo4jSession {
    pub(super) async fn undo_script(&mut self, history: &str, kept: &Script) -> Result<(), ScriptFailure> {
        self.may_run()?;
        let Some(rank) = self.record.rank(history, &kept.key) else {
            return Err(ScriptFailure::drift(kept, "it is not in the history"));
        };
        if let Some(younger) = self.record.younger(history, rank) {
            let message = format!("the younger script {younger} is in the history");
            return Err(ScriptFailure::of_file(&kept.file, DRIFT, message, Some("Undo that one first.")));
        }
        if let Some(foreign) = self.younger_of_the_peer(history, kept) {
            let message = format!("neo4j-migrations applied {foreign} after it");
            return Err(ScriptFailure::of_file(
                &kept.file,
                DRIFT,
                message,
                Some("Take that one back first, by hand."),
            ));
        }
        let script = kept.filled();
        let Some(undo) = &script.undo else {
            return Err(ScriptFailure::no_undo(kept, "it has no undo file"));
        };
        let (steps, databases) = steps(&undo.body);
        self.is_about_this_database(kept, &databases)?;
        for step in &steps {
            if let Does::Schema(change) = &step.does {
                self.change_back(&undo.file, &undo.body, step, change).await?;
            }
        }
        let was_applied = self.record.known.half(history, &kept.key).is_none();
        let of = Of { history, script: &script, kept, rank, began: Instant::now() };
        self.may_run()?;
        self.begin_held(Vec::new()).await?;
        for step in steps.iter().filter(|step| step.does == Does::Data) {
            self.theirs(&undo.file, &undo.body, &step.statement).await?;
        }
        let undone = self.undone(of, was_applied);
        self.finish(undone, Commit { what: &undo.file, file: &undo.file }).await?;
        self.record.forget(history, rank);
        if self.is_peers(history) {
            self.record.chain.removed(&kept.key);
            self.of_one_chain();
        }
        Ok(())
    }

    /// What stands behind the script in the history of neo4j-migrations and is in no journal of ours.
    fn younger_of_the_peer(&self, history: &str, script: &Script) -> Option<String> {
        let rows = self.record.known.histories.get(history).filter(|_| self.is_peers(history))?;
        let own = rows.iter().rposition(|row| row.key == script.key)?;
        rows.get(own + 1).map(|row| row.file.clone())
    }
}

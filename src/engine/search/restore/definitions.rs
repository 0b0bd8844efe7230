//! Templates and ingest pipelines that scripts have changed, as they were when the snapshot was taken.

use http::Method;
use serde_json::{Map, Value};

use super::names::copy;
use super::note::Note;
use super::swap::Swap;
use crate::engine::EngineError;
use crate::engine::search::client::Client;
use crate::engine::search::defined::{Changed, DEFINED, Definition};
use crate::engine::search::store::INDEX;

/// In this order they are put back: what a template is made of comes before it. Deleted in the other one.
const ORDER: [&str; 4] = ["/_ingest/pipeline", "/_component_template", "/_template", "/_index_template"];

impl Client {
    /// Those that the run of the note has changed, and runs since its snapshot.
    pub(super) async fn changed_definitions(&self, note: &Note) -> Result<Vec<Changed>, EngineError> {
        let copy = copy(note.run, INDEX);
        let is_copied = note.histories.contains_key(INDEX);
        self.defined_since(is_copied.then_some(copy.as_str())).await
    }

    /// All of each kind, as they will be once those are put back.
    pub(super) async fn definitions_as_if_back(
        &self,
        note: &Note,
    ) -> Result<[(&'static str, Value); 4], EngineError> {
        let changed = self.changed_definitions(note).await?;
        let mut all = DEFINED.map(|(kind, _)| (kind, Value::Null));
        for ((_, of), (_, found)) in DEFINED.iter().zip(&mut all) {
            let mut defined = self.defined(of).await?;
            let here = changed.iter().map(|it| &it.definition).filter(|definition| definition.of == *of);
            here.for_each(|definition| put_back(&mut defined, definition));
            *found = Value::Object(defined);
        }
        Ok(all)
    }
}

fn in_order(changed: Vec<Changed>) -> Vec<Definition> {
    let mut all: Vec<Definition> = changed.into_iter().map(|it| it.definition).collect();
    all.sort_by_key(|definition| ORDER.iter().position(|of| *of == definition.of));
    all
}

fn put_back(defined: &mut Map<String, Value>, definition: &Definition) {
    match &definition.before {
        Some(before) => defined.insert(definition.name.clone(), before.clone()),
        None => defined.remove(&definition.name),
    };
}

impl Swap<'_> {
    /// Puts back what differs. Said twice it does nothing the second time.
    pub(super) async fn bring_definitions_back(&self) -> Result<(), EngineError> {
        let changed = self.client.changed_definitions(&self.note).await?;
        let changed = in_order(changed);
        for definition in &changed {
            let Some(before) = &definition.before else { continue };
            if self.now(definition).await?.as_ref() != Some(before) {
                self.effect("put a definition back", Method::PUT, &definition.path(), before.clone()).await?;
            }
        }
        for definition in changed.iter().rev() {
            if definition.before.is_none() && self.now(definition).await?.is_some() {
                let path = definition.path();
                self.effect("take a definition away", Method::DELETE, &path, Value::Null).await?;
            }
        }
        Ok(())
    }

    async fn now(&self, definition: &Definition) -> Result<Option<Value>, EngineError> {
        Ok(self.client.defined(&definition.path()).await?.remove(&definition.name))
    }
}

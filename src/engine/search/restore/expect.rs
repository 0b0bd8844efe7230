//! What the target must be again, compared twice: as the copies would be in their place, before anything is changed, and
//! as it is, at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::COPY;
use super::note::{Copied, Note};
use crate::engine::search::client::Client;
use crate::engine::search::defined::DEFINED;
use crate::engine::search::proof::{Parts, by_their_names, digests};
use crate::engine::{EngineError, Proof, Stamp};

impl Client {
    /// Refuses copies that would not be what the run began with.
    pub(super) async fn refuse_other_copies(&self, note: &Note, stamp: &Stamp) -> Result<(), EngineError> {
        let Some(structure) = &stamp.structure else { return Ok(()) };
        let differing = differing(structure, &digests(&self.as_if_placed(note).await?).join(" "));
        if differing.is_empty() {
            return Ok(());
        }
        let cluster_wide: Vec<&str> = DEFINED
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| differing.iter().any(|it| it == name))
            .collect();
        let help = match cluster_wide.as_slice() {
            [] => String::new(),
            names => format!(
                ". A snapshot of indices does not hold {}, and no script of the run has changed those that differ: put them back, then retry",
                names.join(", ")
            ),
        };
        Err(EngineError::NotRestorable {
            at: self.settings.at(),
            reason: format!(
                "with the copies in their place it would not be what the run began with: {} differ{help}",
                differing.join(", ")
            ),
        })
    }

    /// Refuses a target that is not what the run began with.
    pub(super) async fn refuse_other_target(&self, stamp: &Stamp) -> Result<(), EngineError> {
        let proof = self.proof().await?;
        let differing = of_stamp(stamp, &proof);
        if differing.is_empty() {
            return Ok(());
        }
        Err(EngineError::NotRestorable {
            at: self.settings.at(),
            reason: format!(
                "the copies are in their place, and it is not what the run began with: {}. What was there is kept under names that begin with wb-broken-",
                differing.join("; ")
            ),
        })
    }

    async fn as_if_placed(&self, note: &Note) -> Result<Parts, EngineError> {
        let before = format!("{COPY}{}-", note.run);
        let mut parts = Parts::new();
        for (kind, path) in [("mappings", "_mapping"), ("settings", "_settings")] {
            let answer = self.expect(self.read(&format!("/{before}*/{path}?expand_wildcards=all")).await)?;
            parts.insert(kind, self.renamed(answer.body, &before, &note.copies));
        }
        let of = |value: fn(&Copied) -> Value| -> Value {
            let all: BTreeMap<&String, Value> =
                note.copies.iter().map(|(index, copied)| (index, value(copied))).collect();
            json!(all)
        };
        parts.insert("aliases", of(|copied| json!({"aliases": copied.aliases})));
        parts.insert("counts", of(|copied| json!(copied.documents)));
        by_their_names(&mut parts);
        parts.extend(self.definitions_as_if_back(note).await?);
        Ok(parts)
    }

    /// The copies under the names of their originals, and as open to writes as these were.
    fn renamed(&self, body: Value, before: &str, copies: &BTreeMap<String, Copied>) -> Value {
        let Value::Object(all) = body else { return Value::Null };
        let originals = all.into_iter().filter_map(|(name, mut found)| {
            let index = name.strip_prefix(before)?;
            let copied = copies.get(index)?;
            if !copied.blocked
                && let Some(blocks) =
                    found.pointer_mut("/settings/index/blocks").and_then(Value::as_object_mut)
            {
                blocks.remove("write");
            }
            Some((index.to_owned(), found))
        });
        self.users(Value::Object(originals.collect()))
    }
}

/// What a target has otherwise than its stamp, a part of a sentence each.
fn of_stamp(stamp: &Stamp, proof: &Proof) -> Vec<String> {
    let other = |(name, digest): &(&String, &String)| proof.histories.get(*name) != Some(digest);
    let histories = stamp.histories.iter().filter(other);
    let mut all: Vec<String> =
        histories.map(|(name, _)| format!("history {name} has other scripts")).collect();
    let kinds = stamp.structure.as_ref().map(|had| differing(had, &proof.structure)).unwrap_or_default();
    if !kinds.is_empty() {
        all.push(format!("its {} differ", kinds.join(", ")));
    }
    all
}

/// The kinds of which the digests differ.
fn differing(had: &str, has: &str) -> Vec<String> {
    let has: Vec<&str> = has.split(' ').collect();
    let kinds = had.split(' ').filter(|kind| !has.contains(kind));
    kinds.filter_map(|kind| kind.split('=').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let histories = [("default".to_owned(), "1".to_owned())].into();
        let proof = Proof { histories, structure: "mappings=1 counts=2".to_owned() };
        let mut stamp = Stamp {
            histories: proof.histories.clone(),
            structure: Some(proof.structure.clone()),
            mark: None,
        };
        assert_eq!(of_stamp(&stamp, &proof), [""; 0]);
        stamp.histories.insert("other".to_owned(), "2".to_owned());
        stamp.structure = Some("mappings=1 counts=3".to_owned());
        assert_eq!(of_stamp(&stamp, &proof), ["history other has other scripts", "its counts differ"]);
        assert_eq!(of_stamp(&Stamp::default(), &proof), [""; 0]);
    }
}

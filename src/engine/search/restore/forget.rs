//! Drops what an earlier run has left beside its indices: later, when nobody wants to look at it any more.

use super::names::{ASIDE, COPY, aside, copy};
use super::note::Note;
use crate::engine::search::client::Client;
use crate::engine::{EngineError, Fence};

/// Drops the indices of the fence's run, which has number `run`; only what its note names by uuid.
pub(in crate::engine::search) async fn drop_aside(
    client: &Client,
    fence: &Fence,
    run: u64,
) -> Result<Vec<String>, EngineError> {
    let refuse = |reason: String| Err(EngineError::NotRestorable { at: client.settings.at(), reason });
    let patterns = format!("{COPY}{run}-*,{ASIDE}{run}-*");
    let there = client.seen(&patterns).await?;
    let Some((version, note)) = client.note(&fence.run_uid).await? else {
        let Some(name) = there.keys().next() else { return Ok(Vec::new()) };
        return refuse(format!("index {name} is not dropped: no note says that it is this run's"));
    };
    if note.is_half_done() {
        return refuse(format!(
            "nothing is dropped: run {run} did not end putting snapshot {} back, and what it kept is needed",
            note.path
        ));
    }
    // All are judged before the first is dropped.
    let mut ours = Vec::new();
    for (name, seen) in there {
        if !is_of(&note, run, &name, &seen.uuid, seen.clone_of()) {
            return refuse(format!(
                "index {name} is not dropped: the note does not say that it is this run's"
            ));
        }
        ours.push(name);
    }
    for name in &ours {
        client.delete_index("drop what was put aside", name).await?;
    }
    client.forget_note(&fence.run_uid, version).await?;
    Ok(ours)
}

/// Whether a note says of an index that it is its run's: a copy by its uuid, a clone by that of its source.
fn is_of(note: &Note, run: u64, name: &str, uuid: &str, clone_of: &str) -> bool {
    let copies = note.copies.iter().map(|(index, copied)| (index, &copied.uuid));
    let is_copy = |(index, known): (&String, &String)| copy(run, index) == name && known == uuid;
    let mut kept = note.aside.iter();
    note.run == run
        && (copies.chain(&note.histories).any(is_copy)
            || kept.any(|(index, of)| aside(run, index) == name && of.uuid == clone_of))
}

#[cfg(test)]
mod tests {
    use super::super::note::Aside;
    use super::*;

    #[test]
    fn only_what_the_note_names_by_uuid() {
        let mut note = Note::new("uid", 7, 3, "backups/s", "sha");
        note.histories.insert(".whimbrel".to_owned(), "h".to_owned());
        note.aside.insert("a".to_owned(), Aside { uuid: "a1".to_owned(), blocked: false });
        assert!(is_of(&note, 7, "wb-broken-7-a", "x", "a1"));
        assert!(!is_of(&note, 7, "wb-broken-7-a", "a1", "other"));
        assert!(!is_of(&note, 7, "wb-broken-7-b", "x", "a1"));
        assert!(is_of(&note, 7, "wb-restore-7-.whimbrel", "h", ""));
        assert!(!is_of(&note, 7, "wb-restore-7-.whimbrel", "another", ""));
        assert!(!is_of(&note, 8, "wb-broken-8-a", "x", "a1"));
    }
}

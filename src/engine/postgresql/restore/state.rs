//! Where an earlier attempt has ended, read from which databases there are and what they say of themselves. Pure.

use std::collections::BTreeMap;

use super::door::Seen;
use super::label::{Label, Stage};
use crate::engine::{EngineError, Fence};

/// The names of one database's restore in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) database: String,
    pub(super) beside: String,
    pub(super) aside: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The copy has the database's name, and the original another.
    Done { oid: u32, original: u32 },
    /// The copy stands beside it.
    Beside(Beside),
}

/// A complete copy that is to be swapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// Of the database that it replaces.
    pub(super) original: u32,
    /// Its own.
    pub(super) oid: u32,
    pub(super) label: Label,
    /// An earlier attempt of this run has closed the original, holding its fence. Nobody was in since, so the token in
    /// it is not above the label's.
    pub(super) closed: bool,
}

/// Judges what is there.
pub(super) fn judge(
    at: &str,
    names: &Names,
    fence: &Fence,
    seen: &BTreeMap<String, Seen>,
) -> Result<State, EngineError> {
    let Names { database, beside, aside } = names;
    let refuse = |reason: String| Err(EngineError::NotRestorable { at: at.to_owned(), reason });
    let ours = |seen: &Seen| seen.label.clone().filter(|label| label.is_of(database, &fence.run_uid));
    let Some(original) = seen.get(database) else {
        return refuse(format!(
            "there is no database {database} on the server; somebody has renamed or dropped it"
        ));
    };
    if let Some(put) = seen.get(aside) {
        return match ours(put) {
            Some(Label { whimbrel: Stage::Aside, replaced_by: Some(oid), .. }) if oid == original.oid => {
                Ok(State::Done { oid, original: put.oid })
            }
            Some(_) => {
                refuse(format!("it was put back before, and {database} has become another database since"))
            }
            None => refuse(format!(
                "there is a database {aside} that this run did not put aside. Rename it: ALTER DATABASE \"{aside}\" RENAME TO …;"
            )),
        };
    }
    let Some(copy) = seen.get(beside) else {
        return refuse(format!("there is no restored copy {beside}; the restore's Job makes it"));
    };
    let Some(label) = ours(copy) else {
        return refuse(format!("the comment of database {beside} does not say that this run restored it"));
    };
    if !matches!(label.whimbrel, Stage::Restored | Stage::Swapping) {
        return refuse(format!("the copy {beside} is not complete; the restore's Job makes it anew"));
    }
    if let Some(token) = label.token.filter(|token| *token > fence.token) {
        return Err(EngineError::Overtaken { at: at.to_owned(), token });
    }
    let closed = !original.open;
    if closed && label.whimbrel != Stage::Swapping {
        return refuse(format!(
            "it takes no connections, and it was not this restore that closed it. Open it: \
             ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS true;"
        ));
    }
    Ok(State::Beside(Beside { original: original.oid, oid: copy.oid, label, closed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { database: "d".to_owned(), beside: "n".to_owned(), aside: "r".to_owned() }
    }

    fn label(whimbrel: Stage, token: Option<u64>, replaced_by: Option<u32>) -> Label {
        Label {
            whimbrel,
            database: "d".to_owned(),
            run_uid: "u".to_owned(),
            run: 1,
            backup: None,
            comment: None,
            token,
            replaced_by,
        }
    }

    fn database(oid: u32, open: bool, label: Option<Label>) -> Seen {
        Seen { oid, open, comment: label.as_ref().map(Label::text), label }
    }

    fn judged(seen: &[(&str, Seen)]) -> Result<State, EngineError> {
        let seen = seen.iter().map(|(name, seen)| ((*name).to_owned(), seen.clone())).collect();
        judge("t", &names(), &Fence::of_run("u", 5), &seen)
    }

    fn refused(seen: &[(&str, Seen)]) -> String {
        judged(seen).expect_err("refused").to_string()
    }

    #[test]
    fn a_complete_copy_is_swapped_in_and_one_that_was_is_done() {
        let restored = label(Stage::Restored, None, None);
        let state =
            judged(&[("d", database(1, true, None)), ("n", database(2, true, Some(restored.clone())))]);
        let expected = Beside { original: 1, oid: 2, label: restored, closed: false };
        assert_eq!(state, Ok(State::Beside(expected)));
        let swapping = label(Stage::Swapping, Some(5), None);
        let state =
            judged(&[("d", database(1, false, None)), ("n", database(2, false, Some(swapping.clone())))]);
        let expected = Beside { original: 1, oid: 2, label: swapping, closed: true };
        assert_eq!(state, Ok(State::Beside(expected)));
        let put = database(1, false, Some(label(Stage::Aside, None, Some(2))));
        assert_eq!(
            judged(&[("d", database(2, true, None)), ("r", put.clone())]),
            Ok(State::Done { oid: 2, original: 1 })
        );
        assert_eq!(
            refused(&[("d", database(3, true, None)), ("r", put)]),
            "t can't be put back from its backup: it was put back before, and d has become another database since"
        );
    }

    #[test]
    fn a_newer_epoch_that_was_here_is_believed() {
        let swapping = label(Stage::Swapping, Some(6), None);
        let seen = [("d", database(1, false, None)), ("n", database(2, false, Some(swapping)))];
        assert_eq!(judged(&seen), Err(EngineError::Overtaken { at: "t".to_owned(), token: 6 }));
    }

    #[test]
    fn everything_else_is_refused_by_its_name() {
        let live = ("d", database(1, true, None));
        let foreign = Label { run_uid: "other".to_owned(), ..label(Stage::Restored, None, None) };
        for (seen, words) in [
            (vec![], "there is no database d on the server"),
            (vec![live.clone()], "there is no restored copy n"),
            (vec![live.clone(), ("n", database(2, true, None))], "the comment of database n does not say"),
            (
                vec![live.clone(), ("n", database(2, true, Some(foreign.clone())))],
                "the comment of database n does not say",
            ),
            (
                vec![live.clone(), ("n", database(2, true, Some(label(Stage::Restoring, None, None))))],
                "the copy n is not complete",
            ),
            (
                vec![live.clone(), ("r", database(3, true, Some(foreign)))],
                "there is a database r that this run did not put aside",
            ),
            (
                vec![
                    ("d", database(1, false, None)),
                    ("n", database(2, true, Some(label(Stage::Restored, None, None)))),
                ],
                "it takes no connections, and it was not this restore that closed it",
            ),
        ] {
            assert!(refused(&seen).contains(words), "{}", refused(&seen));
        }
    }
}

//! Whether what answers is the database that the target means, with the past that this process saw before.

use std::sync::{Mutex, PoisonError};

use super::EngineError;

/// Refuses a database that `is_it` does not find to be the expected one; where none is expected, any will do.
pub(super) fn expect_identity(
    at: String,
    expected: Option<&str>,
    found: &str,
    is_it: impl Fn(&str) -> bool,
) -> Result<(), EngineError> {
    match expected.filter(|expected| !is_it(expected)) {
        Some(expected) => {
            Err(EngineError::Identity { at, expected: expected.to_owned(), found: found.to_owned() })
        }
        None => Ok(()),
    }
}

/// What this process knows of a database's past, for all connections to one target.
#[derive(Debug, Default)]
pub(super) struct Lineage(Mutex<Option<String>>);

impl Lineage {
    /// Refuses a database with another past than before, unless `is_known` says that we know how it came from the one that
    /// was. Said once per change: the histories are read again after it.
    pub(super) fn check(
        &self,
        at: String,
        found: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<(), EngineError> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(found.to_owned());
        match before.filter(|before| before != found && !is_known(before)) {
            Some(expected) => Err(EngineError::Lineage { at, expected, found: found.to_owned() }),
            None => Ok(()),
        }
    }

    /// What it was when it was looked at last.
    pub(super) fn seen(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_past_is_said_once_and_one_that_is_known_never() {
        let lineage = Lineage::default();
        let check =
            |found: &str| lineage.check("t".to_owned(), found, |before| before == "a/1" && found == "b/1");
        assert_eq!(lineage.seen(), None);
        assert_eq!(check("a/1"), Ok(()));
        assert_eq!(check("a/1"), Ok(()));
        assert_eq!(check("b/1"), Ok(()));
        let another = check("b/2").unwrap_err();
        assert_eq!(
            another.to_string(),
            "t has another past than before: lineage was b/1, is b/2. Its histories are read again before anything goes on."
        );
        assert_eq!(check("b/2"), Ok(()));
        assert_eq!(lineage.seen().as_deref(), Some("b/2"));
    }

    #[test]
    fn another_database_is_refused_with_both_names() {
        let expect = |expected| expect_identity("t".to_owned(), expected, "b", |it| it == "b");
        assert_eq!((expect(None), expect(Some("b"))), (Ok(()), Ok(())));
        assert_eq!(
            expect(Some("a")).unwrap_err().to_string(),
            "t is another database: expected identity a, found b. Correct the address, or spec.identity.expect."
        );
    }
}

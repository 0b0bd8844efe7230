//! The names of the indices that a restore makes. Those that only stand beside begin with `wb-`, so that no pattern of a
//! service or of a target covers them.

/// In front of the copies that a restore's Job makes.
pub(in crate::engine::search) const COPY: &str = "wb-restore-";

/// In front of what a restore has put aside.
pub(in crate::engine::search) const ASIDE: &str = "wb-broken-";

/// The longest name that a server takes, in bytes.
pub(super) const MOST_BYTES: usize = 255;

/// The copy of `index` that run number `run` restores from its snapshot.
pub(super) fn copy(run: u64, index: &str) -> String {
    format!("{COPY}{run}-{index}")
}

/// The clone under which run number `run` keeps the `index` that it replaces.
pub(super) fn aside(run: u64, index: &str) -> String {
    format!("{ASIDE}{run}-{index}")
}

/// The index that stands behind the name `base` once run number `run` has swapped it in by alias.
pub(super) fn standin(run: u64, base: &str) -> String {
    format!("{base}-wb-{run}")
}

/// The name by which services and scripts know an index: of one that stands in behind an alias, that alias.
pub(in crate::engine::search) fn base(index: &str, has_alias: impl Fn(&str) -> bool) -> &str {
    let Some((base, run)) = index.rsplit_once("-wb-") else { return index };
    let stands_in = !run.is_empty() && run.bytes().all(|digit| digit.is_ascii_digit()) && has_alias(base);
    if stands_in { base } else { index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_stands_in_is_known_by_its_alias() {
        let of = |index: &str, alias: &str| base(index, |name| name == alias).to_owned();
        assert_eq!(of(&standin(7, "documents"), "documents"), "documents");
        assert_eq!(of("documents-wb-7", "live"), "documents-wb-7", "somebody's own name");
        assert_eq!(of("documents-wb-x", "documents"), "documents-wb-x");
        assert_eq!(of("documents-wb-", "documents"), "documents-wb-");
        assert_eq!((copy(7, "a"), aside(7, "a")), ("wb-restore-7-a".to_owned(), "wb-broken-7-a".to_owned()));
    }
}

//! How long a string, list or map of the API may be; what says nothing gets the defaults from the schema pass.

/// Characters of a string that says nothing else: the length of a Kubernetes object name.
pub const STRING: u32 = 253;
/// Items of a list, and entries of a map, that says nothing else.
pub const LIST: u32 = 50;
/// Entries of a map that says nothing else.
pub const MAP: u32 = 50;

/// A DNS label: namespaces, history names, groups.
pub const NAME: u32 = 63;
/// A plan's name: `<plan>-<number>` and a suffix still fit a label value of 63.
pub const PLAN_NAME: u32 = 52;
/// A step's name: with a prefix it still fits an annotation key's name of 63 (`approve.<step>`).
pub const STEP_NAME: u32 = 40;
/// Workloads that one plan silences.
pub const DEPENDENTS: u32 = 100;
/// Steps of one stage.
pub const STEPS: u32 = 50;
/// A statement of a query check: 8 KiB.
pub const STATEMENT: u32 = 8 * 1024;
/// One inline file: 64 KiB.
pub const INLINE_FILE: u32 = 64 * 1024;
/// A sentence for people: 4 KiB.
pub const MESSAGE: u32 = 4 * 1024;
/// A clause for people: 1 KiB.
pub const WHY: u32 = 1024;
/// `conditions[].message`: 32 KiB, the bound of the Kubernetes API convention.
pub const CONDITION_MESSAGE: u32 = 32 * 1024;
/// The preview: 32 KiB, then "and n more".
pub const PREVIEW: u32 = 32 * 1024;
/// A script for a person: 64 KiB; what does not fit is left out whole.
pub const SCRIPT: u32 = 64 * 1024;
/// The digests of a target's histories: 50 of them by name.
pub const HISTORIES: u32 = 8 * 1024;
/// An image reference.
pub const IMAGE: u32 = 1024;
/// A URL or URI.
pub const URL: u32 = 2048;
/// Ops of one run: 250 steps, and what stands around them for 100 dependents and 50 targets.
pub const OPS: u32 = 2000;
/// A hash in hexadecimal, perhaps with `sha256:` before it.
pub const HASH: u32 = 71;

/// Cuts `text` to at most `max` characters, the last one an ellipsis if something was cut.
///
/// Writers cut before they write: one message over its bound would make the API server refuse the whole status.
pub fn cut(text: &str, max: u32) -> String {
    let max = max as usize;
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn cuts_by_characters_not_by_bytes() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßx", 4), "äöü…");
        assert_eq!(cut("abc", 0), "…");
    }
}

//! The world as it must be after an act, whatever happened in it.

use std::collections::BTreeMap;

/// What is compared. Times, uids and tokens are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// How the run ended.
    pub(crate) reason: String,
    /// By topic: the dump, the history, the journal, each workload, the flags, the claims.
    pub(crate) facts: BTreeMap<String, String>,
}

impl State {
    /// The first thing that differs, in one sentence; none if nothing does.
    pub(crate) fn differs_from(&self, undisturbed: &Self) -> Option<String> {
        if self.reason != undisturbed.reason {
            return Some(format!("ended {}, undisturbed {}", self.reason, undisturbed.reason));
        }
        let topics = self.facts.keys().chain(undisturbed.facts.keys());
        topics.map(|topic| (topic, self.facts.get(topic), undisturbed.facts.get(topic))).find_map(
            |(topic, is, was)| (is != was).then(|| format!("{topic}: {}", first_difference(is, was))),
        )
    }
}

fn first_difference(is: Option<&String>, was: Option<&String>) -> String {
    let (Some(is), Some(was)) = (is, was) else { return format!("{is:?}, undisturbed {was:?}") };
    let (mut is, mut was) = (is.lines(), was.lines());
    loop {
        match (is.next(), was.next()) {
            (a, b) if a != b => {
                return format!("{:?}, undisturbed {:?}", a.unwrap_or("(end)"), b.unwrap_or("(end)"));
            }
            (None, None) => return "the same lines".to_owned(),
            _ => {}
        }
    }
}

#[test]
fn the_first_difference_is_named() {
    let state = |reason: &str, dump: &str| State {
        reason: reason.to_owned(),
        facts: BTreeMap::from([("dump".to_owned(), dump.to_owned())]),
    };
    assert_eq!(state("Succeeded", "a\nb").differs_from(&state("Succeeded", "a\nb")), None);
    let other = state("Succeeded", "a").differs_from(&state("Succeeded", "a\nb"));
    assert_eq!(other.as_deref(), Some(r#"dump: "(end)", undisturbed "b""#));
    let other = state("Held", "a").differs_from(&state("RolledBack", "a"));
    assert_eq!(other.as_deref(), Some("ended Held, undisturbed RolledBack"));
}

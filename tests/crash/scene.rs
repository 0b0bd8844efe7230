//! What acts are walked on.

use crate::act::{Act, Base};
use crate::graph::Graph;
use crate::lane::{CHECKOUT, Lane};
use crate::platform::Demo;
use crate::search::Search;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Which scene an act needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum On {
    /// The demo's platform, with its PostgreSQL.
    Platform,
    /// A Neo4j of the testbed.
    Graph,
    /// An OpenSearch in the cluster.
    Search,
}

impl On {
    /// How many of them there are side by side, where the machine takes `lanes` platforms: a Neo4j takes half a gigabyte, and
    /// an OpenSearch a whole one.
    pub(crate) fn at_most(self, lanes: usize) -> usize {
        match self {
            Self::Platform => lanes,
            Self::Graph => (lanes / 3).clamp(1, 4),
            Self::Search => (lanes / 2).max(1),
        }
    }

    /// One of them, with everything that it needs.
    pub(crate) fn set_up(self, number: usize) -> Box<dyn Scene> {
        match self {
            Self::Platform => Box::new(Demo::set_up(&format!("crash-{number}"))),
            Self::Graph => Box::new(Graph::set_up(number)),
            Self::Search => Box::new(Search::set_up(&format!("crash-search-{number}"))),
        }
    }
}

/// What stands there before an act, and what is there after it.
pub(crate) trait Scene: Send {
    /// Its namespaces and its operator.
    fn lane(&self) -> &Lane;

    /// The name of its target, and what people apply to have it.
    fn target(&self) -> (&'static str, String);

    /// The file of an act, under the lane's names. Its plan is called [`crate::walk::PLAN`].
    fn file(&self, act: &Act) -> String {
        let path = Path::new(CHECKOUT).join("tests/crash/acts").join(act.file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.lane().in_names(&text)
    }

    /// Keeps what is there now as what acts of this base start from, where there is more than one.
    fn keep(&mut self, _: Base) {}

    /// Back to what an act starts from. No operator runs, and no plan is there.
    fn reset(&mut self, base: Base) -> Result<(), String>;

    /// By topic, all that must be as in the undisturbed run. No operator runs.
    fn facts(&self) -> Result<BTreeMap<String, String>, String>;

    /// Takes away what a run that went wrong left, where [`Self::reset`] does not.
    fn scrub(&self) {}
}

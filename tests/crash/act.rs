//! The acts: those of the demo, and for each other engine plans that succeed and that fail (`acts/`).

use crate::scene::On;

/// What the world is before an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    /// The platform as it was set up.
    New,
    /// After act 1.
    Upgraded,
}

/// What a person does once the run of an act has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// It is Held: the loss of data is accepted.
    AcceptsLoss,
    /// It succeeded: it is taken back.
    RollsBack,
}

/// One act.
#[derive(Debug)]
pub(crate) struct Act {
    /// As a visit names it.
    pub(crate) name: &'static str,
    /// What it is walked on.
    pub(crate) on: On,
    /// The file that people apply.
    pub(crate) file: &'static str,
    /// What must be there before.
    pub(crate) base: Base,
    /// What a person does then.
    pub(crate) then: Then,
    /// How its run ends when nobody disturbs it.
    pub(crate) ends: &'static str,
    /// How long its image that never gets ready is waited for; the demo's audience shall see it wait.
    pub(crate) never_ready: Option<&'static str>,
}

impl Act {
    /// Its file as it is applied here.
    pub(crate) fn hastened(&self, file: &str) -> String {
        self.never_ready.map_or_else(|| file.to_owned(), |within| file.replace("readyWithin: 20s", within))
    }
}

/// An act of the demo that starts from the platform after act 1.
const UPGRADED: Act = Act {
    name: "",
    on: On::Platform,
    file: "",
    base: Base::Upgraded,
    then: Then::Nothing,
    ends: "RolledBack",
    never_ready: None,
};

/// How long an image that never gets ready is waited for.
const SHORT: Option<&str> = Some("readyWithin: 5s");

/// An act that starts from its scene as it was set up.
const fn of(on: On, name: &'static str, file: &'static str, ends: &'static str) -> Act {
    Act { name, on, file, base: Base::New, ends, ..UPGRADED }
}

/// The acts that are visited. The first one leads to the base of those that need it.
pub(crate) const ACTS: &[Act] = &[
    of(On::Platform, "act1", "act1.yaml", "Succeeded"),
    Act { name: "act2", file: "act2.yaml", ..UPGRADED },
    Act { name: "act3a", file: "act3a.yaml", never_ready: SHORT, ..UPGRADED },
    Act { name: "act3b", file: "act3b.yaml", then: Then::AcceptsLoss, ..UPGRADED },
    Act { name: "act5", file: "act5.yaml", never_ready: SHORT, ..UPGRADED },
    Act { name: "act6", file: "act6.yaml", then: Then::RollsBack, ..UPGRADED },
    of(On::Graph, "graph", "graph.yaml", "Succeeded"),
    of(On::Graph, "graph-undo", "graph-undo.yaml", "RolledBack"),
    of(On::Search, "search", "search.yaml", "Succeeded"),
    of(On::Search, "search-undo", "search-undo.yaml", "RolledBack"),
    of(On::Search, "search-restore", "search-restore.yaml", "RolledBack"),
];

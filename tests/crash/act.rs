//! The acts of the demo, as they are walked here.

/// What the world is before an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    /// The platform as it was set up.
    New,
    /// After act 1.
    Upgraded,
}

/// One act.
#[derive(Debug)]
pub(crate) struct Act {
    /// As a visit names it.
    pub(crate) name: &'static str,
    /// The file that people apply.
    pub(crate) file: &'static str,
    /// What must be there before.
    pub(crate) base: Base,
    /// Whether a person accepts the loss of data once the run is Held.
    pub(crate) accepts_loss: bool,
    /// How long its image that never gets ready is waited for; the demo's audience shall see it wait.
    pub(crate) never_ready: Option<&'static str>,
}

impl Act {
    /// Its file as it is applied here.
    pub(crate) fn hastened(&self, file: &str) -> String {
        self.never_ready.map_or_else(|| file.to_owned(), |within| file.replace("readyWithin: 20s", within))
    }
}

/// The acts that are visited.
pub(crate) const ACTS: &[Act] = &[
    Act { name: "act1", file: "act1.yaml", base: Base::New, accepts_loss: false, never_ready: None },
    Act { name: "act2", file: "act2.yaml", base: Base::Upgraded, accepts_loss: false, never_ready: None },
    Act {
        name: "act3a",
        file: "act3a.yaml",
        base: Base::Upgraded,
        accepts_loss: false,
        never_ready: Some("readyWithin: 5s"),
    },
    Act { name: "act3b", file: "act3b.yaml", base: Base::Upgraded, accepts_loss: true, never_ready: None },
];

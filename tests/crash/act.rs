//! The acts of the demo, as they are walked here.

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
    /// The file that people apply.
    pub(crate) file: &'static str,
    /// What must be there before.
    pub(crate) base: Base,
    /// What a person does then.
    pub(crate) then: Then,
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
    Act { name: "act1", file: "act1.yaml", base: Base::New, then: Then::Nothing, never_ready: None },
    Act { name: "act2", file: "act2.yaml", base: Base::Upgraded, then: Then::Nothing, never_ready: None },
    Act {
        name: "act3a",
        file: "act3a.yaml",
        base: Base::Upgraded,
        then: Then::Nothing,
        never_ready: Some("readyWithin: 5s"),
    },
    Act {
        name: "act3b",
        file: "act3b.yaml",
        base: Base::Upgraded,
        then: Then::AcceptsLoss,
        never_ready: None,
    },
    Act {
        name: "act5",
        file: "act5.yaml",
        base: Base::Upgraded,
        then: Then::Nothing,
        never_ready: Some("readyWithin: 5s"),
    },
    Act { name: "act6", file: "act6.yaml", base: Base::Upgraded, then: Then::RollsBack, never_ready: None },
];

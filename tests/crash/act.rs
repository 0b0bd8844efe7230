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
}

/// The acts that are visited.
pub(crate) const ACTS: &[Act] = &[
    Act { name: "act1", file: "act1.yaml", base: Base::New, accepts_loss: false },
    Act { name: "act2", file: "act2.yaml", base: Base::Upgraded, accepts_loss: false },
    Act { name: "act3a", file: "act3a.yaml", base: Base::Upgraded, accepts_loss: false },
    Act { name: "act3b", file: "act3b.yaml", base: Base::Upgraded, accepts_loss: true },
];

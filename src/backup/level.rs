//! The ladder of proof.

use serde::{Deserialize, Serialize};

/// What a backup has proven; each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Level {
    /// The files are complete and have the digests they were written with.
    Artifact,
    /// The engine's own reader reads every block, and the data of every table is listed.
    Structure,
    /// A scratch server got it back and holds what the backup's own snapshot held.
    Restored,
}

impl Level {
    /// The word in status and flags.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Artifact => "Artifact",
            Self::Structure => "Structure",
            Self::Restored => "Restored",
        }
    }
}

//! Whether a history's checksum is that of a text. Each tool has its own, and what another tool applied has only that.

use super::{Dialect, Script, http};

/// In front of a checksum that elasticsearch-evolution wrote.
pub const JAVA: &str = "java:";

impl Script {
    /// Whether a history that says `recorded` means this text: by our own checksum, or by that of the tool that applied it.
    pub fn has_checksum(&self, recorded: &str) -> bool {
        recorded == self.checksum || recorded == self.checksum_like(recorded)
    }

    /// The checksum of this text, as the tool counts it that wrote `recorded`.
    pub fn checksum_like(&self, recorded: &str) -> String {
        match self.dialect {
            Dialect::Http if recorded.starts_with(JAVA) => format!("{JAVA}{}", http::java_hash(&self.body)),
            _ => self.checksum.clone(),
        }
    }
}

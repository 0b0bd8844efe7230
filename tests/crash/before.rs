//! The visits that ended well before, in a file: all of them take hours, and nobody makes them in one go.

use crate::visit::Visit;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

/// The file, if `WHIMBREL_CRASH_DONE` names one: a line for each visit. It must be of this very tree, `make crash` names it
/// by the commit.
pub(crate) struct Before {
    file: Option<PathBuf>,
    visits: BTreeSet<String>,
}

impl Before {
    pub(crate) fn read() -> Self {
        let file = std::env::var_os("WHIMBREL_CRASH_DONE").filter(|it| !it.is_empty()).map(PathBuf::from);
        let text = match file.as_ref().map(fs::read_to_string) {
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => {
                panic!("WHIMBREL_CRASH_DONE={}: {error}", file.unwrap_or_default().display())
            }
            Some(Err(_)) | None => String::new(),
        };
        Self { file, visits: text.lines().map(str::to_owned).collect() }
    }

    pub(crate) fn made(&self, visit: &Visit) -> bool {
        self.visits.contains(&visit.to_string())
    }

    /// A visit ended as the undisturbed run did.
    pub(crate) fn keep(&self, visit: &Visit) {
        let Some(file) = &self.file else { return };
        let opened = OpenOptions::new().create(true).append(true).open(file);
        // One write for each line: the lanes share the file.
        let written = opened.and_then(|mut opened| opened.write_all(format!("{visit}\n").as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

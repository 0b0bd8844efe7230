//! How far a history was when it was last read under lock and fence, against what is in it now.
//!
//! A database that was set back to yesterday says that yesterday's scripts are pending. They are not: somebody took them
//! away, and only a person knows whether they are to be applied again.

use super::history_digest;
use crate::script::HistoryRow;

/// How far a history was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark<'a> {
    /// Its rows.
    pub count: usize,
    /// Key of the last one; empty if there was none.
    pub last: &'a str,
    /// Their digest.
    pub digest: &'a str,
}

/// A history that does not extend its watermark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Rows are gone.
    #[error("it has {}, and had {}", rows(*.there, .now), rows(*.then, .last))]
    Behind {
        /// Rows now.
        there: usize,
        /// Key of the last one now.
        now: String,
        /// Rows then.
        then: usize,
        /// Key of the last one then.
        last: String,
    },
    /// Rows are other ones.
    #[error(
        "its first {then} scripts are not those that were there, up to {last}: another order, or another checksum"
    )]
    Different {
        /// Rows then.
        then: usize,
        /// Key of the last one then.
        last: String,
    },
}

impl Lost {
    /// The reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "HistoryLost",
            Self::Different { .. } => "HistoryDrift",
        }
    }
}

impl Watermark<'_> {
    /// How many rows a history has beyond this.
    ///
    /// # Errors
    /// When it does not extend it.
    pub fn extended_by(&self, rows: &[HistoryRow]) -> Result<usize, Lost> {
        let last = || self.last.to_owned();
        match rows.get(..self.count) {
            None => Err(Lost::Behind {
                there: rows.len(),
                now: rows.last().map(|row| row.key.clone()).unwrap_or_default(),
                then: self.count,
                last: last(),
            }),
            Some(same) if history_digest(same) != self.digest => {
                Err(Lost::Different { then: self.count, last: last() })
            }
            Some(_) => Ok(rows.len() - self.count),
        }
    }
}

fn rows(count: usize, last: &str) -> String {
    match count {
        0 => "no script".to_owned(),
        1 => format!("1 script, {last}"),
        _ => format!("{count} scripts, the last {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Dialect, read_bundle};

    fn history(versions: &[u32]) -> Vec<HistoryRow> {
        if versions.is_empty() {
            return Vec::new();
        }
        let files = versions.iter().map(|n| (format!("V{n}__a.sql"), format!("select {n};").into_bytes()));
        let bundle = read_bundle(files.collect(), None, Dialect::Postgresql).unwrap();
        bundle.scripts.iter().zip(1..).map(|(script, rank)| HistoryRow::of(script, rank)).collect()
    }

    fn against(then: &[u32], now: &[u32]) -> Result<usize, String> {
        let then = history(then);
        let (digest, last) =
            (history_digest(&then), then.last().map(|row| row.key.clone()).unwrap_or_default());
        let mark = Watermark { count: then.len(), last: &last, digest: &digest };
        mark.extended_by(&history(now)).map_err(|lost| format!("{}: {lost}", lost.reason()))
    }

    #[test]
    fn a_history_only_ever_grows() {
        assert_eq!(against(&[1, 2], &[1, 2]), Ok(0));
        assert_eq!(against(&[1, 2], &[1, 2, 3, 4]), Ok(2));
        assert_eq!(
            against(&[1, 2, 3], &[1]),
            Err("HistoryLost: it has 1 script, 1, and had 3 scripts, the last 3".into())
        );
        assert_eq!(against(&[7], &[]), Err("HistoryLost: it has no script, and had 1 script, 7".into()));
        assert_eq!(
            against(&[1, 2], &[1, 3, 4]),
            Err("HistoryDrift: its first 2 scripts are not those that were there, up to 2: another order, or another checksum".into())
        );
    }
}

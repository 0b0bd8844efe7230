//! The version of a script: numbers with dots between them, compared number by number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a versioned script, as `12` or `1.2.3`.
///
/// Leading zeros and trailing `.0` parts do not count: `001` is `1`, and `1.0` is `1`. So two files that a person
/// would call "the same version" are never two scripts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Vec<u64>);

/// The text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version: write numbers up to {max} with dots between them, as 12 or 1.2", max = u64::MAX)]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `12`, `1.2` or, as file names have it, `1_2`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let part = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse::<u64>().ok(),
            false => None, // parse() alone would take a sign
        };
        let parts: Option<Vec<u64>> = text.split(['.', '_']).map(part).collect();
        let mut parts = parts.ok_or_else(|| VersionError(text.to_owned()))?;
        while parts.len() > 1 && parts.last() == Some(&0) {
            parts.pop();
        }
        Ok(Version(parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn zeros_do_not_count() {
        for (written, shown) in [("001", "1"), ("1.0", "1"), ("1_02", "1.2"), ("0", "0"), ("1.0.3", "1.0.3")]
        {
            assert_eq!(v(written).to_string(), shown);
        }
        assert_eq!(v("001"), v("1.0.0"));
    }

    #[test]
    fn ordered_by_number_not_by_text() {
        let mut all = ["10", "9", "1.10", "1.9", "1", "20260102030405"].map(v);
        all.sort();
        assert_eq!(all.map(|v| v.to_string()), ["1", "1.9", "1.10", "9", "10", "20260102030405"]);
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "1.", ".1", "1..2", "a", "+1", "-1", "1 ", "18446744073709551616", "1__2"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        assert_eq!(
            "x".parse::<Version>().unwrap_err().to_string(),
            "\"x\" is no version: write numbers up to 18446744073709551615 with dots between them, as 12 or 1.2"
        );
    }

    #[test]
    fn travels_as_text() {
        assert_eq!(serde_json::to_string(&v("001.2")).unwrap(), "\"1.2\"");
        assert_eq!(serde_json::from_str::<Version>("\"1.2\"").unwrap(), v("1.2"));
        assert!(serde_json::from_str::<Version>("\"one\"").is_err());
    }
}

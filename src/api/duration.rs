//! A span of time as users write it: `1h30m`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{borrow::Cow, fmt, str::FromStr, time};

/// A span of time in whole milliseconds, written as `1h30m`, `90s` or `250ms`; `0s` is no time.
///
/// Written back in one spelling (`90m` becomes `1h30m`), so that two spellings of one span give one intentHash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// Hours, minutes, seconds, milliseconds, each at most once and in this order; nine digits keep the sum in range.
const PATTERN: &str = "^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$";
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no duration: write hours, minutes, seconds, milliseconds in this order, such as 1h30m or 90s"
)]
pub struct BadDuration(String);

impl Duration {
    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(time::Duration::from_secs(secs))
    }

    /// The standard library's type.
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Whether this is no time at all; where a field says so, that means "no limit".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<time::Duration> for Duration {
    /// What is below a millisecond is cut.
    fn from(span: time::Duration) -> Self {
        Self(time::Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for Duration {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration(text.to_owned());
        let (mut rest, mut total, mut units) = (text, 0u64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
            // The iterator is not rewound: a unit out of order or written twice is not found any more.
            let (_, millis) = units.find(|(name, _)| *name == unit).ok_or_else(bad)?;
            if number.is_empty() || number.len() > 9 {
                return Err(bad());
            }
            total += number.parse::<u64>().map_err(|_| bad())? * millis;
            rest = &tail[unit.len()..];
        }
        if text.is_empty() {
            return Err(bad());
        }
        Ok(Self(time::Duration::from_millis(total)))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "minLength": 2, "maxLength": 48 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_one_spelling() {
        for (written, shown, millis) in [
            ("0s", "0s", 0),
            ("90m", "1h30m", 5_400_000),
            ("1h30m", "1h30m", 5_400_000),
            ("720h", "720h", 2_592_000_000),
            ("250ms", "250ms", 250),
            ("1m1s1ms", "1m1s1ms", 61_001),
        ] {
            let span: Duration = written.parse().unwrap();
            assert_eq!((span.to_string().as_str(), span.get().as_millis()), (shown, millis), "{written}");
        }
    }

    #[test]
    fn refuses_what_the_schema_refuses() {
        for text in ["", "5", "h", "1m1h", "1s1s", "1d", "-1s", "1.5s", "1234567890s", "5 m", "5é"] {
            assert_eq!(text.parse::<Duration>(), Err(BadDuration(text.to_owned())));
        }
        assert_eq!(
            BadDuration("5".into()).to_string(),
            r#""5" is no duration: write hours, minutes, seconds, milliseconds in this order, such as 1h30m or 90s"#
        );
    }
}

//! Decimal numbers as databases write them, compared exactly: a float would call two large counts equal.

/// A decimal number of at most 19 digits before the point and 18 behind it, in units of 10^-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(i128);

const PLACES: usize = 18;

impl Number {
    /// Reads `12`, `-12.50`; `None` for anything else, `1e9` and `NaN` too.
    pub(super) fn parse(text: &str) -> Option<Number> {
        let (digits, sign) = match text.strip_prefix('-') {
            Some(digits) => (digits, -1),
            None => (text, 1),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str, most| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let sound = plain(whole, 19) && plain(fraction, PLACES);
        sound
            .then(|| format!("{whole}{fraction:0<PLACES$}").parse::<i128>().ok())
            .flatten()
            .map(|n| Number(sign * n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn compared_exactly() {
        assert_eq!(number("5"), number("5.000"));
        assert_eq!(number("-0"), number("0"));
        assert!(number("-2") < number("-1.5"));
        assert!(number("9007199254740993") > number("9007199254740992"));
        assert!(number("0.000000000000000001") > number("0"));
        assert!(number("9223372036854775807") < number("9223372036854775808"));
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e9",
            "NaN",
            "--1",
            "1,5",
            " 1",
            "12345678901234567890",
            "0.1234567890123456789",
        ] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }
}

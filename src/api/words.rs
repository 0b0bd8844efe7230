//! Enums whose variants are words of the API, each spelling written once.

use std::fmt;

/// A word that the API does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {word:?}: one of {}", .known.join(", "))]
pub struct UnknownWord {
    /// The enum that was asked.
    pub what: &'static str,
    /// What was written.
    pub word: String,
    /// What it knows.
    pub known: &'static [&'static str],
}

/// Writes an enum with its spelling, `ALL`, `as_str`, `Display`, `FromStr`, serde and a flat schema.
///
/// A macro, because spelling a word in serde, in the schema, in `Display` and in a drift test separately is how they
/// come apart. A variant is spelled as it is named, or as the text after `=`.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident $(= $text:literal)?),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every variant, in the order of the definition.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            const WORDS: &'static [&'static str] = &[$($crate::api::words::word!($variant $($text)?)),+];

            /// The word as users write and read it.
            pub const fn as_str(self) -> &'static str { Self::WORDS[self as usize] }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::api::words::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|w| w.as_str() == word).ok_or_else(|| {
                    $crate::api::words::UnknownWord {
                        what: stringify!($name), word: word.to_owned(), known: Self::WORDS,
                    }
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str($crate::api::words::WordVisitor(std::marker::PhantomData))
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}

macro_rules! word {
    ($variant:ident) => {
        stringify!($variant)
    };
    ($variant:ident $text:literal) => {
        $text
    };
}

pub(crate) use {word, words};

/// Reads one word by its `FromStr`.
pub(crate) struct WordVisitor<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: std::str::FromStr<Err = UnknownWord>> serde::de::Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<T, E> {
        word.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    words! {
        /// For the test.
        enum Colour { Red, DarkBlue = "dark-blue" }
    }

    #[test]
    fn one_spelling_everywhere() {
        assert_eq!(Colour::DarkBlue.to_string(), "dark-blue");
        assert_eq!("dark-blue".parse(), Ok(Colour::DarkBlue));
        assert_eq!(serde_json::to_string(&Colour::ALL).unwrap(), r#"["Red","dark-blue"]"#);
        assert_eq!(serde_json::from_str::<Colour>(r#""Red""#).unwrap(), Colour::Red);
        assert_eq!(schemars::schema_for!(Colour).as_value()["enum"], serde_json::json!(["Red", "dark-blue"]));
    }

    #[test]
    fn an_unknown_word_names_what_is_known() {
        let error = "Green".parse::<Colour>().unwrap_err();
        assert_eq!(error.to_string(), r#"unknown Colour "Green": one of Red, dark-blue"#);
    }
}

//! PackStream, the encoding of Bolt: values to bytes and back.

use std::collections::BTreeMap;

/// A value of Cypher, as far as it travels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// Nodes, points in time, messages: a tag and fields.
    Struct(u8, Vec<Value>),
}

/// Lists in lists deeper than this are no answer of a server in its right mind.
const DEEPEST: usize = 100;

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn map<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub(super) fn number(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// Texts of a list of texts.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::List(values) => {
                values.iter().filter_map(|value| value.as_text().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0xc0),
            Self::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
            Self::Int(number) => encode_int(*number, out),
            Self::Float(number) => {
                out.push(0xc1);
                out.extend(number.to_be_bytes());
            }
            Self::Text(text) => {
                length(out, text.len(), Some(0x80), [0xd0, 0xd1, 0xd2]);
                out.extend(text.as_bytes());
            }
            Self::Bytes(bytes) => {
                length(out, bytes.len(), None, [0xcc, 0xcd, 0xce]);
                out.extend(bytes);
            }
            Self::List(values) => {
                length(out, values.len(), Some(0x90), [0xd4, 0xd5, 0xd6]);
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Map(map) => {
                length(out, map.len(), Some(0xa0), [0xd8, 0xd9, 0xda]);
                for (key, value) in map {
                    Self::text(key.as_str()).encode(out);
                    value.encode(out);
                }
            }
            Self::Struct(tag, fields) => {
                // A structure has at most 15 fields; ours have three.
                out.push(0xb0 | u8::try_from(fields.len() & 0x0f).unwrap_or(0));
                out.push(*tag);
                fields.iter().for_each(|field| field.encode(out));
            }
        }
    }

    /// Reads one value that is all of `bytes`; `None` if they are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        let value = reader.value(0)?;
        reader.bytes.is_empty().then_some(value)
    }
}

/// Values one after the other, up to what is none.
pub(super) fn sequence(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader { bytes };
    std::iter::from_fn(|| reader.value(0)).collect()
}

fn encode_int(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number) {
        if small < -16 {
            out.push(0xc8);
        }
        out.extend(small.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xc9);
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xca);
        out.extend(number.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(number.to_be_bytes());
    }
}

fn length(out: &mut Vec<u8>, length: usize, tiny: Option<u8>, markers: [u8; 3]) {
    if let (Some(tiny), true) = (tiny, length < 16) {
        out.push(tiny | u8::try_from(length).unwrap_or(0));
    } else if let Ok(length) = u8::try_from(length) {
        out.extend([markers[0], length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(markers[1]);
        out.extend(length.to_be_bytes());
    } else {
        out.push(markers[2]);
        // Scripts are bounded far below.
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let marker = *self.take(1)?.first()?;
        Some(match marker {
            0x00..=0x7f | 0xf0..=0xff => Value::Int(i64::from(marker.cast_signed())),
            0x80..=0x8f => self.text(usize::from(marker & 0x0f))?,
            0x90..=0x9f => self.list(usize::from(marker & 0x0f), depth)?,
            0xa0..=0xaf => self.map(usize::from(marker & 0x0f), depth)?,
            0xb0..=0xbf => {
                let tag = *self.take(1)?.first()?;
                let fields = (0..marker & 0x0f).map(|_| self.value(depth + 1)).collect::<Option<_>>()?;
                Value::Struct(tag, fields)
            }
            0xc0 => Value::Null,
            0xc1 => Value::Float(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc8 => Value::Int(i64::from(i8::from_be_bytes(self.take(1)?.try_into().ok()?))),
            0xc9 => Value::Int(i64::from(i16::from_be_bytes(self.take(2)?.try_into().ok()?))),
            0xca => Value::Int(i64::from(i32::from_be_bytes(self.take(4)?.try_into().ok()?))),
            0xcb => Value::Int(i64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            0xcc..=0xce => {
                let size = self.size(marker - 0xcc)?;
                Value::Bytes(self.take(size)?.to_vec())
            }
            0xd0..=0xd2 => {
                let size = self.size(marker - 0xd0)?;
                self.text(size)?
            }
            0xd4..=0xd6 => {
                let size = self.size(marker - 0xd4)?;
                self.list(size, depth)?
            }
            0xd8..=0xda => {
                let size = self.size(marker - 0xd8)?;
                self.map(size, depth)?
            }
            _ => return None,
        })
    }

    /// A length of one, two or four bytes.
    fn size(&mut self, width: u8) -> Option<usize> {
        let bytes = self.take(1 << width)?;
        Some(bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
    }

    fn text(&mut self, size: usize) -> Option<Value> {
        Some(Value::Text(String::from_utf8_lossy(self.take(size)?).into_owned()))
    }

    fn list(&mut self, size: usize, depth: usize) -> Option<Value> {
        Some(Value::List((0..size).map(|_| self.value(depth + 1)).collect::<Option<_>>()?))
    }

    fn map(&mut self, size: usize, depth: usize) -> Option<Value> {
        let mut map = BTreeMap::new();
        for _ in 0..size {
            let Value::Text(key) = self.value(depth + 1)? else { return None };
            map.insert(key, self.value(depth + 1)?);
        }
        Some(Value::Map(map))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn golden() {
        // From the specification of PackStream.
        for (value, bytes) in [
            (Value::Int(42), vec![0x2a]),
            (Value::Int(-16), vec![0xf0]),
            (Value::Int(-17), vec![0xc8, 0xef]),
            (Value::Int(128), vec![0xc9, 0x00, 0x80]),
            (Value::Int(i64::MIN), vec![0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            (Value::Float(1.23), vec![0xc1, 0x3f, 0xf3, 0xae, 0x14, 0x7a, 0xe1, 0x47, 0xae]),
            (Value::text("A"), vec![0x81, 0x41]),
            (Value::text("Größenmaßstäbe"), {
                let mut bytes = vec![0xd0, 0x12];
                bytes.extend("Größenmaßstäbe".as_bytes());
                bytes
            }),
            (Value::List(vec![Value::Int(1), Value::Null]), vec![0x92, 0x01, 0xc0]),
            (
                Value::map([("one", Value::text("eins"))]),
                vec![0xa1, 0x83, b'o', b'n', b'e', 0x84, b'e', b'i', b'n', b's'],
            ),
            (Value::Struct(0x0f, vec![]), vec![0xb0, 0x0f]),
        ] {
            assert_eq!(encoded(&value), bytes, "{value:?}");
            assert_eq!(Value::decode(&bytes), Some(value));
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9).prop_map(Value::Float),
            "\\PC{0,40}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 32, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
                prop::collection::btree_map("[a-z]{0,20}", inner.clone(), 0..20).prop_map(Value::Map),
                (any::<u8>(), prop::collection::vec(inner, 0..16))
                    .prop_map(|(tag, fields)| Value::Struct(tag, fields)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(value in any_value()) {
            prop_assert_eq!(Value::decode(&encoded(&value)), Some(value));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Value::decode(&bytes);
        }
    }
}

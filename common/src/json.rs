//! JSON read without losing a byte: an object as its members' exact text.

mod meaning;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

pub use meaning::same_meaning;

/// The members of a JSON object in their order, each value as the exact text it was sent as.
///
/// Repeated names are kept; [`RawObject::take`] reports them.
#[derive(Debug)]
pub struct RawObject<'a>(pub Vec<(String, &'a RawValue)>);

/// A member occurs more than once: which of them was meant cannot be known (RFC 8259, section 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member {0:?} occurs more than once")]
pub struct Repeated(pub String);

impl<'a> RawObject<'a> {
    /// Takes the member `name` out.
    ///
    /// # Errors
    /// Where it occurs more than once.
    pub fn take(&mut self, name: &str) -> Result<Option<&'a RawValue>, Repeated> {
        let Some(at) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(key, _)| key == name) {
            Err(Repeated(name.to_owned()))
        } else {
            Ok(Some(value))
        }
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A JSON text as a value, whatever its members are called.
///
/// `serde_json`'s own `Value` takes an object whose first member has a certain private name for
/// something else (its `raw_value` feature), so that hostile input could be checked as one thing
/// and kept as another. This reads every object as an object.
///
/// # Errors
/// Where the text is no JSON, is nested deeper than 128, or holds a number beyond a double's range.
pub fn value(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).map(|Plain(value)| value)
}

struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Plain)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Value, S::Error> {
        let mut list = Vec::new();
        while let Some(Plain(element)) = seq.next_element()? {
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Plain(member))) = map.next_entry()? {
            object.insert(name, member);
        }
        Ok(object.into())
    }
}

/// The text of a JSON string value, or `None` where the value is something else.
#[must_use]
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// `text` cut to at most `max` bytes at a character's border, with an ellipsis where it was longer.
#[must_use]
pub fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let cut = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_exact_text() {
        let mut object: RawObject<'_> = serde_json::from_str(r#"{"a": 1.0 , "b":[ 1,2 ],"a":2}"#).unwrap();
        assert_eq!(object.take("b").unwrap().unwrap().get(), "[ 1,2 ]");
        assert_eq!(object.take("a").unwrap_err(), Repeated("a".to_owned()));
        assert!(object.take("c").unwrap().is_none());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("äöü", 3), "ä…");
        assert_eq!(shorten("abc", 3), "abc");
    }
}

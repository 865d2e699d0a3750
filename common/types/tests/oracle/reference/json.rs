//! Lossless reading of JSON: an object as the exact text of its members.

mod bounded;
mod equivalence;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use bounded::{MAX_VALUES, value};
pub(crate) use equivalence::is_equivalent;

/// The members of a JSON object in their order, each value as the exact text it was sent as.
///
/// Repeated names are kept; [`RawObject::take`] reports them. Reading an object of more than [`MAX_VALUES`] members
/// fails with an error of the category `Data`.
#[derive(Debug)]
pub(crate) struct RawObject<'a>(pub Vec<(String, &'a RawValue)>);

/// An object has more than [`MAX_VALUES`] members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {MAX_VALUES} members, the limit")]
pub(crate) struct TooManyMembers;

/// A member occurs more than once, so its value is not defined (RFC 8259, section 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member {0:?} occurs more than once")]
pub(crate) struct RepeatedMember(pub String);

impl<'a> RawObject<'a> {
    /// Removes the member `name` and returns its value.
    ///
    /// # Errors
    /// Returns [`RepeatedMember`] if it occurs more than once.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<&'a RawValue>, RepeatedMember> {
        let Some(at) = self.0.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(key, _)| key == name) {
            Err(RepeatedMember(name.to_owned()))
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
                    if members.len() == MAX_VALUES {
                        return Err(M::Error::custom(TooManyMembers));
                    }
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The text of a JSON string value; `None` if the value is not a string.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// `text` as JSON text.
///
/// # Panics
/// Never: the JSON text of a string is JSON.
pub(crate) fn quoted(text: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::Value::from(text).to_string())
        .expect("a string's JSON text is JSON")
}

/// `text` cut to at most `max` bytes at a character's border, with an ellipsis if it was longer.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let cut = (0..=max)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &text[..cut])
}

//! Lossless reading of JSON: an object as the exact text of its members.

mod borrowed;
mod equivalence;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

pub use borrowed::{
    BorrowedMember, BorrowedObject, BorrowedText, BorrowedValue, MAX_VALUES, borrowed,
};
pub use equivalence::is_equivalent;

/// The members of a JSON object in their order, each value as the exact text it was sent as.
///
/// Repeated names are kept; [`RawObject::take`] reports them. Reading an object of more than [`MAX_VALUES`] members
/// fails with an error of the category `Data`.
#[derive(Debug)]
pub struct RawObject<'a>(pub Vec<(String, &'a RawValue)>);

/// An object has more than [`MAX_VALUES`] members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {MAX_VALUES} members, the limit")]
pub struct TooManyMembers;

/// A member occurs more than once, so its value is not defined (RFC 8259, section 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member {0:?} occurs more than once")]
pub struct RepeatedMember(pub String);

impl<'a> RawObject<'a> {
    /// Removes the member `name` and returns its value.
    ///
    /// # Errors
    /// Returns [`RepeatedMember`] if it occurs more than once.
    pub fn take(&mut self, name: &str) -> Result<Option<&'a RawValue>, RepeatedMember> {
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

/// A JSON text as a value of its own, read as [`borrowed`] reads it.
///
/// # Errors
/// Returns what [`borrowed`] returns.
pub fn value(text: &str) -> Result<Value, serde_json::Error> {
    borrowed(text).map(|read| read.value.into_value())
}

/// The text of a JSON string value; `None` if the value is not a string.
#[must_use]
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// `text` with the sign for NUL in place of each NUL: Postgres takes none in a text column (its documentation, 8.3).
#[must_use]
pub fn replace_nul(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// `text` as JSON text.
///
/// # Panics
/// Never: the JSON text of a string is JSON.
#[must_use]
pub fn quoted(text: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::Value::from(text).to_string())
        .expect("a string's JSON text is JSON")
}

/// `text` cut to at most `max` bytes at a character's border, with an ellipsis if it was longer.
#[must_use]
pub fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let cut = (0..=max)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_exact_text() {
        let mut object: RawObject<'_> =
            serde_json::from_str(r#"{"a": 1.0 , "b":[ 1,2 ],"a":2}"#).unwrap();
        assert_eq!(object.take("b").unwrap().unwrap().get(), "[ 1,2 ]");
        assert_eq!(
            object.take("a").unwrap_err(),
            RepeatedMember("a".to_owned())
        );
        assert!(object.take("c").unwrap().is_none());
    }

    #[test]
    fn an_object_has_so_many_members_and_no_more() {
        let object = |count: usize| format!("{{{}}}", vec!["\"\":0"; count].join(","));
        let text = object(MAX_VALUES);
        assert_eq!(
            serde_json::from_str::<RawObject<'_>>(&text)
                .unwrap()
                .0
                .len(),
            MAX_VALUES
        );
        let error = serde_json::from_str::<RawObject<'_>>(&object(MAX_VALUES + 1)).unwrap_err();
        assert!(
            error.is_data() && error.to_string().starts_with(&TooManyMembers.to_string()),
            "{error}"
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("äöü", 3), "ä…");
        assert_eq!(shorten("abc", 3), "abc");
    }

    #[test]
    fn a_nul_is_replaced_by_its_sign() {
        assert_eq!(replace_nul("a\0b\0"), "a\u{2400}b\u{2400}");
    }
}

//! One event as it was sent: its exact bytes, and the few members every stage reads.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::is_id;
use crate::json;

/// The members of an event that are not its data, each as the exact text it was sent as.
///
/// Stored events are read through this type. Admission reads the same members of the value that it validates, and asks
/// this type what is wrong where it cannot: so they do not disagree on the identity of an event (`tests/oracle/`).
/// A repeated member is an error, because nothing tells which of them was meant.
#[derive(Debug, Deserialize)]
pub struct EventHead<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    schema_version: Option<&'a RawValue>,
}

impl<'a> EventHead<'a> {
    /// Reads the head of the event `text`.
    ///
    /// # Errors
    /// Returns a [`serde_json::Error`] if `text` is not a JSON object, or repeats one of the members.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        // Derived code would also read an array, as the members in their order.
        if !text.trim_start().starts_with('{') {
            return Err(serde::de::Error::custom("an event must be a JSON object"));
        }
        serde_json::from_str(text)
    }

    /// The head of an event's stored bytes; `None` if they are not a JSON object, or repeat a member.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        Self::parse(std::str::from_utf8(bytes).ok()?).ok()
    }

    /// The id; `None` if it is missing or not usable (1 to 128 characters from 0x21 to 0x7E).
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.id.and_then(json::string).filter(|id| is_id(id))
    }

    /// The type; `None` if it is missing or not a string.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        self.kind.and_then(json::string)
    }

    /// The time that the event claims; `None` if it is missing or not a string.
    #[must_use]
    pub fn occurred_at(&self) -> Option<String> {
        self.occurred_at.and_then(json::string)
    }

    /// The event's own schema version: `Ok(None)` if it names none.
    ///
    /// # Errors
    /// Returns [`NotAString`] if the member is anything but a string.
    pub fn schema_version(&self) -> Result<Option<String>, NotAString> {
        self.schema_version
            .map(|value| json::string(value).ok_or(NotAString))
            .transpose()
    }
}

/// A member that must be a string is of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a string")]
pub struct NotAString;

/// BLAKE3 of an event's exact bytes.
#[must_use]
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_a_repeated_member_is_refused() {
        let head =
            EventHead::parse(r#"{"id":"e1","type":"heartbeat","data":{"id":1},"x":[]}"#).unwrap();
        assert_eq!(
            (head.id().as_deref(), head.kind().as_deref()),
            (Some("e1"), Some("heartbeat"))
        );
        assert_eq!(head.schema_version(), Ok(None));
        assert!(EventHead::parse(r#"{"id":"e1","id":"e2"}"#).is_err());
        for other in [
            "[1]",
            r#"["x","t","o","1.0"]"#,
            " [\"x\",\"t\",\"o\",\"1.0\"]",
            "7",
            "null",
            r#""x""#,
        ] {
            assert!(EventHead::parse(other).is_err(), "{other}");
        }
        assert!(EventHead::parse(" \n{}").is_ok());
        assert!(
            EventHead::of(b"{\"id\":\"e1\"}").is_some()
                && EventHead::of(b"{\"id\":\"e1\",\"x\":\"\xff\"}").is_none()
        );
        assert_eq!(EventHead::parse(r#"{"id":" "}"#).unwrap().id(), None);
        assert_eq!(
            EventHead::parse(r#"{"schema_version":1}"#)
                .unwrap()
                .schema_version(),
            Err(NotAString)
        );
    }
}

//! One event as it was sent: its exact bytes, and the few members every stage reads.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::reference::id::is_id;
use crate::reference::json;

/// The members of an event that are not its data, each as the exact text it was sent as.
///
/// Admission and persisting both read events through this type, so they cannot disagree on the identity of an event.
/// A repeated member is an error, because nothing tells which of them was meant.
#[derive(Debug, Deserialize)]
pub(crate) struct EventHead<'a> {
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
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        // Derived code would also read an array, as the members in their order.
        if !text.trim_start().starts_with('{') {
            return Err(serde::de::Error::custom("an event must be a JSON object"));
        }
        serde_json::from_str(text)
    }

    /// The id; `None` if it is missing or not usable (1 to 128 characters from 0x21 to 0x7E).
    pub(crate) fn id(&self) -> Option<String> {
        self.id.and_then(json::string).filter(|id| is_id(id))
    }

    /// The type; `None` if it is missing or not a string.
    pub(crate) fn kind(&self) -> Option<String> {
        self.kind.and_then(json::string)
    }

    /// The time that the event claims; `None` if it is missing or not a string.
    pub(crate) fn occurred_at(&self) -> Option<String> {
        self.occurred_at.and_then(json::string)
    }

    /// The event's own schema version: `Ok(None)` if it names none.
    ///
    /// # Errors
    /// Returns [`NotAString`] if the member is anything but a string.
    pub(crate) fn schema_version(&self) -> Result<Option<String>, NotAString> {
        self.schema_version
            .map(|value| json::string(value).ok_or(NotAString))
            .transpose()
    }
}

/// A member that must be a string is of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a string")]
pub(crate) struct NotAString;

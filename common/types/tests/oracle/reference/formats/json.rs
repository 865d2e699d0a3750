//! Bodies that are JSON from their first byte to their last.

use std::fmt;

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::reference::json::TooManyMembers;

use super::submission::{BadEnvelope, BatchRequest, invalid};

/// The body as text.
pub(crate) fn text(body: &[u8]) -> Result<&str, BadEnvelope> {
    std::str::from_utf8(body)
        .map_err(|error| BadEnvelope::Malformed(format!("The body is not UTF-8: {error}.")))
}

/// Why `serde_json` could not read a body: no JSON, or JSON of another shape than `wanted`.
pub(crate) fn unreadable(error: &serde_json::Error, wanted: &str) -> BadEnvelope {
    match error.classify() {
        serde_json::error::Category::Data => invalid("", format!("The body must be {wanted}.")),
        _ => BadEnvelope::Malformed(format!("The body is no JSON: {error}.")),
    }
}

/// A body that is an object.
pub(crate) fn object<'a>(
    request: &BatchRequest<'_, 'a>,
    wanted: &str,
) -> Result<&'a RawValue, BadEnvelope> {
    let one: &RawValue =
        serde_json::from_str(text(request.body)?).map_err(|error| unreadable(&error, wanted))?;
    match one.get().starts_with('{') {
        true => Ok(one),
        false => Err(invalid("", format!("The body must be {wanted}."))),
    }
}

/// The elements of a body that is an array, at least one and not more than are taken.
pub(crate) fn elements<'a>(
    request: &BatchRequest<'_, 'a>,
    wanted: &str,
) -> Result<Vec<&'a RawValue>, BadEnvelope> {
    let elements = list(text(request.body)?, request.max_events)
        .map_err(|error| unreadable(&error, wanted))?;
    match elements.count {
        0 => Err(invalid("", "The body must hold at least one event.")),
        count if count > request.max_events => Err(BadEnvelope::TooManyEvents(count)),
        _ => Ok(elements.first),
    }
}

/// The elements of an array.
pub(crate) struct Elements<'a> {
    /// As many as are taken: of millions, none but these is held.
    pub(crate) first: Vec<&'a RawValue>,
    /// How many there are.
    pub(crate) count: usize,
}

/// Reads an array of which at most `max` elements are taken.
pub(crate) fn list(text: &str, max: usize) -> serde_json::Result<Elements<'_>> {
    struct List(usize);
    impl<'de> Visitor<'de> for List {
        type Value = Elements<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Elements<'de>, S::Error> {
            let mut elements = Elements {
                first: Vec::new(),
                count: 0,
            };
            while let Some(element) = seq.next_element::<&RawValue>()? {
                elements.count += 1;
                if elements.count <= self.0 {
                    elements.first.push(element);
                }
            }
            Ok(elements)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = reader.deserialize_seq(List(max))?;
    reader.end()?;
    Ok(elements)
}

/// Why the text of an object could not be read as a [`RawObject`](crate::reference::json::RawObject).
pub(crate) fn bad_object(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => TooManyMembers.to_string(),
        _ => "the name of a member is no Unicode text".to_owned(),
    }
}

//! Bodies that are JSON from their first byte to their last.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{MAX_VALUES, RawObject, RepeatedMember, TooManyMembers};

use super::submission::{BadEnvelope, BatchRequest, invalid};

/// The body as text.
pub fn text(body: &[u8]) -> Result<&str, BadEnvelope> {
    std::str::from_utf8(body)
        .map_err(|error| BadEnvelope::Malformed(format!("The body is not UTF-8: {error}.")))
}

/// Why `serde_json` could not read a body: no JSON, or JSON of another shape than `wanted`.
pub fn unreadable(error: &serde_json::Error, wanted: &str) -> BadEnvelope {
    match error.classify() {
        serde_json::error::Category::Data => invalid("", format!("The body must be {wanted}.")),
        _ => BadEnvelope::Malformed(format!("The body is no JSON: {error}.")),
    }
}

/// A body that is an object.
pub fn object<'a>(
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
pub fn elements<'a>(
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
pub struct Elements<'a> {
    /// As many as are taken: of millions, none but these is held.
    pub first: Vec<&'a RawValue>,
    /// How many there are.
    pub count: usize,
}

/// Reads an array of which at most `max` elements are taken.
pub fn list(text: &str, max: usize) -> serde_json::Result<Elements<'_>> {
    read(text, List { max })
}

/// The members of an object, its `events` apart.
pub struct Envelope<'a> {
    /// All but `events`.
    pub members: RawObject<'a>,
    /// `None` if there is no such member.
    pub events: Option<Elements<'a>>,
}

/// Reads an object in one scan, its `events` as an array of which at most `max` elements are taken.
///
/// Fails if `events` is no array, occurs twice, or there are too many members.
pub fn envelope(text: &str, max: usize) -> serde_json::Result<Envelope<'_>> {
    read(text, EnvelopeOf { max })
}

fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> serde_json::Result<S::Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads an array.
struct List {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Elements<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut elements = Elements {
            first: Vec::new(),
            count: 0,
        };
        while let Some(element) = seq.next_element::<&RawValue>()? {
            elements.count += 1;
            if elements.count <= self.max {
                elements.first.push(element);
            }
        }
        Ok(elements)
    }
}

/// Reads an envelope.
struct EnvelopeOf {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for EnvelopeOf {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeOf {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::with_capacity(8);
        let mut events = None;
        while let Some(name) = map.next_key::<String>()? {
            if members.len() + usize::from(events.is_some()) == MAX_VALUES {
                return Err(M::Error::custom(TooManyMembers));
            }
            if name != "events" {
                members.push((name, map.next_value()?));
                continue;
            }
            let read = map.next_value_seed(List { max: self.max })?;
            if events.replace(read).is_some() {
                return Err(M::Error::custom(RepeatedMember(name)));
            }
        }
        Ok(Envelope {
            members: RawObject(members),
            events,
        })
    }
}

/// Why the text of an object could not be read as a [`RawObject`](crate::json::RawObject).
pub fn bad_object(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => TooManyMembers.to_string(),
        _ => "the name of a member is no Unicode text".to_owned(),
    }
}

//! The verdict on each event: its id, its schema, its time, and which event of the batch has its id first.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::batch::EventMetadata;
use crate::event::{EventHead, NotAString};
use crate::formats::{Format, ParsedEvent, Refusal};
use crate::id::is_id;
use crate::json::{self, BorrowedValue, shorten};
use crate::schema::{SchemaLookup, SchemaViolation, Schemas};
use crate::time::{self, Micros};
use crate::verdict::Code;

/// What the events of one batch are validated against, at receipt or re-evaluated at any later time.
pub struct EventValidator<'a> {
    /// The schemas that are known.
    pub schemas: &'a Schemas,
    /// What they were sent in: refusals name places by its words.
    pub format: Format,
    /// The envelope's schema version, for events that name none.
    pub schema_version: &'a str,
    /// How far the client's clock was ahead; see [`time::skew`].
    pub skew: Micros,
    /// When the batch was received.
    pub received_at: Micros,
    /// The zone that local days are taken in: the client's, else the developer's.
    pub zone: Option<TimeZone>,
}

/// What an event is stored under.
struct ValidEvent<'a> {
    id: Cow<'a, str>,
    effective_at: Micros,
    /// `YYYY-MM-DD`.
    local_day: String,
}

impl From<SchemaViolation> for Refusal {
    fn from(violation: SchemaViolation) -> Self {
        Self {
            code: Code::SchemaInvalid,
            pointer: violation.pointer,
            detail: violation.detail,
        }
    }
}

impl EventValidator<'_> {
    /// One note an event, in their order.
    pub fn validate_all<'e>(&self, events: &'e [ParsedEvent<'e>]) -> Vec<EventMetadata> {
        let mut first_of_id: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(events.len());
        let note_of = |(index, event): (usize, &'e ParsedEvent<'e>)| {
            let mut note = EventMetadata {
                len: event.bytes().len() as u32,
                ..EventMetadata::default()
            };
            let validated = match event {
                ParsedEvent::Text(text) => {
                    self.validate(text).map_err(|refusal| self.as_sent(refusal))
                }
                ParsedEvent::Refused(_, refusal) => Err(refusal.clone()),
            };
            match validated {
                Err(refusal) => {
                    note.code = Some(refusal.code);
                    note.pointer = Some(refusal.pointer);
                    note.detail = Some(refusal.detail);
                }
                Ok(valid) => {
                    note.at = Some(valid.effective_at);
                    note.day = Some(valid.local_day);
                    let first = *first_of_id.entry(valid.id).or_insert(index);
                    if first != index {
                        repeated(&mut note, first, event.bytes(), events[first].bytes());
                    }
                }
            }
            note
        };
        events.iter().enumerate().map(note_of).collect()
    }

    /// Names the place by the sender's words.
    fn as_sent(&self, refusal: Refusal) -> Refusal {
        Refusal {
            pointer: self.format.as_sent(refusal.pointer),
            ..refusal
        }
    }

    fn validate<'a>(&self, text: &'a str) -> Result<ValidEvent<'a>, Refusal> {
        if !text.starts_with('{') {
            return Err(Refusal::new(
                Code::NotAnObject,
                "",
                "an event must be a JSON object",
            ));
        }
        let event = read(text)?;
        let id = text_of(&event, "id")
            .filter(|id| is_id(id))
            .ok_or_else(|| {
                Refusal::new(
                    Code::IdInvalid,
                    "/id",
                    "id must be a string of 1 to 128 characters from 0x21 to 0x7E",
                )
            })?;
        let version = match member(&event, "schema_version") {
            None => self.schema_version,
            Some(version) => version.as_text().ok_or_else(|| {
                let detail = format!("schema_version {NotAString}");
                Refusal::new(Code::SchemaInvalid, "/schema_version", detail)
            })?,
        };
        let kind = text_of(&event, "type")
            .ok_or_else(|| Refusal::new(Code::SchemaInvalid, "/type", "type must be a string"))?;
        let found = self.schemas.find(kind, version);
        let (schema, newer) = match found {
            SchemaLookup::Known(schema) => (schema, false),
            SchemaLookup::NewerMinor(schema) => (schema, true),
            SchemaLookup::UnknownType => {
                let detail = format!(
                    "no schema of version {} knows the type {:?}",
                    shorten(version, 32),
                    shorten(kind, 64)
                );
                return Err(Refusal::new(Code::TypeUnknown, "/type", detail));
            }
            SchemaLookup::UnsupportedVersion => return Err(unsupported(version, None)),
        };
        let occurred_at = text_of(&event, "occurred_at").map(|text| &**text);
        let written = occurred_at.and_then(time::parse_rfc3339).ok_or_else(|| {
            Refusal::new(
                Code::TimeInvalid,
                "/occurred_at",
                "occurred_at must be an RFC 3339 time with an offset or Z",
            )
        })?;
        match schema.check(&event) {
            Err(violation) if newer => return Err(unsupported(version, Some(violation))),
            checked => checked?,
        }
        let at = written.at.map(|at| at.saturating_sub(self.skew));
        let at = at
            .filter(|at| time::plausible(*at, self.received_at))
            .ok_or_else(|| {
                let detail =
                    "the effective time is before 2000 or more than 24 hours after receipt";
                Refusal::new(Code::TimeImplausible, "/occurred_at", detail)
            })?;
        Ok(ValidEvent {
            id: id.clone(),
            effective_at: at,
            local_day: time::local_day(at, self.zone.as_ref(), written.offset),
        })
    }
}

/// Reads an event, whose members beside its data must each occur once: nothing tells which of two was meant.
fn read(text: &str) -> Result<BorrowedValue<'_>, Refusal> {
    let read = match json::borrowed(text) {
        Ok(read) if !read.has_repeated => return Ok(read.value),
        read => read,
    };
    // Rare: the reader of stored events says what it would find wrong.
    let reads = EventHead::parse(text).and(read);
    reads
        .map(|read| read.value)
        .map_err(|error| unreadable(text, &error))
}

fn unreadable(text: &str, error: &serde_json::Error) -> Refusal {
    // Only a line of NDJSON can be no JSON at all.
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => {
            let detail = shorten(&format!("the event cannot be read: {error}"), 200);
            Refusal::new(Code::SchemaInvalid, "", detail)
        }
        Err(error) => {
            let detail = shorten(&format!("the event is no JSON: {error}"), 200);
            Refusal::new(Code::NotAnObject, "", detail)
        }
    }
}

/// A member of an event; `null` counts as absent, as [`EventHead`] has it.
fn member<'v, 'a>(event: &'v BorrowedValue<'a>, name: &str) -> Option<&'v BorrowedValue<'a>> {
    let value = event.as_object()?.get(name)?;
    (*value != BorrowedValue::Null).then_some(value)
}

fn text_of<'v, 'a>(event: &'v BorrowedValue<'a>, name: &str) -> Option<&'v Cow<'a, str>> {
    member(event, name)?.as_text()
}

fn unsupported(version: &str, violation: Option<SchemaViolation>) -> Refusal {
    let version = shorten(version, 32);
    match violation {
        None => {
            let detail = format!("schema version {version:?} is not supported");
            Refusal::new(Code::SchemaVersionUnsupported, "/schema_version", detail)
        }
        Some(violation) => {
            let detail = format!(
                "schema version {version:?} is newer and does not fit the newest known: {}",
                violation.detail
            );
            Refusal::new(Code::SchemaVersionUnsupported, &violation.pointer, detail)
        }
    }
}

/// An earlier event of the batch has the id: the same again, or another one.
fn repeated(note: &mut EventMetadata, first: usize, event: &[u8], earlier: &[u8]) {
    let same = event == earlier || json::is_equivalent(event, earlier);
    note.original = Some(first as u32);
    note.code = Some(if same {
        Code::DuplicateId
    } else {
        Code::IdConflict
    });
    if !same {
        note.pointer = Some("/id".to_owned());
        note.detail = Some(format!(
            "event {first} of the batch holds the id with other content"
        ));
    }
}

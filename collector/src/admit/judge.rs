//! The verdict on each event: its id, its schema, its time, and who holds its id in the batch.

use std::collections::HashMap;

use common::batch::Note;
use common::clock::{self, Micros};
use common::event::Head;
use common::json::{self, shorten};
use common::schema::{Found, Misfit, Schemas};
use common::verdict::Code;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

/// What the events of one batch are judged by, at its receipt or again at any later time.
pub struct Judge<'a> {
    /// The schemas that are known.
    pub schemas: &'a Schemas,
    /// The envelope's schema version, for events that name none.
    pub schema_version: &'a str,
    /// How far the client's clock was ahead; see [`clock::skew`].
    pub skew: Micros,
    /// When the batch was received.
    pub received_at: Micros,
    /// The client's zone.
    pub zone: Option<TimeZone>,
}

/// Why an event is refused, as far as that is known.
struct Refusal {
    code: Code,
    pointer: Option<String>,
    detail: Option<String>,
}

fn refusal(code: Code, pointer: &str, detail: impl Into<String>) -> Refusal {
    Refusal { code, pointer: Some(pointer.to_owned()), detail: Some(detail.into()) }
}

impl From<Misfit> for Refusal {
    fn from(misfit: Misfit) -> Self {
        refusal(Code::SchemaInvalid, &misfit.pointer, misfit.detail)
    }
}

impl Judge<'_> {
    /// One note an event, in their order.
    pub fn all(&self, events: &[&RawValue]) -> Vec<Note> {
        let mut holders: HashMap<String, usize> = HashMap::new();
        let judge = |(index, event): (usize, &&RawValue)| {
            let mut note = Note { len: event.get().len() as u32, ..Note::default() };
            match self.one(event.get()) {
                Err(refusal) => {
                    note.code = Some(refusal.code);
                    (note.pointer, note.detail) = (refusal.pointer, refusal.detail);
                }
                Ok((id, at, day)) => {
                    (note.at, note.day) = (Some(at), Some(day));
                    let first = *holders.entry(id).or_insert(index);
                    if first != index {
                        repeated(&mut note, first, event, events[first]);
                    }
                }
            }
            note
        };
        events.iter().enumerate().map(judge).collect()
    }

    /// An event's id, effective time and local day.
    fn one(&self, text: &str) -> Result<(String, Micros, String), Refusal> {
        if !text.starts_with('{') {
            return Err(refusal(Code::NotAnObject, "", "an event must be a JSON object"));
        }
        let unreadable = |error: serde_json::Error| {
            refusal(Code::SchemaInvalid, "", shorten(&format!("the event cannot be read: {error}"), 200))
        };
        let head = Head::parse(text).map_err(unreadable)?;
        let value = json::value(text).map_err(unreadable)?;
        let id = head.id().ok_or_else(|| {
            refusal(Code::IdInvalid, "/id", "id must be a string of 1 to 128 characters from 0x21 to 0x7E")
        })?;
        let version = head.schema_version().map_err(|error| {
            refusal(Code::SchemaInvalid, "/schema_version", format!("schema_version {error}"))
        })?;
        let version = version.as_deref().unwrap_or(self.schema_version);
        let kind =
            head.kind().ok_or_else(|| refusal(Code::SchemaInvalid, "/type", "type must be a string"))?;
        let found = self.schemas.find(&kind, version);
        let (schema, newer) = match found {
            Found::Known(schema) => (schema, false),
            Found::NewerMinor(schema) => (schema, true),
            Found::UnknownType => {
                let detail = format!(
                    "no schema of version {} knows the type {:?}",
                    shorten(version, 32),
                    shorten(&kind, 64)
                );
                return Err(refusal(Code::TypeUnknown, "/type", detail));
            }
            Found::UnsupportedVersion => return Err(unsupported(version, None)),
        };
        let written = head.occurred_at().as_deref().and_then(clock::parse_rfc3339).ok_or_else(|| {
            refusal(
                Code::TimeInvalid,
                "/occurred_at",
                "occurred_at must be an RFC 3339 time with an offset or Z",
            )
        })?;
        match schema.check(&value) {
            Err(misfit) if newer => return Err(unsupported(version, Some(misfit))),
            checked => checked?,
        }
        let at = written.at.map(|at| at.saturating_sub(self.skew));
        let at = at.filter(|at| clock::plausible(*at, self.received_at)).ok_or_else(|| {
            let detail = "the effective time is before 2000 or more than 24 hours after receipt";
            refusal(Code::TimeImplausible, "/occurred_at", detail)
        })?;
        Ok((id, at, clock::local_day(at, self.zone.as_ref(), written.offset)))
    }
}

fn unsupported(version: &str, misfit: Option<Misfit>) -> Refusal {
    let version = shorten(version, 32);
    match misfit {
        None => {
            let detail = format!("schema version {version:?} is not supported");
            refusal(Code::SchemaVersionUnsupported, "/schema_version", detail)
        }
        Some(misfit) => {
            let detail = format!(
                "schema version {version:?} is newer and does not fit the newest known: {}",
                misfit.detail
            );
            refusal(Code::SchemaVersionUnsupported, &misfit.pointer, detail)
        }
    }
}

/// An earlier event of the batch holds the id: the same again, or another one.
fn repeated(note: &mut Note, first: usize, event: &RawValue, holder: &RawValue) {
    let same =
        event.get() == holder.get() || json::same_meaning(event.get().as_bytes(), holder.get().as_bytes());
    note.original = Some(first as u32);
    note.code = Some(if same { Code::DuplicateId } else { Code::IdConflict });
    if !same {
        note.pointer = Some("/id".to_owned());
        note.detail = Some(format!("event {first} of the batch holds the id with other content"));
    }
}

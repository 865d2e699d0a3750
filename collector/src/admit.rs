//! Admission: bytes, schemas and a clock in; one verdict an event out. No I/O.
//!
//! Only a body that is no envelope is an error. Whatever is wrong with single events is their
//! verdict, so a client's offline queue never jams.

use std::collections::{BTreeMap, HashMap};

use common::batch::{FORMAT, Header, Note};
use common::clock::{self, Micros};
use common::event::Head;
use common::id::{self, DeveloperId};
use common::json::{self, RawObject, shorten};
use common::schema::{Found, Misfit, Schemas};
use common::verdict::Code;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::value::RawValue;

/// Who sends, when it was received, and what came in headers.
#[derive(Debug, Clone)]
pub struct Context {
    /// The key's developer.
    pub developer: DeveloperId,
    /// The developer's epoch.
    pub epoch: u64,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The request's correlation id.
    pub correlation_id: String,
    /// The request's trace context.
    pub traceparent: String,
    /// When the whole request was there.
    pub received_at: Micros,
    /// The collector's executable and instance.
    pub collector: String,
    /// Most events in a batch.
    pub max_events: usize,
}

/// An envelope with a verdict for each event.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// All but the events' bytes. `validated_at` is the caller's to set.
    pub header: Header,
    /// The events' exact text, in their order.
    pub events: Vec<&'a RawValue>,
}

/// A body that is no envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadEnvelope {
    /// No JSON.
    Malformed(String),
    /// JSON, but no envelope.
    Invalid {
        /// JSON Pointer to the member at fault.
        pointer: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// `developer_id` names somebody else than the key does.
    WrongDeveloper(String),
    /// More events than are taken at once.
    TooManyEvents(usize),
}

fn invalid(pointer: &'static str, detail: impl Into<String>) -> BadEnvelope {
    BadEnvelope::Invalid { pointer, detail: detail.into() }
}

/// Judges a body.
///
/// # Errors
/// Where it is no envelope: see [`BadEnvelope`].
pub fn admit<'a>(body: &'a [u8], schemas: &Schemas, context: Context) -> Result<Admitted<'a>, BadEnvelope> {
    let text = std::str::from_utf8(body)
        .map_err(|error| BadEnvelope::Malformed(format!("The body is not UTF-8: {error}.")))?;
    let mut members: RawObject<'a> = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => invalid("", "The body must be a JSON object."),
        _ => BadEnvelope::Malformed(format!("The body is no JSON: {error}.")),
    })?;
    let envelope = Envelope::take(&mut members, &context)?;
    if envelope.events.len() > context.max_events {
        return Err(BadEnvelope::TooManyEvents(envelope.events.len()));
    }
    let skew = clock::skew(envelope.sent_at, context.received_at);
    let judge = Judge {
        schemas,
        schema_version: &envelope.schema_version,
        skew,
        received_at: context.received_at,
        zone: envelope.zone,
    };
    let notes = judge.all(&envelope.events);
    let header = Header {
        format: FORMAT,
        developer: context.developer,
        epoch: context.epoch,
        batch_id: envelope.batch_id,
        correlation_id: context.correlation_id,
        traceparent: context.traceparent,
        schema_version: envelope.schema_version,
        sent_at: envelope.sent_at_text,
        received_at: context.received_at,
        validated_at: context.received_at,
        collector: context.collector,
        skew,
        envelope: envelope.rest,
        counts: notes.iter().map(Note::verdict).collect(),
        events: notes,
    };
    Ok(Admitted { header, events: envelope.events })
}

/// The members the collector needs.
struct Envelope<'a> {
    batch_id: String,
    sent_at: Micros,
    sent_at_text: String,
    schema_version: String,
    zone: Option<TimeZone>,
    events: Vec<&'a RawValue>,
    rest: BTreeMap<String, Box<RawValue>>,
}

impl<'a> Envelope<'a> {
    fn take(members: &mut RawObject<'a>, context: &Context) -> Result<Self, BadEnvelope> {
        let events = member(members, "events", "/events")?;
        let events = events.ok_or_else(|| invalid("/events", "events is missing."))?;
        let events: Vec<&RawValue> = serde_json::from_str(events.get())
            .map_err(|_| invalid("/events", "events must be an array of events."))?;
        if events.is_empty() {
            return Err(invalid("/events", "events must hold at least one event."));
        }
        let batch_id = batch_id(text(members, "batch_id", "/batch_id")?, context.idempotency_key.as_deref())?;
        let missing = |pointer, name: &str| invalid(pointer, format!("{name} is missing."));
        let sent_at_text =
            text(members, "sent_at", "/sent_at")?.ok_or_else(|| missing("/sent_at", "sent_at"))?;
        let sent_at = clock::parse_rfc3339(&sent_at_text).and_then(|written| written.at).ok_or_else(|| {
            let shown = shorten(&sent_at_text, 64);
            invalid("/sent_at", format!("{shown:?} is no RFC 3339 time with an offset or Z."))
        })?;
        let schema_version = text(members, "schema_version", "/schema_version")?
            .ok_or_else(|| missing("/schema_version", "schema_version"))?;
        if let Some(named) = text(members, "developer_id", "/developer_id")? {
            if named != context.developer.as_str() {
                return Err(BadEnvelope::WrongDeveloper(named));
            }
        }
        let zone = client_zone(members);
        let rest = members.0.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
        Ok(Self { batch_id, sent_at, sent_at_text, schema_version, zone, events, rest })
    }
}

fn member<'a>(
    members: &mut RawObject<'a>,
    name: &'static str,
    pointer: &'static str,
) -> Result<Option<&'a RawValue>, BadEnvelope> {
    members.take(name).map_err(|repeated| invalid(pointer, format!("The body is ambiguous: {repeated}.")))
}

/// A member that must be a string where it is present. It stays among the envelope's members.
fn text(
    members: &mut RawObject<'_>,
    name: &'static str,
    pointer: &'static str,
) -> Result<Option<String>, BadEnvelope> {
    let Some(value) = member(members, name, pointer)? else { return Ok(None) };
    members.0.push((name.to_owned(), value));
    let text = json::string(value).ok_or_else(|| invalid(pointer, format!("{name} must be a string.")))?;
    Ok(Some(text))
}

fn batch_id(in_body: Option<String>, in_header: Option<&str>) -> Result<String, BadEnvelope> {
    let batch_id = match (in_body, in_header) {
        (Some(body), Some(header)) if body != header => {
            let detail = "batch_id and the header Idempotency-Key name different batches.";
            return Err(invalid("/batch_id", detail));
        }
        (Some(body), _) => body,
        (None, Some(header)) => header.to_owned(),
        (None, None) => {
            return Err(invalid("/batch_id", "batch_id is missing (the header Idempotency-Key may stand for it)."));
        }
    };
    let bound = "batch_id must have 1 to 128 characters from 0x21 to 0x7E.";
    if id::is_id(&batch_id) { Ok(batch_id) } else { Err(invalid("/batch_id", bound)) }
}

/// The zone in `client.time_zone`. `client` is the client's own: whatever is wrong there is ignored.
fn client_zone(members: &RawObject<'_>) -> Option<TimeZone> {
    let (_, client) = members.0.iter().find(|(name, _)| name == "client")?;
    let client: Value = serde_json::from_str(client.get()).ok()?;
    clock::zone(client.get("time_zone")?.as_str()?)
}

/// Judges the events of one batch.
struct Judge<'a> {
    schemas: &'a Schemas,
    schema_version: &'a str,
    skew: Micros,
    received_at: Micros,
    zone: Option<TimeZone>,
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
    fn all(&self, events: &[&RawValue]) -> Vec<Note> {
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
        let value: Value = serde_json::from_str(text).map_err(unreadable)?;
        let id = head.id().ok_or_else(|| {
            refusal(Code::IdInvalid, "/id", "id must be a string of 1 to 128 characters from 0x21 to 0x7E")
        })?;
        let version = head
            .schema_version()
            .map_err(|error| refusal(Code::SchemaInvalid, "/schema_version", format!("schema_version {error}")))?;
        let version = version.as_deref().unwrap_or(self.schema_version);
        let kind = head.kind().ok_or_else(|| refusal(Code::SchemaInvalid, "/type", "type must be a string"))?;
        let found = self.schemas.find(&kind, version);
        let (schema, newer) = match found {
            Found::Known(schema) => (schema, false),
            Found::NewerMinor(schema) => (schema, true),
            Found::UnknownType => {
                let detail = format!("no schema of version {} knows the type {:?}", shorten(version, 32), shorten(&kind, 64));
                return Err(refusal(Code::TypeUnknown, "/type", detail));
            }
            Found::UnsupportedVersion => return Err(unsupported(version, None)),
        };
        let written = head.occurred_at().as_deref().and_then(clock::parse_rfc3339).ok_or_else(|| {
            refusal(Code::TimeInvalid, "/occurred_at", "occurred_at must be an RFC 3339 time with an offset or Z")
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
            let detail = format!("schema version {version:?} is newer and does not fit the newest known: {}", misfit.detail);
            refusal(Code::SchemaVersionUnsupported, &misfit.pointer, detail)
        }
    }
}

/// An earlier event of the batch holds the id: the same again, or another one.
fn repeated(note: &mut Note, first: usize, event: &RawValue, holder: &RawValue) {
    let same = event.get() == holder.get() || json::same_meaning(event.get().as_bytes(), holder.get().as_bytes());
    note.original = Some(first as u32);
    note.code = Some(if same { Code::DuplicateId } else { Code::IdConflict });
    if !same {
        note.pointer = Some("/id".to_owned());
        note.detail = Some(format!("event {first} of the batch holds the id with other content"));
    }
}

//! The envelope: the members that say whose batch it is, and when it was sent.

use std::collections::BTreeMap;

use common::clock::{self, Micros};
use common::id;
use common::json::{self, RawObject, shorten};
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::{BadEnvelope, Context, invalid};

/// The members the collector needs.
pub struct Envelope<'a> {
    pub batch_id: String,
    pub sent_at: Micros,
    pub sent_at_text: String,
    pub schema_version: String,
    pub zone: Option<TimeZone>,
    pub events: Vec<&'a RawValue>,
    pub rest: BTreeMap<String, Box<RawValue>>,
}

impl<'a> Envelope<'a> {
    /// Takes them out of the body's members; what is left is kept as it is.
    pub fn take(members: &mut RawObject<'a>, context: &Context) -> Result<Self, BadEnvelope> {
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
        let sent_at = clock::parse_rfc3339(&sent_at_text).ok_or_else(|| {
            let shown = shorten(&sent_at_text, 64);
            invalid("/sent_at", format!("{shown:?} is no RFC 3339 time with an offset or Z."))
        })?;
        // Beyond the last instant there is: as fast as a clock can be.
        let sent_at = sent_at.at.unwrap_or(Micros::MAX);
        let schema_version = text(members, "schema_version", "/schema_version")?
            .ok_or_else(|| missing("/schema_version", "schema_version"))?;
        if let Some(named) = text(members, "developer_id", "/developer_id")?
            && named != context.developer.as_str()
        {
            return Err(BadEnvelope::WrongDeveloper(named));
        }
        let zone = client_zone(members);
        let rest = rest(members)?;
        Ok(Self { batch_id, sent_at, sent_at_text, schema_version, zone, events, rest })
    }
}

/// Every other member, each once: of two, which was meant is unknowable.
fn rest(members: &RawObject<'_>) -> Result<BTreeMap<String, Box<RawValue>>, BadEnvelope> {
    let mut rest = BTreeMap::new();
    for (name, value) in &members.0 {
        if rest.insert(name.clone(), (*value).to_owned()).is_some() {
            let name = shorten(name, 64);
            return Err(invalid(
                "",
                format!("The body is ambiguous: the member {name:?} occurs more than once."),
            ));
        }
    }
    Ok(rest)
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
            return Err(invalid(
                "/batch_id",
                "batch_id is missing (the header Idempotency-Key may stand for it).",
            ));
        }
    };
    let bound = "batch_id must have 1 to 128 characters from 0x21 to 0x7E.";
    if id::is_id(&batch_id) { Ok(batch_id) } else { Err(invalid("/batch_id", bound)) }
}

/// The zone in `client.time_zone`.
fn client_zone(members: &RawObject<'_>) -> Option<TimeZone> {
    let (_, client) = members.0.iter().find(|(name, _)| name == "client")?;
    clock::client_zone(client.get().as_bytes())
}

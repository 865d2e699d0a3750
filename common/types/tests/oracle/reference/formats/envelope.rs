//! Devtrail's own envelope (`application/json`): the members that name the batch and the time it was
//! sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::reference::json::{self, RawObject, TooManyMembers, shorten};
use serde_json::value::RawValue;

use super::fields;
use super::json::{Elements, list, text, unreadable};
use super::submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, SentAt, invalid,
};

/// Reads an envelope; what is not needed of it is kept as it is.
pub(crate) fn read<'a>(request: &BatchRequest<'_, 'a>) -> Result<ParsedBatch<'a>, BadEnvelope> {
    let body = text(request.body)?;
    let mut members: RawObject<'a> = serde_json::from_str(body).map_err(|error| {
        match error.is_data() && body.trim_start().starts_with('{') {
            true => invalid("", format!("The body is no envelope: {TooManyMembers}.")),
            false => unreadable(&error, "a JSON object"),
        }
    })?;
    let events = events(&mut members, request.max_events)?;
    let batch_id = fields::batch_id(
        string(&mut members, "batch_id", "/batch_id")?,
        request.headers,
    )?;
    let missing = |pointer, name: &str| invalid(pointer, format!("{name} is missing."));
    let batch_id = batch_id.ok_or_else(|| {
        invalid(
            "/batch_id",
            "batch_id is missing (the header Idempotency-Key may stand for it).",
        )
    })?;
    let sent_at_text = string(&mut members, "sent_at", "/sent_at")?
        .ok_or_else(|| missing("/sent_at", "sent_at"))?;
    let sent_at = fields::sent_at(&sent_at_text).map_err(|detail| invalid("/sent_at", detail))?;
    let schema_version = string(&mut members, "schema_version", "/schema_version")?
        .ok_or_else(|| missing("/schema_version", "schema_version"))?;
    if let Some(named) = string(&mut members, "developer_id", "/developer_id")?
        && named != request.developer.as_str()
    {
        return Err(BadEnvelope::WrongDeveloper(named));
    }
    let members = kept(&members)?;
    if events.count > request.max_events {
        return Err(BadEnvelope::TooManyEvents(events.count));
    }
    let events = events
        .first
        .into_iter()
        .map(|event| ParsedEvent::Text(Cow::Borrowed(event.get())))
        .collect();
    Ok(ParsedBatch {
        format: Format::Envelope,
        batch_id,
        sent_at: SentAt {
            at: sent_at,
            text: sent_at_text,
        },
        schema_version,
        members,
        events,
    })
}

fn events<'a>(members: &mut RawObject<'a>, max: usize) -> Result<Elements<'a>, BadEnvelope> {
    let events = member(members, "events", "/events")?;
    let events = events.ok_or_else(|| invalid("/events", "events is missing."))?;
    let events = list(events.get(), max)
        .map_err(|_| invalid("/events", "events must be an array of events."))?;
    if events.count == 0 {
        return Err(invalid("/events", "events must hold at least one event."));
    }
    Ok(events)
}

/// Every other member, each once: nothing tells which of two was meant.
fn kept(members: &RawObject<'_>) -> Result<BTreeMap<String, Box<RawValue>>, BadEnvelope> {
    let mut kept = BTreeMap::new();
    for (name, value) in &members.0 {
        if kept.insert(name.clone(), (*value).to_owned()).is_some() {
            let name = shorten(name, 64);
            return Err(invalid(
                "",
                format!("The body is ambiguous: the member {name:?} occurs more than once."),
            ));
        }
    }
    Ok(kept)
}

fn member<'a>(
    members: &mut RawObject<'a>,
    name: &'static str,
    pointer: &'static str,
) -> Result<Option<&'a RawValue>, BadEnvelope> {
    members
        .take(name)
        .map_err(|repeated| invalid(pointer, format!("The body is ambiguous: {repeated}.")))
}

/// A member that must be a string if it is present. It stays among the envelope's members.
fn string(
    members: &mut RawObject<'_>,
    name: &'static str,
    pointer: &'static str,
) -> Result<Option<String>, BadEnvelope> {
    let Some(value) = member(members, name, pointer)? else {
        return Ok(None);
    };
    members.0.push((name.to_owned(), value));
    let text =
        json::string(value).ok_or_else(|| invalid(pointer, format!("{name} must be a string.")))?;
    Ok(Some(text))
}

//! CloudEvents 1.0 over HTTP: structured, batched and binary (the specification's JSON format and HTTP binding).
//!
//! A CloudEvent is a Devtrail event under other names: `time` is `occurred_at`, the extension
//! `schemaversion` is `schema_version`, everything else stays as it is, each value as its exact text and
//! in its order. So the same CloudEvent always makes the same bytes, and the way back is the same table.

mod binary;
mod members;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::reference::id;
use crate::reference::json::RawObject;
use types::verdict::Code;

use super::fields::Fields;
use super::json::{bad_object, elements, object};
use super::submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal, SentAt,
};
use members::{NAMES, translated};

/// The events' schema version if neither event nor header names one.
const SCHEMA_VERSION: &str = "1.0";

/// Reads CloudEvents.
pub(crate) fn read<'a>(
    format: Format,
    request: &BatchRequest<'_, 'a>,
) -> Result<ParsedBatch<'a>, BadEnvelope> {
    let fields = Fields::of(request.headers)?;
    let events = match format {
        Format::CloudEvents => elements(request, "a JSON array of CloudEvents")?
            .into_iter()
            .map(structured)
            .collect(),
        Format::BinaryCloudEvent => vec![binary::read(request)?],
        _ => vec![structured(object(request, "a CloudEvent, a JSON object")?)],
    };
    let batch_id = fields
        .batch_id
        .unwrap_or_else(|| id::made_of("ce", events.iter().map(ParsedEvent::bytes)));
    let sent_at = fields
        .sent_at
        .unwrap_or_else(|| SentAt::new(request.received_at));
    let schema_version = fields
        .schema_version
        .unwrap_or_else(|| SCHEMA_VERSION.to_owned());
    Ok(ParsedBatch::without_envelope(
        format,
        batch_id,
        sent_at,
        schema_version,
        events,
    ))
}

/// A pointer into the Devtrail event, by the names of CloudEvents.
pub(crate) fn as_sent(pointer: String) -> String {
    let name = pointer.strip_prefix('/');
    let renamed = NAMES.iter().find(|(_, ours)| name == Some(*ours));
    renamed.map_or(pointer, |(theirs, _)| format!("/{theirs}"))
}

fn structured(event: &RawValue) -> ParsedEvent<'_> {
    let kept = Cow::Borrowed(event.get().as_bytes());
    let members = match serde_json::from_str::<RawObject<'_>>(event.get()) {
        Ok(RawObject(members)) => members,
        Err(error) => {
            let refusal = match event.get().starts_with('{') {
                true => Refusal::new(Code::SchemaInvalid, "", bad_object(&error)),
                false => Refusal::new(Code::NotAnObject, "", "a CloudEvent must be a JSON object"),
            };
            return ParsedEvent::Refused(kept, refusal);
        }
    };
    let members = members
        .into_iter()
        .map(|(name, value)| (name, Cow::Borrowed(value.get())));
    match translated(members.collect()) {
        Ok(text) => ParsedEvent::Text(Cow::Owned(text)),
        Err(refusal) => ParsedEvent::Refused(kept, refusal),
    }
}

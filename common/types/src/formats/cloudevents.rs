//! CloudEvents 1.0 over HTTP: structured, batched and binary (the specification's JSON format and HTTP binding).
//!
//! A CloudEvent is a Devtrail event under other names: `time` is `occurred_at`, the extension
//! `schemaversion` is `schema_version`, everything else stays as it is, each value as its exact text and
//! in its order. So the same CloudEvent always makes the same bytes, and the way back is the same table.

mod binary;

use std::borrow::Cow;

use crate::id;
use crate::json::RawObject;
use crate::time;
use crate::verdict::Code;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::json::{bad_object, elements, object, quoted};
use super::{BadEnvelope, Event, Format, Refusal, Request, Submission};

/// Names of CloudEvents, and of Devtrail where they differ.
const NAMES: [(&str, &str); 2] = [("time", "occurred_at"), ("schemaversion", "schema_version")];

/// Members that decide something: one that occurs twice makes the event ambiguous.
const DECISIVE: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "schemaversion",
    "data",
    "data_base64",
];

/// The events' schema version where neither event nor header names one.
const SCHEMA_VERSION: &str = "1.0";

/// A member: its name, and its value's JSON text.
type Member<'a> = (String, Cow<'a, str>);

/// Reads CloudEvents.
pub fn read<'a>(format: Format, request: &Request<'_, 'a>) -> Result<Submission<'a>, BadEnvelope> {
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
        .unwrap_or_else(|| id::made_of("ce", events.iter().map(Event::bytes)));
    let sent_at = fields
        .sent_at
        .unwrap_or_else(|| (request.received_at, time::rfc3339(request.received_at)));
    let schema_version = fields
        .schema_version
        .unwrap_or_else(|| SCHEMA_VERSION.to_owned());
    Ok(Submission::without_envelope(
        format,
        batch_id,
        sent_at,
        schema_version,
        events,
    ))
}

/// A pointer into the Devtrail event, by the names of CloudEvents.
pub fn as_sent(pointer: String) -> String {
    let name = pointer.strip_prefix('/');
    let renamed = NAMES.iter().find(|(_, ours)| name == Some(*ours));
    renamed.map_or(pointer, |(theirs, _)| format!("/{theirs}"))
}

fn structured(event: &RawValue) -> Event<'_> {
    let kept = Cow::Borrowed(event.get().as_bytes());
    let members = match serde_json::from_str::<RawObject<'_>>(event.get()) {
        Ok(RawObject(members)) => members,
        Err(error) => {
            let refusal = match event.get().starts_with('{') {
                true => Refusal::new(Code::SchemaInvalid, "", bad_object(&error)),
                false => Refusal::new(Code::NotAnObject, "", "a CloudEvent must be a JSON object"),
            };
            return Event::Refused(kept, refusal);
        }
    };
    let members = members
        .into_iter()
        .map(|(name, value)| (name, Cow::Borrowed(value.get())));
    match translated(members.collect()) {
        Ok(text) => Event::Text(Cow::Owned(text)),
        Err(refusal) => Event::Refused(kept, refusal),
    }
}

/// The Devtrail event that these members of a CloudEvent are.
fn translated(mut members: Vec<Member<'_>>) -> Result<String, Refusal> {
    // "A null value MUST be treated as the equivalent of unset" (JSON format, section 2.2).
    members.retain(|(_, value)| value != "null");
    expect_sound(&members)?;
    decode_data(&mut members)?;
    for (name, _) in &mut members {
        if let Some((_, ours)) = NAMES.iter().find(|(theirs, _)| name == theirs) {
            (*ours).clone_into(name);
        }
    }
    Ok(written(&members))
}

/// Checks what the specification requires, and Devtrail does not check itself under the same name.
fn expect_sound(members: &[Member<'_>]) -> Result<(), Refusal> {
    let invalid = |name: &str, detail: &str| {
        Err(Refusal::new(
            Code::SchemaInvalid,
            &format!("/{name}"),
            detail,
        ))
    };
    let find = |name: &str| {
        members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    };
    let string =
        |name: &str| find(name).and_then(|value| serde_json::from_str::<String>(value).ok());
    for name in DECISIVE {
        if members.iter().filter(|(known, _)| known == name).count() > 1 {
            return invalid(name, &format!("the member {name:?} occurs more than once"));
        }
    }
    // Otherwise two members would get one name.
    for (theirs, ours) in NAMES {
        if find(ours).is_some() {
            return invalid(
                ours,
                &format!(
                    "a CloudEvent's attributes have no underscore; this one is called {theirs}"
                ),
            );
        }
    }
    if string("specversion").as_deref() != Some("1.0") {
        return invalid("specversion", "specversion must be \"1.0\"");
    }
    if string("source").is_none_or(|source| source.is_empty()) {
        return invalid("source", "source must be a string that is not empty");
    }
    if find("schemaversion").is_some() && string("schemaversion").is_none() {
        return invalid("schemaversion", "schemaversion must be a string");
    }
    if string("time")
        .as_deref()
        .and_then(time::parse_rfc3339)
        .is_none()
    {
        let detail = "time must be an RFC 3339 time with an offset or Z; Devtrail needs it";
        return Err(Refusal::new(Code::TimeInvalid, "/time", detail));
    }
    Ok(())
}

/// Turns `data_base64` into `data`: events hold JSON.
fn decode_data(members: &mut [Member<'_>]) -> Result<(), Refusal> {
    let invalid = |detail: &str| Refusal::new(Code::SchemaInvalid, "/data_base64", detail);
    let has_data = members.iter().any(|(name, _)| name == "data");
    let Some((name, value)) = members.iter_mut().find(|(name, _)| name == "data_base64") else {
        return Ok(());
    };
    if has_data {
        return Err(invalid("data and data_base64 exclude each other"));
    }
    let encoded: Option<String> = serde_json::from_str(value).ok();
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let decoded = decoded.ok_or_else(|| invalid("data_base64 must be a string of Base64"))?;
    let text =
        json_text(&decoded).ok_or_else(|| invalid("the bytes of data_base64 must be JSON"))?;
    *value = Cow::Owned(text.to_owned());
    "data".clone_into(name);
    Ok(())
}

/// The one JSON value that `bytes` are, without white space around it.
fn json_text(bytes: &[u8]) -> Option<&str> {
    serde_json::from_str::<&RawValue>(std::str::from_utf8(bytes).ok()?)
        .map(RawValue::get)
        .ok()
}

/// The members as the text of a JSON object.
fn written(members: &[Member<'_>]) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.extend([quoted(name).get(), ":", value]);
    }
    text.push('}');
    text
}

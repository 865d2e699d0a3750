//! WakaTime's heartbeats, as `POST /api/v1/users/current/heartbeats` and `….bulk` take them.
//!
//! A heartbeat has no id. It gets one made of what WakaTime's own client takes for its identity
//! (`Heartbeat.get_id` of wakatime 13.1.0), so that an offline queue may send it any number of times.

use std::borrow::Cow;

use crate::id;
use crate::json::{self, RawObject, quoted};
use crate::time::{self, Micros};
use crate::verdict::Code;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::fields::header;
use super::json::{bad_object, elements, object};
use super::submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal, SentAt,
};

/// Members of a heartbeat, and of the event's `data`.
const NAMES: [(&str, &str); 10] = [
    ("entity", "entity"),
    ("type", "entity_type"),
    ("category", "category"),
    ("is_write", "is_write"),
    ("lines", "lines"),
    ("lineno", "line"),
    ("cursorpos", "cursor"),
    ("project", "project"),
    ("language", "language"),
    ("branch", "branch"),
];

/// What makes a heartbeat this one, beside its time.
const IDENTITY: [&str; 6] = [
    "type", "category", "project", "branch", "entity", "is_write",
];

/// Numbers, which WakaTime's client writes as text if the editor gave them as text.
const NUMBERS: [&str; 3] = ["lines", "lineno", "cursorpos"];

/// 9999-12-31T00:00:00Z in seconds: later ones have no RFC 3339 form.
const LATEST: f64 = 253_402_214_400.0;

/// The version of the events that heartbeats become.
const SCHEMA_VERSION: &str = "1.0";

/// Reads heartbeats: an array of them, or one alone. WakaTime's own client sends arrays to any address.
pub fn read<'a>(request: &BatchRequest<'_, 'a>) -> Result<ParsedBatch<'a>, BadEnvelope> {
    let wanted = "a heartbeat, a JSON object, or an array of heartbeats";
    let (format, heartbeats) = match request.body.trim_ascii_start().first() {
        Some(b'[') => (Format::Heartbeats, elements(request, wanted)?),
        _ => (Format::Heartbeat, vec![object(request, wanted)?]),
    };
    let events: Vec<ParsedEvent<'a>> = heartbeats.into_iter().map(event).collect();
    let batch_id = id::made_of("wakatime", events.iter().map(ParsedEvent::bytes));
    let sent_at = SentAt::new(request.received_at);
    let mut submission =
        ParsedBatch::without_envelope(format, batch_id, sent_at, SCHEMA_VERSION.to_owned(), events);
    submission
        .members
        .insert("client".to_owned(), client(request.headers));
    Ok(submission)
}

/// A pointer into the Devtrail event, by the names of WakaTime.
pub fn as_sent(pointer: String) -> String {
    match pointer.as_str() {
        "/occurred_at" => "/time".to_owned(),
        "/data" => String::new(),
        _ => match pointer.strip_prefix("/data/") {
            Some(name) => {
                let theirs = NAMES.iter().find(|(_, ours)| *ours == name);
                format!("/{}", theirs.map_or(name, |(theirs, _)| theirs))
            }
            None => pointer,
        },
    }
}

/// What a reply repeats of an accepted heartbeat: the members WakaTime's clients know it by.
///
/// `event` is the event made of it, which fits its schema. For anything else the object is empty.
#[must_use]
pub fn echo(event: &[u8]) -> Value {
    #[derive(Deserialize)]
    struct Accepted {
        id: String,
        occurred_at: String,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        entity: String,
        entity_type: Option<String>,
    }
    // Nothing else is read: this is between the PubAck and the reply.
    let Ok(Accepted {
        id,
        occurred_at,
        data,
    }) = serde_json::from_slice(event)
    else {
        return json!({});
    };
    let mut reply = json!({"id": id, "entity": data.entity});
    if let Some(kind) = data.entity_type {
        reply["type"] = kind.into();
    }
    if let Some(at) = time::parse_rfc3339(&occurred_at).and_then(|written| written.at) {
        reply["time"] = (at as f64 / 1e6).into();
    }
    reply
}

/// The client, as its headers describe it.
fn client(headers: &HeaderMap) -> Box<RawValue> {
    let named = [
        ("name", "User-Agent"),
        ("host_id", "X-Machine-Name"),
        ("time_zone", "TimeZone"),
    ];
    let members: Map<String, Value> = named
        .into_iter()
        .filter_map(|(name, from)| Some((name.to_owned(), header(headers, from)?.into())))
        .collect();
    RawValue::from_string(Value::Object(members).to_string()).expect("a value's JSON text is JSON")
}

/// The Devtrail event that a heartbeat is.
///
/// # Errors
/// Returns the [`Refusal`] if none can be made of it.
pub fn event_of(heartbeat: &RawValue) -> Result<Box<RawValue>, Refusal> {
    let text = translated(heartbeat.get())?;
    let unreadable = |error: serde_json::Error| {
        Refusal::new(
            Code::SchemaInvalid,
            "",
            format!("it makes no event: {error}"),
        )
    };
    RawValue::from_string(text).map_err(unreadable)
}

fn event(heartbeat: &RawValue) -> ParsedEvent<'_> {
    match translated(heartbeat.get()) {
        Ok(text) => ParsedEvent::Text(Cow::Owned(text)),
        Err(refusal) => ParsedEvent::Refused(Cow::Borrowed(heartbeat.get().as_bytes()), refusal),
    }
}

/// The Devtrail event that a heartbeat is.
fn translated(heartbeat: &str) -> Result<String, Refusal> {
    if !heartbeat.starts_with('{') {
        return Err(Refusal::new(
            Code::NotAnObject,
            "",
            "a heartbeat must be a JSON object",
        ));
    }
    let invalid = |pointer: &str, detail: &str| Refusal::new(Code::SchemaInvalid, pointer, detail);
    let RawObject(mut members) =
        serde_json::from_str(heartbeat).map_err(|error| invalid("", &bad_object(&error)))?;
    // Its client writes null for whatever it does not know.
    members.retain(|(_, value)| value.get() != "null");
    let mut at = None;
    let mut data = Vec::new();
    let mut others = Vec::new();
    for (index, (name, value)) in members.iter().enumerate() {
        let ours = NAMES
            .iter()
            .find(|(theirs, _)| theirs == name)
            .map(|(_, ours)| *ours);
        if (ours.is_some() || name == "time")
            && members[..index].iter().any(|(earlier, _)| earlier == name)
        {
            return Err(invalid(
                &format!("/{name}"),
                &format!("the member {name:?} occurs more than once"),
            ));
        }
        match ours {
            Some(ours) => data.push(format!("{:?}:{}", ours, number(name, value))),
            None if name == "time" => at = micros(value),
            None => others.push(format!("{}:{}", quoted(name).get(), value.get())),
        }
    }
    let at = at.ok_or_else(|| {
        Refusal::new(
            Code::TimeInvalid,
            "/time",
            "time must be a number of seconds since 1970, before the year 10000",
        )
    })?;
    let others = match others.is_empty() {
        true => String::new(),
        false => format!(",\"wakatime\":{{{}}}", others.join(",")),
    };
    Ok(format!(
        "{{\"id\":\"{}\",\"type\":\"heartbeat\",\"occurred_at\":\"{}\",\"data\":{{{}}}{others}}}",
        identity(at, &members),
        time::rfc3339(at),
        data.join(","),
    ))
}

/// The id: the same for the same heartbeat, however its JSON is written.
fn identity(at: Micros, members: &[(String, &RawValue)]) -> String {
    let part = |wanted: &&str| {
        let value = members
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.get());
        // What cannot be read as a value makes no event either; its text will do.
        value.map_or_else(
            || "null".to_owned(),
            |text| json::value(text).map_or(text.to_owned(), |value| value.to_string()),
        )
    };
    id::made_of(
        "wakatime",
        std::iter::once(at.to_string()).chain(IDENTITY.iter().map(part)),
    )
}

/// Seconds since 1970, a number or a number's text, in microseconds: what a double holds exactly enough.
fn micros(value: &RawValue) -> Option<Micros> {
    let seconds: f64 = match json::string(value) {
        Some(text) => text.trim().parse().ok()?,
        None => serde_json::from_str(value.get()).ok()?,
    };
    (0.0..LATEST)
        .contains(&seconds)
        .then(|| (seconds * 1e6).round() as Micros)
}

/// A member's value; if it is a whole number written as text, the number.
fn number<'a>(name: &str, value: &'a RawValue) -> Cow<'a, str> {
    let text = NUMBERS
        .contains(&name)
        .then(|| json::string(value))
        .flatten();
    let whole = text.and_then(|text| text.trim().parse::<u64>().ok());
    whole.map_or(Cow::Borrowed(value.get()), |whole| {
        Cow::Owned(whole.to_string())
    })
}

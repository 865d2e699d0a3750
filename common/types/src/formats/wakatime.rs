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
use super::json::{bad_object, elements, list, object, unreadable};
use super::submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal, SentAt, invalid,
};

/// A member of a heartbeat that has a place in the event's `data`.
struct Known {
    theirs: &'static str,
    ours: &'static str,
    kind: Kind,
}

/// What the event's schema wants of a member.
#[derive(Clone, Copy)]
enum Kind {
    /// A string of at most [`MAX_TEXT`] characters.
    Text,
    /// One of [`ENTITY_TYPES`].
    EntityType,
    /// True or false.
    Truth,
    /// A whole number from 0 to [`MAX_COUNT`].
    Count,
}

const fn known(theirs: &'static str, ours: &'static str, kind: Kind) -> Known {
    Known { theirs, ours, kind }
}

/// The members of a heartbeat that have a place in `data`.
const KNOWN: [Known; 10] = [
    known("entity", "entity", Kind::Text),
    known("type", "entity_type", Kind::EntityType),
    known("category", "category", Kind::Text),
    known("is_write", "is_write", Kind::Truth),
    known("lines", "lines", Kind::Count),
    known("lineno", "line", Kind::Count),
    known("cursorpos", "cursor", Kind::Count),
    known("project", "project", Kind::Text),
    known("language", "language", Kind::Text),
    known("branch", "branch", Kind::Text),
];

/// The two members that a heartbeat cannot be without.
const NEEDED: [&str; 2] = ["time", "entity"];

/// What `entity` may name.
const ENTITY_TYPES: [&str; 5] = ["file", "app", "domain", "url", "event"];
/// Most characters of a text.
const MAX_TEXT: usize = 4_096;
/// The largest count: 2^53 - 1.
const MAX_COUNT: u64 = 9_007_199_254_740_991;

/// What makes a heartbeat this one, beside its time.
const IDENTITY: [&str; 6] = [
    "type", "category", "project", "branch", "entity", "is_write",
];

/// What home-made clients call the list of heartbeats, if they put an object around it.
const WRAPPERS: [&str; 2] = ["data", "heartbeats"];
/// How many arrays or objects there may be around the list.
const MAX_AROUND: usize = 4;

/// 9999-12-31T00:00:00Z in seconds: later ones have no RFC 3339 form.
const LATEST: f64 = 253_402_214_400.0;
/// 2000-01-01T00:00:00Z in milliseconds. In seconds it is far beyond [`LATEST`], so a number from here on can only be
/// milliseconds, as `Date.now()` gives them.
const MILLISECONDS_FROM: f64 = 946_684_800_000.0;

/// The version of the events that heartbeats become.
const SCHEMA_VERSION: &str = "1.0";

/// The text of a body that is a JSON string of an array or object, `None` of any other: the browser build of WakaTime's
/// extension for VS Code encodes its heartbeats as JSON twice.
#[must_use]
pub fn encoded_twice(body: &[u8]) -> Option<String> {
    let is_string = body.trim_ascii_start().first() == Some(&b'"');
    let text: String = is_string.then(|| serde_json::from_slice(body).ok())??;
    text.trim_start().starts_with(['[', '{']).then_some(text)
}

/// Reads heartbeats: an array of them, or one alone. WakaTime's own client sends arrays to any address.
pub fn read<'a>(request: &BatchRequest<'_, 'a>) -> Result<ParsedBatch<'a>, BadEnvelope> {
    let Sent { format, heartbeats } = sent(request)?;
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

/// What a body holds.
struct Sent<'a> {
    /// Whether it was one heartbeat alone, or a list.
    format: Format,
    /// At least one.
    heartbeats: Vec<&'a RawValue>,
}

/// The heartbeats of a body, without the arrays and objects around the list of them.
fn sent<'a>(request: &BatchRequest<'_, 'a>) -> Result<Sent<'a>, BadEnvelope> {
    let wanted = "a heartbeat, a JSON object, or an array of heartbeats";
    let too_deep = || {
        let detail = format!(
            "The body must be {wanted}; at most {MAX_AROUND} arrays or objects may be around the list."
        );
        invalid("", detail)
    };
    let mut around = 0;
    let mut list = if request.body.trim_ascii_start().first() == Some(&b'[') {
        elements(request, wanted)?
    } else {
        let mut object = object(request, wanted)?;
        loop {
            match wrapped(object) {
                None => {
                    return Ok(Sent {
                        format: Format::Heartbeat,
                        heartbeats: vec![object],
                    });
                }
                Some(inner) if inner.get().starts_with('[') => break vec![inner],
                Some(inner) => object = inner,
            }
            around += 1;
            if around > MAX_AROUND {
                return Err(too_deep());
            }
        }
    };
    while !list.is_empty() && list.iter().all(|inner| inner.get().starts_with('[')) {
        around += 1;
        if around > MAX_AROUND {
            return Err(too_deep());
        }
        list = flattened(&list, request.max_events)?;
    }
    if list.is_empty() {
        return Err(invalid("", "The body must hold at least one event."));
    }
    Ok(Sent {
        format: Format::Heartbeats,
        heartbeats: list,
    })
}

/// What an object is wrapped around, if it is no heartbeat itself.
fn wrapped(object: &RawValue) -> Option<&RawValue> {
    // Nearly every object is a heartbeat: it is read once, below.
    if !WRAPPERS.iter().any(|name| object.get().contains(name)) {
        return None;
    }
    let RawObject(members) = serde_json::from_str(object.get()).ok()?;
    if members.iter().any(|(name, _)| NEEDED.contains(&&**name)) {
        return None;
    }
    let mut wrappers = members
        .into_iter()
        .filter(|(name, value)| WRAPPERS.contains(&&**name) && value.get().starts_with(['[', '{']))
        .map(|(_, value)| value);
    let only = wrappers.next()?;
    wrappers.next().is_none().then_some(only)
}

/// The elements of several arrays, one after the other.
fn flattened<'a>(arrays: &[&'a RawValue], max: usize) -> Result<Vec<&'a RawValue>, BadEnvelope> {
    let mut all = Vec::new();
    let mut count = 0;
    for array in arrays {
        let elements = list(array.get(), max).map_err(|error| unreadable(&error, "an array"))?;
        count += elements.count;
        if count > max {
            return Err(BadEnvelope::TooManyEvents(count));
        }
        all.extend(elements.first);
    }
    Ok(all)
}

/// A pointer into the Devtrail event, by the names of WakaTime.
pub fn as_sent(pointer: String) -> String {
    match pointer.as_str() {
        "/occurred_at" => "/time".to_owned(),
        "/data" => String::new(),
        _ => match pointer.strip_prefix("/data/") {
            Some(name) => {
                let known = KNOWN.iter().find(|known| known.ours == name);
                format!("/{}", known.map_or(name, |known| known.theirs))
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
    let refused = |pointer: &str, detail: &str| Refusal::new(Code::SchemaInvalid, pointer, detail);
    let RawObject(mut members) =
        serde_json::from_str(heartbeat).map_err(|error| refused("", &bad_object(&error)))?;
    // Its client writes null for whatever it does not know.
    members.retain(|(_, value)| value.get() != "null");
    let is_repeated = |name: &str| {
        members
            .iter()
            .filter(|(other, _)| other == name)
            .nth(1)
            .is_some()
    };
    if let Some(name) = NEEDED.into_iter().find(|name| is_repeated(name)) {
        return Err(refused(
            &format!("/{name}"),
            &format!("the member {name:?} occurs more than once"),
        ));
    }
    // Nothing tells which of two details was meant: neither is used.
    let ambiguous: Vec<&str> = KNOWN
        .iter()
        .map(|known| known.theirs)
        .filter(|name| is_repeated(name))
        .collect();
    let mut at = None;
    let mut data = Vec::new();
    let mut others = Vec::new();
    for (name, value) in &members {
        let known = KNOWN.iter().find(|known| known.theirs == name);
        let read = known
            .filter(|known| !ambiguous.contains(&known.theirs))
            .and_then(|known| Some((known.ours, readable(known.kind, value)?)));
        match (known, read) {
            (Some(_), Some((ours, text))) => data.push(format!("{ours:?}:{text}")),
            // Without it the heartbeat says nothing: the schema names what is wrong with it.
            (Some(_), None) if name == "entity" => {
                data.push(format!("\"entity\":{}", value.get()));
            }
            (None, _) if name == "time" => at = micros(value),
            // What cannot be used of a detail does not cost the heartbeat its time.
            _ => others.push(format!("{}:{}", quoted(name).get(), kept(value))),
        }
    }
    let at = at.ok_or_else(|| {
        Refusal::new(
            Code::TimeInvalid,
            "/time",
            "time must be a number of seconds (or, from 2000 on, of milliseconds) since 1970, before the year 10000, \
             or an RFC 3339 time with an offset or Z",
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

/// A time in microseconds since 1970: seconds or milliseconds, a number or a number's text, of which a double holds
/// exactly enough; or an RFC 3339 text.
fn micros(value: &RawValue) -> Option<Micros> {
    let number: f64 = match json::string(value) {
        Some(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => return time::parse_rfc3339(text.trim())?.at,
        },
        None => serde_json::from_str(value.get()).ok()?,
    };
    let seconds = (0.0..LATEST).contains(&number);
    let milliseconds = (MILLISECONDS_FROM..LATEST * 1e3).contains(&number);
    match (seconds, milliseconds) {
        (true, _) => Some((number * 1e6).round() as Micros),
        (false, true) => Some((number * 1e3).round() as Micros),
        (false, false) => None,
    }
}

/// A member's value as the event's schema wants it, if it can be read as that.
///
/// What the schema takes stays as it was written: the same heartbeat always makes the same bytes.
fn readable(kind: Kind, value: &RawValue) -> Option<Cow<'_, str>> {
    let as_sent = Cow::Borrowed(value.get());
    let text = json::string(value);
    match kind {
        Kind::Text => match text {
            Some(text) => (text.chars().count() <= MAX_TEXT).then_some(as_sent),
            // The name of a project may be a year.
            None => (is_number(value) && value.get().len() <= MAX_TEXT)
                .then(|| Cow::Owned(quoted(value.get()).get().to_owned())),
        },
        Kind::EntityType => {
            let text = text?;
            if ENTITY_TYPES.contains(&&*text) {
                return Some(as_sent);
            }
            let plain = text.trim().to_lowercase();
            ENTITY_TYPES
                .contains(&&*plain)
                .then(|| Cow::Owned(quoted(&plain).get().to_owned()))
        }
        Kind::Truth => {
            let plain = text.map_or(as_sent, Cow::Owned);
            let plain = plain.trim().to_lowercase();
            let number: Option<f64> = plain.parse().ok();
            match (&*plain, number) {
                ("true", _) | (_, Some(1.0)) => Some(Cow::Borrowed("true")),
                ("false", _) | (_, Some(0.0)) => Some(Cow::Borrowed("false")),
                _ => None,
            }
        }
        Kind::Count => match text {
            Some(text) => count(text.trim()).map(|count| Cow::Owned(count.to_string())),
            None => is_number(value)
                .then(|| count(value.get()))
                .flatten()
                .map(|_| as_sent),
        },
    }
}

fn is_number(value: &RawValue) -> bool {
    value
        .get()
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The whole number that a text is, such as `12` or `12.0`.
fn count(text: &str) -> Option<u64> {
    let whole = text.parse::<u64>().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // Beyond 2^53 - 1 it is no count anyway.
        (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
    });
    whole.filter(|count| *count <= MAX_COUNT)
}

/// A value as the event keeps it: as it was sent, or its text if no event can hold it, such as a number beyond a
/// double's range.
fn kept(value: &RawValue) -> Cow<'_, str> {
    // As deep as it will be: in `wakatime`, in the event.
    match json::value(&format!("[[{}]]", value.get())) {
        Ok(_) => Cow::Borrowed(value.get()),
        Err(_) => Cow::Owned(quoted(value.get()).get().to_owned()),
    }
}

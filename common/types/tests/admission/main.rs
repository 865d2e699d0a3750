//! What admission promises (contract, POST /v1/events; R1.1, R2.2): no I/O, a fixed time of receipt.

mod binary;
mod cloudevents;
mod envelope;
mod exact;
mod ndjson;
mod property;
mod rules;
mod times;
mod wakatime;

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use types::admission::{AdmissionContext, Admitted, admit};
use types::batch::{self, Batch, EventMetadata};
use types::formats::{BadEnvelope, BatchRequest, Format};
use types::schema::Schemas;
use types::time::{Micros, parse_rfc3339};
use types::verdict::Code;

/// When every test's request was received.
const RECEIVED: &str = "2026-03-01T08:15:03Z";

/// The members of a good event, as JSON text.
const EVENT: &[(&str, &str)] = &[
    ("id", r#""e1""#),
    ("type", r#""file.edited""#),
    ("occurred_at", r#""2026-03-01T09:14:58.001+01:00""#),
    ("data", r#"{"path":"src/main.rs"}"#),
];

/// The members of a good envelope other than `events`, as JSON text.
const ENVELOPE: &[(&str, &str)] = &[
    ("batch_id", r#""b1""#),
    ("sent_at", r#""2026-03-01T09:15:02.120+01:00""#),
    ("schema_version", r#""1.0""#),
];

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::builtin);

fn at(text: &str) -> Micros {
    parse_rfc3339(text)
        .and_then(|written| written.at)
        .expect("a test's time is a time")
}

fn context() -> AdmissionContext {
    AdmissionContext {
        developer: "ada".parse().expect("a developer id"),
        epoch: 0,
        zone: None,
        correlation_id: "c1".to_owned(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        received_at: at(RECEIVED),
        collector: "test/1".to_owned(),
    }
}

/// `members` as an object; a change replaces or adds a member, an empty text takes it out.
fn object(members: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let mut members = members.to_vec();
    for change in changes {
        match members.iter_mut().find(|(name, _)| *name == change.0) {
            Some(member) => *member = *change,
            None => members.push(*change),
        }
    }
    let written = members.iter().filter(|(_, value)| !value.is_empty());
    let written: Vec<String> = written
        .map(|(name, value)| format!("{name:?}:{value}"))
        .collect();
    format!("{{{}}}", written.join(","))
}

/// The good event with changes.
fn event(changes: &[(&str, &str)]) -> String {
    object(EVENT, changes)
}

/// A body with these events and changes to the good envelope.
fn body(changes: &[(&str, &str)], events: &[String]) -> String {
    let events = format!("[{}]", events.join(","));
    let changes: Vec<(&str, &str)> = [("events", events.as_str())]
        .iter()
        .chain(changes)
        .copied()
        .collect();
    object(ENVELOPE, &changes)
}

/// Reads and validates a body with these headers.
fn admit_sent<'a>(
    format: Format,
    headers: &[(&'static str, &str)],
    body: &'a [u8],
) -> Result<Admitted<'a>, BadEnvelope> {
    admit_in(format, headers, body, &context())
}

/// The same in a context of the test's own.
fn admit_in<'a>(
    format: Format,
    headers: &[(&'static str, &str)],
    body: &'a [u8],
    context: &AdmissionContext,
) -> Result<Admitted<'a>, BadEnvelope> {
    let headers = headers.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"),
        )
    });
    let headers = headers.collect();
    let developer = &context.developer;
    let received_at = context.received_at;
    let request = BatchRequest {
        headers: &headers,
        body,
        developer,
        received_at,
        max_events: 1000,
    };
    Ok(admit(format.read(&request)?, &SCHEMAS, context.clone()))
}

fn try_admit(body: &str) -> Result<Admitted<'_>, BadEnvelope> {
    admit_sent(Format::Envelope, &[], body.as_bytes())
}

fn admitted(body: &str) -> Admitted<'_> {
    try_admit(body).unwrap_or_else(|refused| panic!("{refused:?}: {body}"))
}

/// The notes of a batch of these events.
fn notes(events: &[String]) -> Vec<EventMetadata> {
    admitted(&body(&[], events)).header.events
}

/// The note of an event that is sent alone.
fn note(event: &str) -> EventMetadata {
    notes(&[event.to_owned()]).remove(0)
}

/// What admission finds for an event that is sent alone: the code and the pointer.
fn finding(event: &str) -> (Option<Code>, Option<String>) {
    let note = note(event);
    (note.code, note.pointer)
}

fn refused(code: Code, pointer: &str) -> (Option<Code>, Option<String>) {
    (Some(code), Some(pointer.to_owned()))
}

const ACCEPTED: (Option<Code>, Option<String>) = (None, None);

/// The events' texts as they are kept.
fn texts(batch: &Batch) -> Vec<&str> {
    batch
        .events()
        .map(|(_, bytes)| std::str::from_utf8(bytes).expect("an event of this test is text"))
        .collect()
}

/// The message that the batch would travel as, read again.
fn travelled(admitted: &Admitted<'_>) -> Batch {
    let message = batch::encode(&admitted.header, &admitted.events).expect("a message is written");
    batch::decode(message).expect("a message that was written can be read")
}

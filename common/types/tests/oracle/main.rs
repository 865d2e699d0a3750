//! Admission against its reference: the same bytes in, the same verdicts, texts, ids and messages out.

mod generated;
mod real;
mod reference;

use std::sync::LazyLock;

use http::HeaderMap;
use types::admission::{AdmissionContext, admit};
use types::batch;
use types::formats::{BatchRequest, Format};
use types::id::{DeveloperId, msg_id};
use types::schema::SchemaFile;
use types::schema::Schemas;
use types::time::Micros;

use reference::formats as reference_formats;
use reference::schema::Schemas as ReferenceSchemas;

/// A schema with what the built-in ones lack: the keywords that look at a value in ways of their own.
const PROBE: &str = r##"{
    "type": "object", "required": ["id", "type", "occurred_at"],
    "properties": {
        "id": {}, "type": {"const": "probe"}, "occurred_at": {},
        "data": {
            "type": "object", "maxProperties": 6, "minProperties": 1,
            "propertyNames": {"maxLength": 9},
            "dependentRequired": {"b": ["a"]},
            "patternProperties": {"^p": {"type": ["integer", "null"]}},
            "properties": {
                "a": {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "number", "maximum": 2.5}]},
                "b": {"enum": [1, 1.5, "x", null, [1, 2], {"c": 1}]},
                "c": {"const": {"x": [1, "y"], "z": 2}},
                "d": {"type": "array", "uniqueItems": true, "contains": {"type": "string"}, "maxItems": 4},
                "e": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "boolean"}]},
                "f": {"not": {"type": "string", "pattern": "^[a-c]"}},
                "g": {"if": {"type": "string"}, "then": {"minLength": 2, "maxLength": 3}, "else": {"minimum": 0}},
                "h": {"type": "array", "prefixItems": [{"type": "integer"}], "unevaluatedItems": {"type": "string"}},
                "i": {"allOf": [{"exclusiveMinimum": 0}, {"exclusiveMaximum": 10}]}
            }
        }
    },
    "$defs": {"tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}}
}"##;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let probe = SchemaFile {
        path: "1.0/probe.json".to_owned(),
        version: "1.0".parse().expect("a version"),
        kind: "probe".to_owned(),
        text: PROBE.to_owned(),
    };
    Schemas::builtin()
        .extended(&[probe])
        .expect("the probe is a schema")
});
static REFERENCE_SCHEMAS: LazyLock<ReferenceSchemas> =
    LazyLock::new(|| ReferenceSchemas::of(&SCHEMAS));

/// 2026-03-01T08:15:03Z.
const RECEIVED: Micros = 1_772_352_903_000_000;

/// A request, whatever its format.
#[derive(Debug, Clone)]
struct Sent {
    headers: HeaderMap,
    body: Vec<u8>,
    /// The zone that the developer has set.
    zone: Option<String>,
    max_events: usize,
}

/// What became of a request: the message, its id and the form of the reply; or the refusal.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    format: String,
    message: Vec<u8>,
    id: String,
}

fn developer() -> DeveloperId {
    "ada".parse().expect("a developer id")
}

fn by_library(format: Format, sent: &Sent) -> Result<Outcome, String> {
    let developer = developer();
    let request = BatchRequest {
        headers: &sent.headers,
        body: &sent.body,
        developer: &developer,
        received_at: RECEIVED,
        max_events: sent.max_events,
    };
    let parsed = format
        .read(&request)
        .map_err(|error| format!("{error:?}"))?;
    let context = AdmissionContext {
        developer: developer.clone(),
        epoch: 3,
        zone: sent.zone.clone(),
        correlation_id: "c1".to_owned(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        received_at: RECEIVED,
        collector: "test/1".to_owned(),
    };
    let admitted = admit(parsed, &SCHEMAS, context);
    let header = &admitted.header;
    Ok(Outcome {
        format: format!("{:?}", admitted.format),
        message: batch::encode(header, &admitted.events)
            .expect("a message is written")
            .to_vec(),
        id: msg_id(
            &header.developer,
            header.epoch,
            &header.batch_id,
            admitted.events.iter(),
        ),
    })
}

fn by_reference(format: Format, sent: &Sent) -> Result<Outcome, String> {
    let format = match format {
        Format::Envelope => reference_formats::Format::Envelope,
        Format::Ndjson => reference_formats::Format::Ndjson,
        Format::CloudEvent => reference_formats::Format::CloudEvent,
        Format::CloudEvents => reference_formats::Format::CloudEvents,
        Format::BinaryCloudEvent => reference_formats::Format::BinaryCloudEvent,
        Format::Heartbeats => reference_formats::Format::Heartbeats,
        Format::Heartbeat => reference_formats::Format::Heartbeat,
    };
    let developer = developer();
    let request = reference_formats::BatchRequest {
        headers: &sent.headers,
        body: &sent.body,
        developer: &developer,
        received_at: RECEIVED,
        max_events: sent.max_events,
    };
    let parsed = format
        .read(&request)
        .map_err(|error| format!("{error:?}"))?;
    let context = reference::admission::AdmissionContext {
        developer: developer.clone(),
        epoch: 3,
        zone: sent.zone.clone(),
        correlation_id: "c1".to_owned(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        received_at: RECEIVED,
        collector: "test/1".to_owned(),
    };
    let admitted = reference::admission::admit(parsed, &REFERENCE_SCHEMAS, context);
    let header = &admitted.header;
    let mut message = serde_json::to_vec(header).expect("a header is written");
    message.push(b'\n');
    for event in &admitted.events {
        message.extend_from_slice(event);
    }
    Ok(Outcome {
        format: format!("{:?}", admitted.format),
        message,
        id: reference::id::msg_id(
            &header.developer,
            header.epoch,
            &header.batch_id,
            admitted.events.iter(),
        ),
    })
}

/// Both say the same. Tells whether it was a batch.
fn assert_same(format: Format, sent: &Sent) -> bool {
    let ours = by_library(format, sent);
    let theirs = by_reference(format, sent);
    let shown = String::from_utf8_lossy(&sent.body);
    if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
        let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.message).into_owned();
        assert_eq!(text(ours), text(theirs), "{format:?}: {shown}");
    }
    assert_eq!(ours, theirs, "{format:?}: {shown}");
    ours.is_ok()
}

//! Admission: bytes, schemas and a clock in; one verdict an event out. No I/O.
//!
//! Only a body that is no envelope is an error. Whatever is wrong with single events is their
//! verdict, so a client's offline queue never jams.

mod envelope;
pub mod judge;

use common::batch::{FORMAT, Header, Note};
use common::clock::{self, Micros};
use common::id::DeveloperId;
use common::json::RawObject;
use common::schema::Schemas;
use serde_json::value::RawValue;

use envelope::Envelope;
use judge::Judge;

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
        origin: None,
    };
    Ok(Admitted { header, events: envelope.events })
}

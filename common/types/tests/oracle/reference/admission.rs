//! Admission: a submission, schemas and a time in; one verdict for each event out. No I/O.
//!
//! Whatever is wrong with single events is their verdict, so a client's offline queue never jams.
//! What is no batch at all was refused before, by its [format](crate::reference::formats).

mod validate;

use std::borrow::Cow;

use crate::reference::formats::{Format, ParsedBatch, ParsedEvent};
use crate::reference::schema::Schemas;
use crate::reference::time::{self, Micros};
use types::batch::{EventMetadata, FORMAT, Header};
use types::id::DeveloperId;

pub(crate) use validate::EventValidator;

/// Who sends, and when it was received.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionContext {
    /// The key's developer.
    pub(crate) developer: DeveloperId,
    /// The developer's epoch.
    pub(crate) epoch: u64,
    /// The IANA zone that the developer has set, if any: for batches whose client names none.
    pub(crate) zone: Option<String>,
    /// The request's correlation id.
    pub(crate) correlation_id: String,
    /// The request's trace context.
    pub(crate) traceparent: String,
    /// When the whole request had arrived.
    pub(crate) received_at: Micros,
    /// The collector's executable and instance.
    pub(crate) collector: String,
}

/// A batch with a verdict for each event.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    /// All but the events' bytes. `validated_at` is the caller's to set.
    pub(crate) header: Header,
    /// What it was written in.
    pub(crate) format: Format,
    /// The events' bytes as they are kept, in their order.
    pub(crate) events: Vec<Cow<'a, [u8]>>,
}

/// Gives each event of a submission its verdict.
pub(crate) fn admit<'a>(
    submission: ParsedBatch<'a>,
    schemas: &Schemas,
    context: AdmissionContext,
) -> Admitted<'a> {
    let skew = time::skew(submission.sent_at.at, context.received_at);
    let client = submission.members.get("client");
    let clients = client.and_then(|client| time::client_zone(client.get().as_bytes()));
    let is_needed = |name: &String| clients.is_none() && time::zone(name).is_some();
    let setting = context.zone.filter(is_needed);
    let validator = EventValidator {
        schemas,
        format: submission.format,
        schema_version: &submission.schema_version,
        skew,
        received_at: context.received_at,
        zone: clients.or_else(|| time::zone(setting.as_deref()?)),
    };
    let events = validator.validate_all(&submission.events);
    let header = Header {
        format: FORMAT,
        developer: context.developer,
        epoch: context.epoch,
        batch_id: submission.batch_id,
        correlation_id: context.correlation_id,
        traceparent: context.traceparent,
        schema_version: submission.schema_version,
        sent_at: submission.sent_at.text,
        received_at: context.received_at,
        validated_at: context.received_at,
        collector: context.collector,
        skew,
        envelope: submission.members,
        zone: setting,
        counts: events.iter().map(EventMetadata::verdict).collect(),
        events,
        origin: None,
    };
    Admitted {
        header,
        format: submission.format,
        events: submission.events.into_iter().map(bytes).collect(),
    }
}

fn bytes(event: ParsedEvent<'_>) -> Cow<'_, [u8]> {
    match event {
        ParsedEvent::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        ParsedEvent::Text(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        ParsedEvent::Refused(bytes, _) => bytes,
    }
}

//! Messages of EVENTS as the collector makes them, without a collector.

use anyhow::anyhow;
use async_nats::jetstream::{self, message::PublishMessage};
use collector::publisher::EventsMessage;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::HeaderMap;
use runtime::clock;
use types::admission::{AdmissionContext, admit};
use types::event_streams::EventStreams;
use types::formats::{BatchRequest, Format};
use types::id;
use types::schema::Schemas;

/// Publishes in flight; the server syncs one after the other.
const IN_FLIGHT: usize = 64;

/// The body of a request, and whose it is.
pub struct Body {
    pub developer: String,
    pub bytes: Vec<u8>,
}

/// Admission, message and message id of one body: all that the collector does before it publishes.
///
/// # Errors
/// The reason, if the body is refused.
pub fn encode(schemas: &Schemas, body: &Body) -> anyhow::Result<EventsMessage> {
    let context = AdmissionContext {
        developer: body.developer.parse()?,
        epoch: 0,
        zone: None,
        correlation_id: id::correlation_id(None),
        traceparent: id::traceparent(None),
        received_at: clock::now(),
        collector: "bench/1".to_owned(),
    };
    let headers = HeaderMap::new();
    let request = BatchRequest {
        headers: &headers,
        body: &body.bytes,
        developer: &context.developer,
        received_at: context.received_at,
        max_events: 1000,
    };
    let submission = Format::Envelope
        .read(&request)
        .map_err(|error| anyhow!("{error:?}"))?;
    let admitted = admit(submission, schemas, context.clone());
    Ok(EventsMessage::of(
        EventStreams::ONE,
        &admitted.header,
        &admitted.events,
    )?)
}

/// Publishes one message and waits for its PubAck.
///
/// # Errors
/// The refusal of the stream.
pub async fn publish(js: &jetstream::Context, message: EventsMessage) -> anyhow::Result<()> {
    let publish = PublishMessage::build()
        .payload(message.payload)
        .headers(message.headers)
        .message_id(message.identity.message_id);
    js.send_publish(message.subject, publish).await?.await?;
    Ok(())
}

/// Publishes batches in their order, many in flight.
///
/// # Errors
/// The first that is refused.
pub async fn publish_all(
    js: &jetstream::Context,
    bodies: impl Iterator<Item = Body>,
) -> anyhow::Result<()> {
    let schemas = Schemas::builtin();
    let publishes = bodies.map(|body| {
        let message = encode(&schemas, &body);
        async move { publish(js, message?).await }
    });
    stream::iter(publishes)
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

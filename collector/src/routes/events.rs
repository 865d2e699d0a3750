//! `POST /v1/events`: the checks in their order, the publish, the reply.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::batch::{self, Header};
use common::bus::{self, EVENTS};
use common::clock::{Clock, SystemClock};
use common::id;
use common::verdict::{Counts, Exception};
use serde::Serialize;
use serde_json::value::RawValue;
use tracing::Instrument;

use super::Ids;
use crate::admit::{self, Admitted, BadEnvelope};
use crate::auth::Caller;
use crate::body;
use crate::error::{ErrorCode, Problem};
use crate::publish::{Message, NotPublished, Published};
use crate::{App, NO_KEYS, Stream};

/// From here on, judging a body would hold up the other requests of its thread.
const LARGE_BODY: usize = 128 * 1024;

/// A full stream does not empty in a second.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// What a client is told of its batch.
#[derive(Serialize)]
struct Reply<'a> {
    batch_id: &'a str,
    correlation_id: &'a str,
    /// What the 2xx stands for: `stream`, on disk in JetStream.
    durability: &'static str,
    stream_sequence: u64,
    duplicate_batch: bool,
    counts: Counts,
    exceptions: Vec<Exception>,
}

pub async fn post(
    State(app): State<Arc<App>>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if app.stop.is_draining() {
        return Err(Problem::new(ErrorCode::ShuttingDown, "This collector is shutting down; send again."));
    }
    // Before the keys are known, a valid one would be called unknown, and the client give its batch up.
    if !*app.keys_loaded.borrow() {
        return Err(Problem::new(
            ErrorCode::StreamUnavailable,
            format!("Batches cannot be taken now: {NO_KEYS}."),
        ));
    }
    let caller = authenticate(&app, &headers)?;
    expect_json(&headers)?;
    expect_length(&headers, &body)?;
    let body = body::read(&headers, body, &app.body_limits).await?;
    let stream = app.ready().map_err(|reason| {
        Problem::new(ErrorCode::StreamUnavailable, format!("Batches cannot be taken now: {reason}."))
    })?;
    let judge = || tracing::info_span!("admit").in_scope(|| admit(&app, caller, &ids, &headers, &body));
    // A large body takes milliseconds to judge: other requests move to other threads meanwhile.
    let admitted = if body.len() > LARGE_BODY { tokio::task::block_in_place(judge) } else { judge() }?;
    let message = encode(&admitted, stream.max_message())?;
    let published = stream.publisher.publish(message).instrument(tracing::info_span!("publish")).await;
    let published = published.map_err(|error| not_published(&error))?;
    // R6.5: from the PubAck on, nothing but the reply. Only a duplicate's first counts are looked up.
    let first = match published.duplicate {
        true => {
            original(stream, published.sequence, &app.supported)
                .instrument(tracing::info_span!("original"))
                .await
        }
        false => None,
    };
    Ok(tracing::info_span!("reply").in_scope(|| reply(&admitted, published, first, &app.supported)))
}

fn reply(
    admitted: &Admitted<'_>,
    published: Published,
    first: Option<(Counts, Vec<Exception>)>,
    supported: &[String],
) -> Response {
    let header = &admitted.header;
    let (counts, exceptions) = first
        .unwrap_or_else(|| (header.counts, batch::exceptions(noted(header, &admitted.events), supported)));
    let reply = Reply {
        batch_id: &header.batch_id,
        correlation_id: &header.correlation_id,
        durability: "stream",
        stream_sequence: published.sequence,
        duplicate_batch: published.duplicate,
        counts,
        exceptions,
    };
    (StatusCode::ACCEPTED, Json(reply)).into_response()
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let unknown = |detail: &str| Problem::new(ErrorCode::Unauthenticated, detail);
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, key) = value.and_then(|value| value.split_once(' ')).ok_or_else(|| {
        unknown("The header Authorization: Bearer <key> is missing. `devtrail keys create` makes a key.")
    })?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown("Authorization must have the form Bearer <key>."));
    }
    app.keys
        .find(key.trim())
        .ok_or_else(|| unknown("The API key is unknown or revoked. `devtrail keys create` makes a new one."))
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("Content-Type is {sent:?}; send application/json.");
    Err(Problem::new(ErrorCode::UnsupportedMediaType, detail))
}

/// A POST that announces no body has forgotten it (RFC 9110, section 15.5.12).
fn expect_length(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    let announced = headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact() != Some(0);
    let missing = "The request has no body: send Content-Length or Transfer-Encoding: chunked.";
    if announced { Ok(()) } else { Err(Problem::new(ErrorCode::LengthRequired, missing)) }
}

fn admit<'a>(
    app: &App,
    caller: Caller,
    ids: &Ids,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Admitted<'a>, Problem> {
    let idempotency_key =
        headers.get("idempotency-key").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let context = admit::Context {
        developer: caller.developer,
        epoch: caller.epoch,
        idempotency_key,
        correlation_id: ids.correlation_id.clone(),
        traceparent: ids.traceparent.clone(),
        received_at: SystemClock.now(),
        collector: app.actor.clone(),
        max_events: app.limits.max_events,
    };
    let mut admitted =
        admit::admit(body, &app.schemas, context).map_err(|error| refuse(error, app.limits.max_events))?;
    admitted.header.validated_at = SystemClock.now();
    Ok(admitted)
}

fn refuse(error: BadEnvelope, max_events: usize) -> Problem {
    match error {
        BadEnvelope::Malformed(detail) => Problem::new(ErrorCode::MalformedJson, detail),
        BadEnvelope::Invalid { pointer, detail } => {
            Problem::new(ErrorCode::InvalidEnvelope, detail).pointer(pointer)
        }
        BadEnvelope::WrongDeveloper(named) => {
            let detail = format!(
                "developer_id names {named:?}, whose key this is not: leave developer_id out, or use that developer's key."
            );
            Problem::new(ErrorCode::WrongDeveloper, common::json::shorten(&detail, 300))
                .pointer("/developer_id")
        }
        BadEnvelope::TooManyEvents(sent) => {
            let detail = format!("The batch has {sent} events, the limit is {max_events}: send it in parts.");
            Problem::new(ErrorCode::TooManyEvents, detail).limit(max_events as u64)
        }
    }
}

fn noted<'a>(
    header: &'a Header,
    events: &'a [&'a RawValue],
) -> impl Iterator<Item = (&'a batch::Note, &'a str)> {
    header.events.iter().zip(events.iter().map(|event| event.get()))
}

fn encode(admitted: &Admitted<'_>, max_message: usize) -> Result<Message, Problem> {
    let header = &admitted.header;
    let payload = batch::encode(header, &admitted.events).map_err(|error| {
        Problem::new(ErrorCode::Internal, format!("The batch could not be encoded: {error}."))
    })?;
    if payload.len() > max_message {
        let detail = format!(
            "The batch makes a message of {} bytes, the limit is {max_message}: send it in parts.",
            payload.len()
        );
        return Err(Problem::new(ErrorCode::BatchTooLarge, detail).limit(max_message as u64));
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(batch::BATCH_ID, header.batch_id.as_str());
    headers.insert(batch::CORRELATION_ID, header.correlation_id.as_str());
    headers.insert(batch::TRACEPARENT, header.traceparent.as_str());
    let events = admitted.events.iter().map(|event| event.get());
    Ok(Message {
        id: id::msg_id(&header.developer, header.epoch, &header.batch_id, events),
        subject: bus::batch_subject(&header.developer),
        headers,
        payload,
    })
}

fn not_published(error: &NotPublished) -> Problem {
    match error {
        NotPublished::Full(_) => Problem::new(
            ErrorCode::StreamFull,
            "The stream is full: nothing was stored. Keep the batch and send it later.",
        )
        .retry_after(FULL_PAUSE),
        NotPublished::Unavailable(reason) => Problem::new(
            ErrorCode::StreamUnavailable,
            format!(
                "It is unknown whether the batch was stored ({reason}). Send the same batch again: it is kept once."
            ),
        ),
    }
}

/// The counts and exceptions of the first submission, from its message.
async fn original(stream: &Stream, sequence: u64, supported: &[String]) -> Option<(Counts, Vec<Exception>)> {
    let read = async {
        let events = stream.js.get_stream_no_info(EVENTS).await?;
        let message = events.direct_get(sequence).await?;
        let first = batch::decode(message.payload)?;
        Ok::<_, async_nats::Error>((first.header.counts, first.exceptions(supported)))
    };
    // The same message id means the same events: this attempt's own counts differ at most where
    // time decides (implausible then, plausible now).
    read.await
        .inspect_err(|error| tracing::warn!(sequence, %error, "the first submission could not be read"))
        .ok()
}

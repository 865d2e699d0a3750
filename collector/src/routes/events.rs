//! `POST /v1/events`: the checks in their order, the publish, the reply.

mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use common::clock::{Clock, SystemClock};
use common::key::Scope;
use common::query::{self, ResendNote};
use tokio::time::Instant;
use tracing::Instrument;

use super::Ids;
use crate::App;
use crate::admit::{self, Admitted, BadEnvelope};
use crate::auth::{Caller, authenticate};
use crate::body;
use crate::error::{ErrorCode, Problem};
use crate::notes::Resend;
use crate::prefer::Wait;
use crate::publish::{Message, NotPublished, Published};
use crate::wait::{Awaited, Waiter};
use reply::First;

/// From here on, judging a body would hold up the other requests of its thread.
const LARGE_BODY: usize = 128 * 1024;

/// A full stream does not empty in a second.
const FULL_PAUSE: Duration = Duration::from_secs(5);

pub async fn post(
    State(app): State<Arc<App>>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if app.stop.is_draining() {
        return Err(Problem::new(ErrorCode::ShuttingDown, "This collector is shutting down; send again."));
    }
    let caller = authenticate(&app, &headers, Scope::EventsWrite)?;
    expect_json(&headers)?;
    expect_length(&headers, &body)?;
    let wait = Wait::of(&headers);
    let body = body::read(&headers, body, &app.body_limits).await?;
    let received = Instant::now();
    let stream = app.ready().map_err(|reason| {
        Problem::new(ErrorCode::StreamUnavailable, format!("Batches cannot be taken now: {reason}."))
    })?;
    let judge = || tracing::info_span!("admit").in_scope(|| admit(&app, caller, &ids, &headers, &body));
    // A large body takes milliseconds to judge: other requests move to other threads meanwhile.
    let admitted = if body.len() > LARGE_BODY { tokio::task::block_in_place(judge) } else { judge() }?;
    // Registered before the publish: a hint may come before the PubAck.
    let waiting = wait.map(|wait| (wait, stream.hints.register()));
    let message = encode(&admitted, waiting.as_ref().map(|(_, waiter)| waiter), stream.max_message())?;
    let published = stream.publisher.publish(message).instrument(tracing::info_span!("publish")).await;
    let published = published.map_err(|error| not_published(&error))?;
    // R6.5: from the PubAck on, nothing but the reply. Only a duplicate's first counts are looked up,
    // and the store is waited for where the client asks for that.
    let first = match published.duplicate {
        true => {
            reply::first(stream, published.sequence, &admitted.header, &app.supported)
                .instrument(tracing::info_span!("original"))
                .await
        }
        false => First::Own,
    };
    if published.duplicate && !published.joined && first != First::Own {
        stream.notes.leave(resend(&admitted, &published));
    }
    let waited = match waiting {
        Some((wait, waiter)) => {
            let waited = Awaited { published: published.clone(), deadline: received + wait.duration() }
                .stored(&waiter, &stream.asker, &stream.life, &app.stop)
                .instrument(tracing::info_span!("wait"))
                .await;
            Some((wait, waited))
        }
        None => None,
    };
    let reply = || reply::response(&admitted, &published, first, waited, &app.supported);
    Ok(tracing::info_span!("reply").in_scope(reply))
}

/// The note of a resend that the server dropped.
fn resend(admitted: &Admitted<'_>, published: &Published) -> Resend {
    let header = &admitted.header;
    let note = ResendNote {
        life: published.life.clone(),
        seq: published.sequence,
        correlation_id: header.correlation_id.clone(),
        received_at: header.received_at,
        collector: header.collector.clone(),
    };
    Resend { note, acked: Instant::now() }
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

fn encode(admitted: &Admitted<'_>, waiter: Option<&Waiter>, max_message: usize) -> Result<Message, Problem> {
    let mut message = Message::of(&admitted.header, &admitted.events).map_err(|error| {
        Problem::new(ErrorCode::Internal, format!("The batch could not be encoded: {error}."))
    })?;
    if message.payload.len() > max_message {
        let detail = format!(
            "The batch makes a message of {} bytes, the limit is {max_message}: send it in parts.",
            message.payload.len()
        );
        return Err(Problem::new(ErrorCode::BatchTooLarge, detail).limit(max_message as u64));
    }
    if let Some(waiter) = waiter {
        message.headers.insert(query::NOTIFY, waiter.subject());
    }
    Ok(message)
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

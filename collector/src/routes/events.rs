//! `POST /v1/events`: the checks in their order, the publish, the reply. Other routes take batches by the same [`take`].

mod admission;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use runtime::metrics;
use tokio::time::Instant;
use tracing::Instrument;
use types::key::Scope;
use types::query::{self, ResendNote};

use crate::app::{App, NotReady};
use crate::auth::authenticate;
use crate::body;
use crate::notes::Resend;
use crate::openapi::{BatchHeaders, EventsRefusals};
use crate::prefer::Wait;
use crate::publish::{Message, NotPublished, Published};
use crate::rate::{self, Standing};
use crate::room::Place;
use crate::wait::{Awaited, Waiter};
use http_server::layers::RequestIds as Ids;
use http_server::{ErrorCode, Problem};
use reply::First;
pub use reply::{Reply, Told};
use types::admission::Admitted;
use types::formats::Format;

/// From here on, judging a body would hold up the other requests of its thread.
const LARGE_BODY: usize = 128 * 1024;

/// A full stream does not empty in a second.
const FULL_PAUSE: Duration = Duration::from_secs(5);
/// While a few tries decide whether the stream is well again.
const PROBED_PAUSE: Duration = Duration::from_secs(1);

/// Send a batch of events.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "sendEvents", tag = "events",
    security(("key" = ["events:write"])), params(BatchHeaders),
    request_body(content(
        (ref("#/components/schemas/Envelope") = "application/json"),
        (ref("#/components/schemas/Lines") = "application/x-ndjson"),
        (ref("#/components/schemas/CloudEvent") = "application/cloudevents+json"),
        (ref("#/components/schemas/CloudEvents") = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 202, description = "The batch is on disk.", body = Reply, headers(("Preference-Applied" = String, description = "`wait=N`, where it was waited."))),
        (status = 200, description = "The store has the batch (`Prefer: wait`).", body = Reply, headers(("Preference-Applied" = String, description = "`wait=N`, where it was waited."))),
        EventsRefusals,
    )
)]
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = |headers: &HeaderMap| {
        Format::of(headers)
            .map_err(|error| Problem::new(ErrorCode::UnsupportedMediaType, error.to_string()))
    };
    take(&app, &ids, headers, body, format, |admitted, told| {
        Ok(told.response(&admitted.header))
    })
    .await
}

/// Takes a batch, whatever its format: judges it, publishes it, waits where the client asks for that.
/// `reply` makes the response of what can be told then.
///
/// # Errors
/// Where the batch is not taken, or it is unknown whether it was.
pub async fn take(
    app: &App,
    ids: &Ids,
    headers: HeaderMap,
    body: Body,
    format: impl FnOnce(&HeaderMap) -> Result<Format, Problem>,
    reply: impl FnOnce(&Admitted<'_>, &Told) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    if app.shutdown.is_draining() {
        return Err(Problem::new(
            ErrorCode::ShuttingDown,
            "This collector is shutting down; send again.",
        ));
    }
    let mut caller = authenticate(app, &headers, Scope::EventsWrite)?;
    let meter = caller.meter.take();
    let format = format(&headers)?;
    expect_length(&headers, &body)?;
    let wait = Wait::of(&headers);
    let (place, body) = read(app, &headers, body).await?;
    let received = Instant::now();
    metrics::http_body(body.len());
    let stream = app.ready().map_err(|reason| not_ready(app, reason))?;
    let sent = admission::Sent {
        format,
        headers: &headers,
        body: &body,
    };
    let judge =
        || tracing::info_span!("admit").in_scope(|| admission::admit(app, caller, ids, &sent));
    // A large body takes milliseconds to judge: other requests move to other threads meanwhile.
    let admitted = if body.len() > LARGE_BODY {
        let _turn = app.room.turn().await;
        tokio::task::block_in_place(judge)
    } else {
        judge()
    }?;
    // Registered before the publish: a hint may come before the PubAck. Without a seat it is not waited.
    let seat = wait.and_then(|wait| Some((wait, app.room.wait()?)));
    let waiting = seat.map(|(wait, seat)| (wait, stream.hints.register(), seat));
    let message = encode(
        &admitted,
        waiting.as_ref().map(|(_, waiter, _)| waiter),
        stream.max_message(),
    )?;
    place.hold_as_well(message.payload.len());
    // Last of the checks: what is refused costs nothing.
    let standing = rate::charge(meter.as_deref(), admitted.events.len())?;
    let published = stream
        .publisher
        .publish(message, place.clone())
        .instrument(tracing::info_span!("publish"))
        .await;
    let published = published.map_err(|error| not_published(&error))?;
    if !published.duplicate {
        metrics::events_taken(&admitted.header.counts);
    }
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
        Some((wait, waiter, _seat)) => {
            let waited = Awaited {
                published: published.clone(),
                deadline: received + wait.duration(),
            }
            .stored(&waiter, &stream.asker, &stream.incarnation, &app.shutdown)
            .instrument(tracing::info_span!("wait"))
            .await;
            Some((wait, waited))
        }
        None => None,
    };
    let mut response = tracing::info_span!("reply").in_scope(|| {
        let told = Told::of(&admitted, &published, first, waited, &app.supported);
        reply(&admitted, &told)
    })?;
    response
        .headers_mut()
        .extend(standing.into_iter().flat_map(Standing::headers));
    Ok(response)
}

/// Reads the body, where the stream may be tried and there is room; else refuses at once, the body unread.
async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<(Arc<Place>, Bytes), Problem> {
    if let Some(left) = app.breaker.refuses() {
        return Err(circuit_open(left, false));
    }
    // One that is too large for itself is refused as such below.
    let announced = body::announced(headers).and_then(|bytes| usize::try_from(bytes).ok());
    let announced = announced
        .filter(|bytes| *bytes <= app.limits.max_body)
        .unwrap_or_default();
    let place = Arc::new(app.room.enter(announced)?);
    let body = body::read(headers, body, &app.body_limits, &app.room, &place).await?;
    Ok((place, body))
}

/// The refusal where no batch can be taken now. A connection that is lost counts as a try that failed.
fn not_ready(app: &App, reason: NotReady) -> Problem {
    if reason == NotReady::NotConnected {
        match app.breaker.acquire() {
            Ok(permit) => permit.failed(&reason.to_string()),
            Err(left) => return circuit_open(left, false),
        }
    }
    Problem::new(
        ErrorCode::StreamUnavailable,
        format!("Batches cannot be taken now: {reason}."),
    )
}

/// The refusal while the stream is left alone; `sent` where the batch was published before, with no answer.
fn circuit_open(left: Duration, sent: bool) -> Problem {
    let detail = match sent {
        true => {
            "It is unknown whether the batch was stored, and the stream is not tried for a while: it failed again and \
             again. Send the same batch again then: it is kept once."
        }
        false => {
            "Nothing was stored: the stream failed again and again, so it is not tried for a while. Send the batch again \
             then."
        }
    };
    // Zero where the end of somebody else's try decides: soon.
    Problem::new(ErrorCode::CircuitOpen, detail).retry_after(if left.is_zero() {
        PROBED_PAUSE
    } else {
        left
    })
}

/// The note of a resend that the server dropped.
fn resend(admitted: &Admitted<'_>, published: &Published) -> Resend {
    let header = &admitted.header;
    let note = ResendNote {
        incarnation: published.incarnation.clone(),
        seq: published.sequence,
        correlation_id: header.correlation_id.clone(),
        received_at: header.received_at,
        collector: header.collector.clone(),
    };
    Resend {
        note,
        acked: Instant::now(),
    }
}

/// A POST that announces no body has forgotten it (RFC 9110, section 15.5.12).
fn expect_length(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    let announced =
        headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact() != Some(0);
    let missing = "The request has no body: send Content-Length or Transfer-Encoding: chunked.";
    if announced {
        Ok(())
    } else {
        Err(Problem::new(ErrorCode::LengthRequired, missing))
    }
}

fn encode(
    admitted: &Admitted<'_>,
    waiter: Option<&Waiter>,
    max_message: usize,
) -> Result<Message, Problem> {
    let mut message = Message::of(&admitted.header, &admitted.events).map_err(|error| {
        Problem::new(
            ErrorCode::Internal,
            format!("The batch could not be encoded: {error}."),
        )
    })?;
    if message.payload.len() > max_message {
        let detail = format!(
            "The batch makes a message of {} bytes, the limit is {max_message}: send it in parts.",
            message.payload.len()
        );
        let problem = Problem::new(ErrorCode::BatchTooLarge, detail);
        return Err(problem
            .limit(max_message as u64)
            .actual(message.payload.len() as u64));
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
        NotPublished::TooLarge(reason) => Problem::new(
            ErrorCode::BatchTooLarge,
            format!(
                "The stream takes no message as large as this batch ({reason}): send it in parts."
            ),
        ),
        NotPublished::CircuitOpen { left, sent } => circuit_open(*left, *sent),
        NotPublished::Unavailable(reason) => Problem::new(
            ErrorCode::StreamUnavailable,
            format!(
                "It is unknown whether the batch was stored ({reason}). Send the same batch again: it is kept once."
            ),
        ),
    }
}

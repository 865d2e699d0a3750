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
use common::key::Scope;
use common::query::{self, ResendNote};
use tokio::time::Instant;
use tracing::Instrument;

use super::Ids;
use crate::App;
use crate::admit::Admitted;
use crate::auth::authenticate;
use crate::body;
use crate::error::{ErrorCode, Problem};
use crate::formats::Format;
use crate::notes::Resend;
use crate::openapi::{BatchHeaders, EventsRefusals};
use crate::prefer::Wait;
use crate::publish::{Message, NotPublished, Published};
use crate::rate::{self, Standing};
use crate::wait::{Awaited, Waiter};
use reply::First;
pub use reply::{Reply, Told};

/// From here on, judging a body would hold up the other requests of its thread.
const LARGE_BODY: usize = 128 * 1024;

/// A full stream does not empty in a second.
const FULL_PAUSE: Duration = Duration::from_secs(5);

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
    let format = |headers: &HeaderMap| Format::of(headers);
    take(&app, &ids, headers, body, format, |admitted, told| Ok(told.response(&admitted.header))).await
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
    if app.stop.is_draining() {
        return Err(Problem::new(ErrorCode::ShuttingDown, "This collector is shutting down; send again."));
    }
    let mut caller = authenticate(app, &headers, Scope::EventsWrite)?;
    let meter = caller.meter.take();
    let format = format(&headers)?;
    expect_length(&headers, &body)?;
    let wait = Wait::of(&headers);
    let body = body::read(&headers, body, &app.body_limits).await?;
    let received = Instant::now();
    let stream = app.ready().map_err(|reason| {
        Problem::new(ErrorCode::StreamUnavailable, format!("Batches cannot be taken now: {reason}."))
    })?;
    let sent = admission::Sent { format, headers: &headers, body: &body };
    let judge = || tracing::info_span!("admit").in_scope(|| admission::admit(app, caller, ids, &sent));
    // A large body takes milliseconds to judge: other requests move to other threads meanwhile.
    let admitted = if body.len() > LARGE_BODY { tokio::task::block_in_place(judge) } else { judge() }?;
    // Registered before the publish: a hint may come before the PubAck.
    let waiting = wait.map(|wait| (wait, stream.hints.register()));
    let message = encode(&admitted, waiting.as_ref().map(|(_, waiter)| waiter), stream.max_message())?;
    // Last of the checks: what is refused costs nothing.
    let standing = rate::charge(meter.as_deref(), admitted.events.len())?;
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
    let mut response = tracing::info_span!("reply").in_scope(|| {
        let told = Told::of(&admitted, &published, first, waited, &app.supported);
        reply(&admitted, &told)
    })?;
    response.headers_mut().extend(standing.into_iter().flat_map(Standing::headers));
    Ok(response)
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

/// A POST that announces no body has forgotten it (RFC 9110, section 15.5.12).
fn expect_length(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    let announced = headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact() != Some(0);
    let missing = "The request has no body: send Content-Length or Transfer-Encoding: chunked.";
    if announced { Ok(()) } else { Err(Problem::new(ErrorCode::LengthRequired, missing)) }
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
        let problem = Problem::new(ErrorCode::BatchTooLarge, detail);
        return Err(problem.limit(max_message as u64).actual(message.payload.len() as u64));
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

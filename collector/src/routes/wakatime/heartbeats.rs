//! `POST /api/v1/users/{user}/heartbeats` and `….bulk`, as WakaTime's clients expect them, those in a browser as well.
//!
//! Its clients drop a heartbeat whose status is 201, 202 or 400, and keep any other in their offline
//! queue. So whatever reached the stream gets one of the three, and nothing else does.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http_server::layers::RequestIds;
use http_server::{ErrorCode, Problem};
use serde_json::{Value, json};
use types::admission::Admitted;
use types::formats::{Format, wakatime};
use types::verdict::{Exception, Verdict};

use super::super::events::{BatchReply, ReceivedBatch};
use super::request::OwnCaller;
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::authorized::{EventsWrite, NotDraining};
use crate::openapi::{HeartbeatHeaders, HeartbeatRefusals};

/// Send a WakaTime heartbeat, or an array of them.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/heartbeats", operation_id = "sendHeartbeat", tag = "events",
    params(HeartbeatHeaders),
    request_body(content = ref("#/components/schemas/HeartbeatsSent"), content_type = "application/json"),
    responses(
        (status = 201, description = "One: it is taken, or was before. An array: a status for each, in order.",
            body = ref("#/components/schemas/HeartbeatsReply")),
        (status = 202, description = "One: it is quarantined, kept whole.",
            body = ref("#/components/schemas/HeartbeatAccepted")),
        HeartbeatRefusals,
    )
)]
pub async fn heartbeat(
    _: NotDraining,
    OwnCaller { caller, .. }: OwnCaller<EventsWrite>,
    State(app): State<Arc<AppState>>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    post(&app, &ids, caller, headers, body).await
}

/// Send an array of WakaTime heartbeats, or one.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/heartbeats.bulk", operation_id = "sendHeartbeats", tag = "events",
    params(HeartbeatHeaders),
    request_body(content = ref("#/components/schemas/HeartbeatsSent"), content_type = "application/json"),
    responses(
        (status = 201, description = "One: it is taken, or was before. An array: a status for each, in order.",
            body = ref("#/components/schemas/HeartbeatsReply")),
        (status = 202, description = "One: it is quarantined, kept whole.",
            body = ref("#/components/schemas/HeartbeatAccepted")),
        HeartbeatRefusals,
    )
)]
pub async fn heartbeats(
    _: NotDraining,
    OwnCaller { caller, .. }: OwnCaller<EventsWrite>,
    State(app): State<Arc<AppState>>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    post(&app, &ids, caller, headers, body).await
}

/// Takes what was sent to either route, and responds in its shape.
async fn post(
    app: &AppState,
    ids: &RequestIds,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let received = ReceivedBatch::read(app, &caller, Format::Heartbeats, headers, body).await?;
    let accepted = received.accept(app, ids, caller).await?;
    let published = accepted.publish(app).await?;
    published.respond(app, to_response).await
}

fn to_response(admitted: &Admitted<'_>, reply: &BatchReply) -> Result<Response, Problem> {
    let (status, body) = match admitted.format {
        Format::Heartbeat => reply_to_one(admitted, reply)?,
        _ => (StatusCode::CREATED, reply_to_each(admitted, reply)),
    };
    Ok(reply.with_preference((status, Json(body)).into_response()))
}

/// Status and body of a heartbeat that was sent alone.
fn reply_to_one(
    admitted: &Admitted<'_>,
    reply: &BatchReply,
) -> Result<(StatusCode, Value), Problem> {
    match reply.exceptions.first() {
        Some(exception) if exception.verdict == Verdict::Rejected => {
            let detail = format!("The heartbeat is kept as rejected: {}.", reason(exception));
            let pointer = exception.pointer.clone().unwrap_or_default();
            Err(Problem::new(ErrorCode::InvalidEnvelope, detail).pointer(pointer))
        }
        exception => Ok(status_and_body(&admitted.events[0], exception)),
    }
}

/// Body and status of each heartbeat of an array, in their order.
fn reply_to_each(admitted: &Admitted<'_>, reply: &BatchReply) -> Value {
    let exceptions: HashMap<u32, &Exception> = reply
        .exceptions
        .iter()
        .map(|exception| (exception.index, exception))
        .collect();
    let responses = admitted.events.iter().zip(0_u32..).map(|(event, index)| {
        let (status, body) = status_and_body(event, exceptions.get(&index).copied());
        json!([body, status.as_u16()])
    });
    json!({"responses": responses.collect::<Vec<Value>>()})
}

/// Status and body of one heartbeat.
fn status_and_body(event: &[u8], exception: Option<&Exception>) -> (StatusCode, Value) {
    let taken = || json!({"data": wakatime::echo(event)});
    match exception.map(|exception| (exception.verdict, exception)) {
        None | Some((Verdict::Accepted | Verdict::Duplicate, _)) => (StatusCode::CREATED, taken()),
        // Kept whole, and perhaps admitted later; nothing for the client to do.
        Some((Verdict::Quarantined, _)) => (StatusCode::ACCEPTED, taken()),
        Some((Verdict::Rejected, exception)) => {
            (StatusCode::BAD_REQUEST, json!({"error": reason(exception)}))
        }
    }
}

/// Why a heartbeat is refused, with the member at fault.
fn reason(exception: &Exception) -> String {
    let detail = exception
        .detail
        .as_deref()
        .unwrap_or(exception.code.as_str());
    match exception.pointer.as_deref().unwrap_or_default() {
        "" => detail.to_owned(),
        pointer => format!("{}: {detail}", pointer.trim_start_matches('/')),
    }
}

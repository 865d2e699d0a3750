//! `POST /v1/events`: accept, publish, respond. The routes for heartbeats take batches in the same steps.

mod accept;
mod publish;
mod refusals;
mod reply;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use http_server::layers::RequestIds;
use http_server::{ErrorCode, Problem};
use types::formats::Format;

use crate::app_state::AppState;
use crate::authorized::{Authorized, EventsWrite, NotDraining};
use crate::openapi::{BatchHeaders, EventsRefusals};

pub use accept::ReceivedBatch;
pub use reply::{BatchReply, ReplyBody};

/// Send a batch of events.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "sendEvents", tag = "events",
    params(BatchHeaders),
    request_body(content(
        (ref("#/components/schemas/Envelope") = "application/json"),
        (ref("#/components/schemas/Lines") = "application/x-ndjson"),
        (ref("#/components/schemas/CloudEvent") = "application/cloudevents+json"),
        (ref("#/components/schemas/CloudEvents") = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 202, description = "The batch is on disk.", body = ReplyBody,
            headers(("Preference-Applied" = String, description = "`wait=N`, if the request waited."))),
        (status = 200, description = "The store has the batch (`Prefer: wait`).", body = ReplyBody,
            headers(("Preference-Applied" = String, description = "`wait=N`, if the request waited."))),
        EventsRefusals,
    )
)]
pub async fn post(
    _: NotDraining,
    Authorized { caller, .. }: Authorized<EventsWrite>,
    State(app): State<Arc<AppState>>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)
        .map_err(|error| Problem::new(ErrorCode::UnsupportedMediaType, error.to_string()))?;
    let received = ReceivedBatch::read(&app, &caller, format, headers, body).await?;
    let accepted = received.accept(&app, &ids, caller).await?;
    let published = accepted.publish(&app).await?;
    published
        .respond(&app, |admitted, reply| {
            Ok(reply.to_response(&admitted.header))
        })
        .await
}

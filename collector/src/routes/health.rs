//! `/health/live`: the process answers. `/health/ready`: a batch would be accepted.

use std::sync::Arc;

use axum::Json;
use axum::extract;
use http_server::health::Health;

use crate::app_state::AppState;
use crate::openapi::{NoRefusals, ReadyRefusals};
use http_server::{ErrorCode, Problem};

/// Whether the process answers.
#[utoipa::path(
    get, path = "/health/live", operation_id = "isLive", tag = "health",
    responses((status = 200, description = "It does.", body = Health), NoRefusals)
)]
pub async fn live() -> Json<Health> {
    Health::LIVE
}

/// Whether a batch would be accepted.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "isReady", tag = "health",
    responses((status = 200, description = "It would.", body = Health), ReadyRefusals)
)]
pub async fn ready(
    extract::State(app): extract::State<Arc<AppState>>,
) -> Result<Json<Health>, Problem> {
    if app.shutdown.is_draining() {
        return Err(Problem::new(
            ErrorCode::ShuttingDown,
            "This collector is shutting down.",
        ));
    }
    let bound = app.stream.get();
    if let Some(left) = bound.and_then(|stream| stream.partitions.all_open_for()) {
        let detail =
            "Not ready: the stream failed again and again, so it is not tried for a while.";
        return Err(Problem::new(ErrorCode::CircuitOpen, detail).retry_after(left));
    }
    match app.ready() {
        Ok(_) => Ok(Health::READY),
        Err(reason) => Err(Problem::new(
            ErrorCode::StreamUnavailable,
            format!("Not ready: {reason}."),
        )),
    }
}

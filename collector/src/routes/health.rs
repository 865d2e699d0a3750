//! `/health/live`: the process answers. `/health/ready`: a batch would be accepted.

use std::sync::Arc;

use axum::Json;
use axum::extract;
use runtime::breaker::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ErrorCode, Problem};
use crate::openapi::{NoRefusals, ReadyRefusals};

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`, as was asked.
    status: &'static str,
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/health/live", operation_id = "isLive", tag = "health",
    responses((status = 200, description = "It does.", body = Health), NoRefusals)
)]
pub async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether a batch would be accepted.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "isReady", tag = "health",
    responses((status = 200, description = "It would.", body = Health), ReadyRefusals)
)]
pub async fn ready(extract::State(app): extract::State<Arc<App>>) -> Result<Json<Health>, Problem> {
    if app.shutdown.is_draining() {
        return Err(Problem::new(
            ErrorCode::ShuttingDown,
            "This collector is shutting down.",
        ));
    }
    if app.breaker.state() == State::Open {
        let detail =
            "Not ready: the stream failed again and again, so it is not tried for a while.";
        return Err(
            Problem::new(ErrorCode::CircuitOpen, detail).retry_after(app.breaker.open_for())
        );
    }
    match app.ready() {
        Ok(_) => Ok(Json(Health { status: "ready" })),
        Err(reason) => Err(Problem::new(
            ErrorCode::StreamUnavailable,
            format!("Not ready: {reason}."),
        )),
    }
}

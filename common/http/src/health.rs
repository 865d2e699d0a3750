//! The answers to `/health/live`, `/health/ready` and `/metrics`, on whichever address they are served.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use runtime::health::NotReady;
use runtime::process::Process;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// The media type of Prometheus's text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`, as was asked.
    status: &'static str,
}

impl Health {
    /// The body of `/health/live`.
    pub const LIVE: Json<Self> = Json(Self { status: "live" });
    /// The body of `/health/ready` of a process that is ready.
    pub const READY: Json<Self> = Json(Self { status: "ready" });
}

/// The process's metrics for Prometheus, its gauges read now.
pub async fn metrics(process: &Process) -> Response {
    let text = process.metrics().await;
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()
}

/// The refusal of a process that is not ready.
pub fn not_ready(reason: &NotReady) -> Problem {
    let code = ErrorCode::ALL
        .into_iter()
        .find(|code| code.as_str() == reason.code);
    Problem::new(
        code.unwrap_or(ErrorCode::Internal),
        format!("Not ready: {}.", reason.reason),
    )
}

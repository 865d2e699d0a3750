//! `/health/live`: the process answers. `/health/ready`: a batch would be accepted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::App;
use crate::error::{ErrorCode, Problem};

pub async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    if app.stop.is_draining() {
        return Err(Problem::new(ErrorCode::ShuttingDown, "This collector is shutting down."));
    }
    match app.ready() {
        Ok(_) => Ok(Json(json!({"status": "ready"}))),
        Err(reason) => Err(Problem::new(ErrorCode::StreamUnavailable, format!("Not ready: {reason}."))),
    }
}

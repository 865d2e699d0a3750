//! `/v1/schemas`: what an event must look like.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::App;
use crate::error::{ErrorCode, Problem};

pub async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let types: Vec<Value> = app
        .schemas
        .types()
        .map(|(kind, schemas)| {
            let versions: Vec<String> = schemas.iter().map(|schema| schema.version.to_string()).collect();
            json!({"type": kind, "versions": versions})
        })
        .collect();
    Json(json!({"supported": app.supported, "types": types}))
}

pub async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    // A path that is no UTF-8 names no schema.
    let named = path.ok().and_then(|Path((version, kind))| Some((version.parse().ok()?, kind)));
    let known = named.filter(|(version, _)| app.schemas.versions().contains(version));
    let schema = known.and_then(|(version, kind)| app.schemas.get(&kind, version)).ok_or_else(|| {
        let supported = app.supported.join(", ");
        Problem::new(
            ErrorCode::NotFound,
            format!("There is no such schema. Versions: {supported}; types: /v1/schemas."),
        )
    })?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], schema.text).into_response())
}

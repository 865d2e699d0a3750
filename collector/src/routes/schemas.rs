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
    let schema = path.ok().and_then(|Path((version, kind))| {
        let known = version.parse().ok().filter(|version| app.schemas.versions().contains(version));
        known.and_then(|version| app.schemas.get(&kind, version))
    });
    let schema = schema.ok_or_else(|| {
        let supported = app.supported.join(", ");
        Problem::new(
            ErrorCode::NotFound,
            format!("There is no such schema. Versions: {supported}; types: /v1/schemas."),
        )
    })?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], schema.text.clone().into_owned())
        .into_response())
}

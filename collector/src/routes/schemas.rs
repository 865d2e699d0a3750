//! `/v1/schemas`: what an event must look like.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::openapi::{NoRefusals, SchemaName, SchemaRefusals};
use http_server::{ErrorCode, Problem};

/// The event types that are known.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownTypes {
    /// The supported schema versions.
    supported: Vec<String>,
    types: Vec<EventType>,
}

/// An event type.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventType {
    r#type: String,
    /// The versions that have a schema of their own.
    versions: Vec<String>,
}

/// The supported versions, and the event types with theirs.
#[utoipa::path(
    get, path = "/v1/schemas", operation_id = "listSchemas", tag = "schemas",
    responses((status = 200, description = "All types.", body = KnownTypes), NoRefusals)
)]
pub async fn list(State(app): State<Arc<AppState>>) -> Json<KnownTypes> {
    let types = app
        .schemas
        .types()
        .map(|(kind, schemas)| {
            let versions: Vec<String> = schemas
                .iter()
                .map(|schema| schema.version.to_string())
                .collect();
            EventType {
                r#type: kind.to_owned(),
                versions,
            }
        })
        .collect();
    Json(KnownTypes {
        supported: app.supported.clone(),
        types,
    })
}

/// The JSON Schema (2020-12) of a type at a version.
#[utoipa::path(
    get, path = "/v1/schemas/{version}/{type}", operation_id = "getSchema", tag = "schemas", params(SchemaName),
    responses(
        (status = 200, description = "The schema of whole events.", body = Object,
            content_type = "application/schema+json"),
        SchemaRefusals,
    )
)]
pub async fn one(
    State(app): State<Arc<AppState>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let schema = path.ok().and_then(|Path((version, kind))| {
        let known = version
            .parse()
            .ok()
            .filter(|version| app.schemas.versions().contains(version));
        known.and_then(|version| app.schemas.get(&kind, version))
    });
    let schema = schema.ok_or_else(|| {
        let supported = app.supported.join(", ");
        Problem::new(
            ErrorCode::NotFound,
            format!("There is no such schema. Versions: {supported}; types: /v1/schemas."),
        )
    })?;
    Ok((
        [(header::CONTENT_TYPE, "application/schema+json")],
        schema.text.clone().into_owned(),
    )
        .into_response())
}

//! `GET /openapi.json`: the description of all routes.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::openapi::{self, NoRefusals};

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getDescription", tag = "schemas",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object), NoRefusals)
)]
pub async fn get() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        openapi::document(),
    )
        .into_response()
}

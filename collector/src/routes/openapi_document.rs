//! `GET /openapi.json`: the description of all routes.

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::openapi::{Document, NoRefusals};

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getDescription", tag = "schemas",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object), NoRefusals)
)]
pub async fn get(Extension(Document(document)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

//! Which problems each route can answer, as responses: a status, and the codes under it.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use http_server::ErrorCode;

/// What any request can come to: these are decided before, or besides, its route.
const ALWAYS: [ErrorCode; 5] = [
    ErrorCode::MalformedRequest,
    ErrorCode::HeaderTimeout,
    ErrorCode::HeadersTooLarge,
    ErrorCode::Internal,
    ErrorCode::Overloaded,
];

/// Names the codes of a route; those of every route are added.
macro_rules! refusals {
    ($(#[doc = $doc:literal] $name:ident: [$($code:ident),* $(,)?];)+) => {$(
        #[doc = $doc]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses(&[$(ErrorCode::$code),*])
            }
        }
    )+};
}

refusals! {
    /// Of `POST /v1/events`.
    EventsRefusals: [
        MalformedJson, InvalidEnvelope, Unauthenticated, WrongDeveloper, ScopeMissing, BodyTimeout, LengthRequired,
        BodyTooLarge, TooManyEvents, BatchTooLarge, UnsupportedMediaType, UnsupportedEncoding, RateLimited,
        StreamUnavailable, StreamFull, CircuitOpen, ShuttingDown,
    ];
    /// Of the routes for heartbeats, which take any content type.
    HeartbeatRefusals: [
        MalformedJson, InvalidEnvelope, Unauthenticated, WrongDeveloper, ScopeMissing, BodyTimeout, LengthRequired,
        BodyTooLarge, TooManyEvents, BatchTooLarge, UnsupportedEncoding, RateLimited, StreamUnavailable, StreamFull,
        CircuitOpen, ShuttingDown,
    ];
    /// Of `GET /v1/batches/{batch_id}`.
    BatchRefusals: [
        InvalidParameter, Unauthenticated, ScopeMissing, BatchUnknown, RateLimited, StreamUnavailable,
        StoreUnavailable,
    ];
    /// Of `GET /v1/metrics/daily/{day}/explain`.
    ExplainRefusals: [
        InvalidParameter, Unauthenticated, ScopeMissing, NotFound, RateLimited, StreamUnavailable, StoreUnavailable,
    ];
    /// Of `GET /v1/reports/week/{week}`.
    ReportRefusals: [
        InvalidParameter, Unauthenticated, ScopeMissing, NotFound, RateLimited, StreamUnavailable, StoreUnavailable,
    ];
    /// Of the routes of metrics.
    MetricsRefusals: [
        InvalidParameter, Unauthenticated, ScopeMissing, RateLimited, StreamUnavailable, StoreUnavailable,
    ];
    /// Of `GET /v1/alerts`.
    AlertsRefusals: [InvalidParameter, Unauthenticated, ScopeMissing, RateLimited, StreamUnavailable];
    /// Of `GET /v1/alerts/stream`.
    AlertStreamRefusals: [
        InvalidParameter, Unauthenticated, ScopeMissing, RateLimited, StreamUnavailable, ShuttingDown,
    ];
    /// Of what WakaTime's clients read.
    WakaTimeRefusals: [
        InvalidParameter, Unauthenticated, WrongDeveloper, ScopeMissing, RateLimited, StreamUnavailable,
        StoreUnavailable,
    ];
    /// Of `POST /api/v1/plugins/errors`.
    PluginErrorRefusals: [
        MalformedJson, Unauthenticated, WrongDeveloper, ScopeMissing, BodyTimeout, BodyTooLarge, UnsupportedEncoding,
        RateLimited, StreamUnavailable, ShuttingDown,
    ];
    /// Of `GET /v1/schemas/{version}/{type}`.
    SchemaRefusals: [NotFound];
    /// Of `GET /metrics`.
    ScrapeRefusals: [NotFound];
    /// Of `GET /health/ready`.
    ReadyRefusals: [StreamUnavailable, CircuitOpen, ShuttingDown];
    /// Of routes that refuse nothing of their own.
    NoRefusals: [];
}

/// A response for each status, with the codes that it may carry.
fn responses(codes: &[ErrorCode]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes.iter().chain(&ALWAYS) {
        by_status
            .entry(code.status().as_u16())
            .or_default()
            .push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(status, &codes).into()))
        .collect()
}

fn response(status: u16, codes: &[ErrorCode]) -> Response {
    let lines: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}.", code.as_str(), code.title()))
        .collect();
    let mut headers = json!({});
    if codes.iter().any(|code| code.names_retry_after()) {
        let description = "In how many seconds to try again.";
        headers["Retry-After"] =
            json!({"description": description, "schema": {"type": "integer", "minimum": 1}});
    }
    if status == 401 {
        let description = "How a key is sent.";
        headers["WWW-Authenticate"] =
            json!({"description": description, "schema": {"type": "string"}});
    }
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let schema = json!({"allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"type": "object", "properties": {
            "status": {"type": "integer", "enum": [status]},
            "code": {"type": "string", "enum": names},
        }},
    ]});
    let response = json!({
        "description": lines.join(" "),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    });
    serde_json::from_value(response).expect("this is a response")
}

//! `POST /api/v1/users/current/heartbeats` and `….bulk`, as WakaTime's clients expect them.
//!
//! Its clients drop a heartbeat whose status is 201, 202 or 400, and keep any other in their offline
//! queue. So whatever reached the stream gets one of the three, and nothing else does.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use types::verdict::{Exception, Verdict};

use super::events::{Told, take};
use crate::app::App;
use crate::openapi::{HeartbeatHeaders, HeartbeatRefusals};
use http_server::layers::RequestIds as Ids;
use http_server::{ErrorCode, Problem};
use types::admission::Admitted;
use types::formats::{Format, wakatime};

/// Send a WakaTime heartbeat, or an array of them.
#[utoipa::path(
    post, path = "/api/v1/users/current/heartbeats", operation_id = "sendHeartbeat", tag = "events",
    security(("basic" = []), ("key" = ["events:write"])), params(HeartbeatHeaders),
    request_body(content = ref("#/components/schemas/HeartbeatsSent"), content_type = "application/json"),
    responses(
        (status = 201, description = "One: it is taken, or was before. An array: a status for each, in order.", body = ref("#/components/schemas/HeartbeatsTold")),
        (status = 202, description = "One: it is quarantined, kept whole.", body = ref("#/components/schemas/HeartbeatTaken")),
        HeartbeatRefusals,
    )
)]
pub async fn one(
    State(app): State<Arc<App>>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    post(&app, &ids, headers, body).await
}

/// Send an array of WakaTime heartbeats, or one.
#[utoipa::path(
    post, path = "/api/v1/users/current/heartbeats.bulk", operation_id = "sendHeartbeats", tag = "events",
    security(("basic" = []), ("key" = ["events:write"])), params(HeartbeatHeaders),
    request_body(content = ref("#/components/schemas/HeartbeatsSent"), content_type = "application/json"),
    responses(
        (status = 201, description = "One: it is taken, or was before. An array: a status for each, in order.", body = ref("#/components/schemas/HeartbeatsTold")),
        (status = 202, description = "One: it is quarantined, kept whole.", body = ref("#/components/schemas/HeartbeatTaken")),
        HeartbeatRefusals,
    )
)]
pub async fn bulk(
    State(app): State<Arc<App>>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    post(&app, &ids, headers, body).await
}

/// Takes what was sent to either route, and answers in its shape.
async fn post(app: &App, ids: &Ids, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let reply = |admitted: &Admitted<'_>, told: &Told| {
        let (status, body) = match admitted.format {
            Format::Heartbeat => told_of_one(admitted, told)?,
            _ => (StatusCode::CREATED, told_of_each(admitted, told)),
        };
        Ok(told.with_preference((status, Json(body)).into_response()))
    };
    take(
        app,
        ids,
        with_bearer(headers)?,
        body,
        |_| Ok(Format::Heartbeats),
        reply,
    )
    .await
}

/// Status and body of a heartbeat that was sent alone.
fn told_of_one(admitted: &Admitted<'_>, told: &Told) -> Result<(StatusCode, Value), Problem> {
    match told.exceptions.first() {
        Some(exception) if exception.verdict == Verdict::Rejected => {
            let detail = format!("The heartbeat is kept as rejected: {}.", why(exception));
            let pointer = exception.pointer.clone().unwrap_or_default();
            Err(Problem::new(ErrorCode::InvalidEnvelope, detail).pointer(pointer))
        }
        exception => Ok(told_of(&admitted.events[0], exception)),
    }
}

/// Body and status of each heartbeat of an array, in their order.
fn told_of_each(admitted: &Admitted<'_>, told: &Told) -> Value {
    let exceptions: HashMap<u32, &Exception> = told
        .exceptions
        .iter()
        .map(|exception| (exception.index, exception))
        .collect();
    let responses = admitted.events.iter().zip(0_u32..).map(|(event, index)| {
        let (status, body) = told_of(event, exceptions.get(&index).copied());
        json!([body, status.as_u16()])
    });
    json!({"responses": responses.collect::<Vec<Value>>()})
}

/// Status and body of one heartbeat.
fn told_of(event: &[u8], exception: Option<&Exception>) -> (StatusCode, Value) {
    let taken = || json!({"data": wakatime::echo(event)});
    match exception.map(|exception| (exception.verdict, exception)) {
        None | Some((Verdict::Accepted | Verdict::Duplicate, _)) => (StatusCode::CREATED, taken()),
        // Kept whole, and perhaps admitted later; nothing for the client to do.
        Some((Verdict::Quarantined, _)) => (StatusCode::ACCEPTED, taken()),
        Some((Verdict::Rejected, exception)) => {
            (StatusCode::BAD_REQUEST, json!({"error": why(exception)}))
        }
    }
}

/// Why a heartbeat is refused, with the member at fault.
fn why(exception: &Exception) -> String {
    let detail = exception
        .detail
        .as_deref()
        .unwrap_or(exception.code.as_str());
    match exception.pointer.as_deref().unwrap_or_default() {
        "" => detail.to_owned(),
        pointer => format!("{}: {detail}", pointer.trim_start_matches('/')),
    }
}

/// WakaTime's clients send the key as the user of HTTP's Basic scheme, with or without the colon (RFC 7617).
fn with_bearer(mut headers: HeaderMap) -> Result<HeaderMap, Problem> {
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = sent.and_then(|sent| sent.split_once(' ')) else {
        return Ok(headers);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(headers);
    }
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded
        .as_deref()
        .map(|text| text.split_once(':').map_or(text, |(user, _)| user));
    let bearer = key.and_then(|key| HeaderValue::from_str(&format!("Bearer {}", key.trim())).ok());
    let bearer = bearer.ok_or_else(|| {
        let detail = "Authorization must be Basic with the Base64 of the API key, or Bearer <key>.";
        Problem::new(ErrorCode::Unauthenticated, detail)
    })?;
    headers.insert(header::AUTHORIZATION, bearer);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> Result<String, ErrorCode> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let headers = with_bearer(headers).map_err(|problem| problem.code)?;
        Ok(headers[header::AUTHORIZATION].to_str().unwrap().to_owned())
    }

    #[test]
    fn the_key_is_the_user_of_the_basic_scheme() {
        for text in ["key-1", "key-1:", "key-1:secret", " key-1\n"] {
            assert_eq!(
                sent(&format!("basic {}", STANDARD.encode(text))).unwrap(),
                "Bearer key-1",
                "{text}"
            );
        }
        assert_eq!(sent("Bearer key-1").unwrap(), "Bearer key-1");
        for bad in ["Basic key-1", "Basic /w==", "Basic AAo="] {
            assert_eq!(sent(bad), Err(ErrorCode::Unauthenticated), "{bad}");
        }
        assert!(with_bearer(HeaderMap::new()).unwrap().is_empty());
    }
}

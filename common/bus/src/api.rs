//! One request to the JetStream API, and what a reply means (NATS ADR-7 error codes).

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::names::ResourceName;

/// The server refused a request about a stream or consumer, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("The {name} cannot be used: {reason}")]
pub struct ApiError {
    /// What it was about.
    pub name: ResourceName,
    /// Why.
    pub reason: String,
    /// The server replied that the request itself is at fault: it would reply so again.
    pub is_refusal: bool,
}

impl ApiError {
    /// The server did not answer, or not what was requested.
    pub(super) fn new(name: ResourceName, reason: String) -> Self {
        Self {
            name,
            reason,
            is_refusal: false,
        }
    }
}

/// "stream not found" and "consumer not found".
const STREAM_NOT_FOUND: u64 = 10059;
const CONSUMER_NOT_FOUND: u64 = 10014;

/// Whether the request itself is at fault. Of the 4xx, a missing stream is for an administrator to fix, and
/// 408 and 429 are temporary.
fn is_refusal(error: &Value) -> bool {
    let is_permanent = |code| (400..500).contains(&code) && !matches!(code, 408 | 429);
    error["code"].as_u64().is_some_and(is_permanent)
        && error["err_code"].as_u64() != Some(STREAM_NOT_FOUND)
}

/// Requests `verb` of a stream or consumer; `None` if the reply is one of the error codes `none`.
pub(super) async fn request_unless(
    js: &jetstream::Context,
    name: &ResourceName,
    verb: &str,
    body: Value,
    none: &[u64],
) -> Result<Option<Value>, ApiError> {
    let failed = |reason: String| ApiError::new(name.clone(), reason);
    let subject = match &name.consumer {
        None => format!("STREAM.{verb}.{}", name.stream),
        Some(consumer) => format!("CONSUMER.{verb}.{}.{consumer}", name.stream),
    };
    let reply: Value = js
        .request(subject, &body)
        .await
        .map_err(|error| failed(error.to_string()))?;
    match reply.get("error") {
        None => Ok(Some(reply)),
        Some(error)
            if error["err_code"]
                .as_u64()
                .is_some_and(|code| none.contains(&code)) =>
        {
            Ok(None)
        }
        Some(error) => {
            let reason = error["description"]
                .as_str()
                .unwrap_or("unknown error")
                .to_owned();
            Err(ApiError {
                is_refusal: is_refusal(error),
                ..failed(reason)
            })
        }
    }
}

/// Requests `verb` of a stream or consumer; `None` if it is missing.
pub(super) async fn request(
    js: &jetstream::Context,
    name: &ResourceName,
    verb: &str,
    body: Value,
) -> Result<Option<Value>, ApiError> {
    let missing = [STREAM_NOT_FOUND, CONSUMER_NOT_FOUND];
    request_unless(js, name, verb, body, &missing).await
}

/// The server's description of a stream or consumer: `config`, `created`, `state` …; `None` if it is missing.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses.
pub async fn info(js: &jetstream::Context, name: &ResourceName) -> Result<Option<Value>, ApiError> {
    request(js, name, "INFO", json!({})).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_refuses_the_request_or_fails_itself() {
        let refused =
            |(code, err_code): (u64, u64)| is_refusal(&json!({"code": code, "err_code": err_code}));
        assert!([(400, 10003), (404, 10037)].into_iter().all(refused));
        assert!(
            ![(503, 10008), (408, 0), (429, 0), (404, STREAM_NOT_FOUND)]
                .into_iter()
                .any(refused)
        );
        assert!(!is_refusal(&json!({})));
    }
}

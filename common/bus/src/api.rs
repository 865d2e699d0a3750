//! One question of the JetStream API, and what an answer means (NATS ADR-7 error codes).

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::topology::Name;

/// The server refused a request about a stream or consumer, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("The {name} cannot be used: {reason}")]
pub struct ApiError {
    /// What it was about.
    pub name: Name,
    /// Why.
    pub reason: String,
    /// The server answered that the question itself is at fault: it would answer so again.
    pub is_refusal: bool,
}

impl ApiError {
    /// The server did not answer, or not what was asked.
    pub(super) fn new(name: Name, reason: String) -> Self {
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

/// Whether the question itself is at fault. Of the 4xx, a missing stream is an administrator's to mend, and
/// 408 and 429 are about the moment.
fn is_refusal(error: &Value) -> bool {
    let is_about_it = |code| (400..500).contains(&code) && !matches!(code, 408 | 429);
    error["code"].as_u64().is_some_and(is_about_it)
        && error["err_code"].as_u64() != Some(STREAM_NOT_FOUND)
}

/// Asks about a stream or consumer; `None` where the answer is one of the error codes `none`.
pub(super) async fn ask(
    js: &jetstream::Context,
    name: &Name,
    (verb, body): (&str, Value),
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

/// Asks about a stream or consumer; `None` where it is missing.
pub(super) async fn request(
    js: &jetstream::Context,
    name: &Name,
    verb: &str,
    body: Value,
) -> Result<Option<Value>, ApiError> {
    ask(
        js,
        name,
        (verb, body),
        &[STREAM_NOT_FOUND, CONSUMER_NOT_FOUND],
    )
    .await
}

/// The server's description of a stream or consumer: `config`, `created`, `state` …; `None` where missing.
///
/// # Errors
/// Where the server does not answer or refuses.
pub async fn info(js: &jetstream::Context, name: &Name) -> Result<Option<Value>, ApiError> {
    request(js, name, "INFO", json!({})).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_refuses_the_question_or_is_in_trouble_itself() {
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

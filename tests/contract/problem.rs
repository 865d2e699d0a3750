//! What every refusal has, whatever its reason.

use harness::Answer;
use serde_json::{Value, json};

/// Each code with its status, title, whether the same may succeed later, and whether a pause is named.
const CODES: &[(&str, u16, &str, bool, bool)] = &[
    (
        "malformed_request",
        400,
        "The request is not HTTP",
        false,
        false,
    ),
    (
        "malformed_json",
        400,
        "The body cannot be parsed",
        false,
        false,
    ),
    (
        "invalid_envelope",
        400,
        "The envelope is invalid",
        false,
        false,
    ),
    (
        "invalid_parameter",
        400,
        "A parameter is invalid",
        false,
        false,
    ),
    (
        "unauthenticated",
        401,
        "A valid API key is required",
        false,
        false,
    ),
    (
        "wrong_developer",
        403,
        "The key is another developer's",
        false,
        false,
    ),
    (
        "scope_missing",
        403,
        "The key may not do this",
        false,
        false,
    ),
    ("not_found", 404, "There is nothing here", false, false),
    ("batch_unknown", 404, "No such batch is stored", true, true),
    (
        "method_not_allowed",
        405,
        "The method is not allowed here",
        false,
        false,
    ),
    (
        "header_timeout",
        408,
        "The header came too slowly",
        true,
        false,
    ),
    ("body_timeout", 408, "The body came too slowly", true, false),
    ("length_required", 411, "A length is required", false, false),
    ("body_too_large", 413, "The body is too large", false, false),
    (
        "too_many_events",
        413,
        "Too many events in a batch",
        false,
        false,
    ),
    (
        "batch_too_large",
        413,
        "The batch is too large",
        false,
        false,
    ),
    (
        "unsupported_media_type",
        415,
        "The media type is not supported",
        false,
        false,
    ),
    (
        "unsupported_encoding",
        415,
        "The encoding is not supported",
        false,
        false,
    ),
    ("rate_limited", 429, "Too much from one sender", true, true),
    (
        "headers_too_large",
        431,
        "The header is too large",
        false,
        false,
    ),
    (
        "stream_unavailable",
        503,
        "The stream cannot be reached",
        true,
        true,
    ),
    ("stream_full", 503, "The stream is full", true, true),
    (
        "shutting_down",
        503,
        "The collector is shutting down",
        true,
        true,
    ),
    (
        "store_unavailable",
        503,
        "The store cannot be reached",
        true,
        true,
    ),
    (
        "circuit_open",
        503,
        "The stream fails and is left alone",
        true,
        true,
    ),
    (
        "overloaded",
        503,
        "The collector has too much to do",
        true,
        true,
    ),
];

/// The members of a refusal, each checked as far as its code tells; gives the body for the rest.
///
/// # Panics
/// If the answer is no such refusal.
pub fn problem(answer: &Answer, code: &str) -> Value {
    let shown = format!("{code}: {answer:?}");
    let row = CODES
        .iter()
        .find(|row| row.0 == code)
        .unwrap_or_else(|| panic!("no such code: {code}"));
    let (_, status, title, retryable, pauses) = *row;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{shown}"
    );
    let body = answer.json();
    let expected = [
        (
            "type",
            json!(format!("https://devtrail.dev/problems/{code}")),
        ),
        ("title", json!(title)),
        ("status", json!(status)),
        ("code", json!(code)),
        ("retryable", json!(retryable)),
        ("correlation_id", json!(answer.header("x-correlation-id"))),
    ];
    for (name, value) in expected {
        assert_eq!(body[name], value, "{name} of {shown}");
    }
    assert_eq!(answer.status, status, "{shown}");
    assert!(
        body["correlation_id"]
            .as_str()
            .is_some_and(|id| !id.is_empty()),
        "{shown}"
    );
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.ends_with('.'), "whole sentences: {shown}");
    assert!(
        detail.len() <= 400,
        "a refusal repeats nothing large: {shown}"
    );
    let pause = body["retry_after_ms"]
        .as_u64()
        .map(|ms| ms.div_ceil(1000).to_string());
    assert_eq!(
        (pause.is_some(), pause.as_deref()),
        (pauses, answer.header("retry-after")),
        "{shown}"
    );
    assert_eq!(
        answer.header("www-authenticate"),
        (status == 401).then_some("Bearer"),
        "{shown}"
    );
    let known = [
        "detail",
        "retry_after_ms",
        "pointer",
        "parameter",
        "limit",
        "actual",
    ];
    let members = body.as_object().unwrap().keys().map(String::as_str);
    let mut strange = members.filter(|name| !known.contains(name) && !expected_name(name));
    assert_eq!(strange.next(), None, "{shown}");
    body
}

fn expected_name(name: &str) -> bool {
    [
        "type",
        "title",
        "status",
        "code",
        "retryable",
        "correlation_id",
    ]
    .contains(&name)
}

/// Whether `code` is a code that the contract lists with this status.
pub fn is_known(code: &str, status: u16) -> bool {
    CODES.iter().any(|row| (row.0, row.1) == (code, status))
}

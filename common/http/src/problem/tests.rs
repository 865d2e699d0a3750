//! Problems as responses and as bytes.

use super::*;

fn json(raw: &[u8]) -> serde_json::Value {
    serde_json::from_slice(raw).unwrap()
}

#[tokio::test]
async fn response_has_the_members_and_headers() {
    let problem = Problem::new(ErrorCode::StreamFull, "Full.")
        .retry_after(Duration::from_millis(1_001))
        .correlation_id("c-1")
        .pointer("/events/3")
        .limit(9)
        .actual(10);
    let response = problem.clone().into_response();
    assert_eq!(response.status(), 503);
    assert_eq!(response.extensions().get::<Problem>(), Some(&problem));
    let header = |name: &str| response.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/problem+json");
    assert_eq!(header("retry-after"), "2");
    assert_eq!(header("x-correlation-id"), "c-1");
    let body = axum::body::to_bytes(response.into_body(), 9_999)
        .await
        .unwrap();
    let expected = serde_json::json!({
        "type": "https://devtrail.dev/problems/stream_full", "title": "The stream is full", "status": 503,
        "detail": "Full.", "code": "stream_full", "retryable": true, "retry_after_ms": 1_001,
        "pointer": "/events/3", "limit": 9, "actual": 10, "correlation_id": "c-1",
    });
    assert_eq!(json(&body), expected);
}

#[test]
fn defaults_follow_the_status() {
    let unavailable = Problem::new(ErrorCode::ShuttingDown, "Later.");
    assert_eq!(unavailable.retry_after, Some(Duration::from_secs(1)));
    let soon = unavailable.retry_after(Duration::ZERO);
    assert_eq!(soon.all_headers()[RETRY_AFTER], "1");
    let unknown =
        Problem::new(ErrorCode::Unauthenticated, "No key.").correlation_id("not\na header");
    assert_eq!(unknown.all_headers()[WWW_AUTHENTICATE], "Bearer");
    assert!(!unknown.all_headers().contains_key(RETRY_AFTER));
    assert!(!unknown.all_headers().contains_key(CORRELATION_ID));
    assert!(json(&unknown.body()).get("retry_after_ms").is_none());
}

#[test]
fn raw_response_is_complete() {
    let problem = Problem::new(ErrorCode::HeaderTimeout, "Zu langsam – «ü».");
    let raw = String::from_utf8(problem.to_raw_http1()).unwrap();
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(json(body.as_bytes())["code"], "header_timeout");
}

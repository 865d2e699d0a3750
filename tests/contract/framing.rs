//! HTTP/1.1 as bytes: what is no request, pipelines, and when a connection is kept.

use harness::{Answer, RawConnection};
use serde_json::json;

use crate::problem::problem;
use crate::support::{RawClient, body_of, fresh, good, shared};

/// The connection is closed after what has been answered.
pub async fn closed(wire: &mut RawConnection) {
    let left = wire.rest().await;
    assert!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
}

/// The refusal of what is no request; it closes the connection.
async fn refused_outright(client: &RawClient, bytes: impl AsRef<[u8]>, code: &str) -> Answer {
    let mut wire = client.wire().await;
    // Who is refused early may be cut off while still sending.
    let _ = wire.offer(bytes).await;
    let answer = wire.answer().await;
    problem(&answer, code);
    assert_eq!(answer.header("connection"), Some("close"));
    closed(&mut wire).await;
    answer
}

/// Contract: errors.malformed_request
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_the_connection_closed() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let body = good();
    let length = body.len();
    let head = String::from_utf8(client.post_head(&[], &[])).unwrap();
    let with = |lines: &str| {
        format!(
            "{}{lines}\r\n\r\n{body}",
            head.trim_end_matches("\r\n").to_owned() + "\r\n"
        )
    };
    // A TLS hello on the plain port.
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.extend([0x5a; 506]);
    refused_outright(&client, hello, "malformed_request").await;
    for bytes in [
        "garbage\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET  /health/live HTTP/1.1\r\n\r\n",
        "GET /health/live HTTP/9.9\r\n\r\n",
        "GET /health/live\r\n\r\n",
        "GET /he alth HTTP/1.1\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nbad header\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nx : y\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nx: a\0b\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        &with("content-length: many"),
        &with("content-length: -1"),
        &with("content-length: 99999999999999999999"),
        &with("content-length: +5"),
        &with(&format!("content-length: {length}\r\ncontent-length: 7")),
        &with(&format!("content-length: {length}, 7")),
        &with("transfer-encoding: gzip"),
        &with("transfer-encoding: chunked, gzip"),
    ] {
        refused_outright(&client, bytes, "malformed_request").await;
    }
    client.still_fine().await;
}

/// Contract: errors.headers_too_large, limits.header
#[tokio::test(flavor = "multi_thread")]
async fn a_header_has_up_to_64_kib_and_100_fields() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let sized = |size: usize| {
        let rest = "GET /health/live HTTP/1.1\r\nhost: x\r\nx: \r\n\r\n".len();
        format!(
            "GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "y".repeat(size - rest)
        )
    };
    assert_eq!(client.ask(sized(63 * 1024)).await.status, 200);
    let answer = refused_outright(&client, sized(200 * 1024), "headers_too_large").await;
    assert_eq!(answer.json()["limit"], 64 * 1024);
    let many = |count: usize| {
        let lines: String = (0..count - 1)
            .map(|number| format!("x{number}: y\r\n"))
            .collect();
        format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
    };
    assert_eq!(client.ask(many(100)).await.status, 200);
    refused_outright(&client, many(101), "headers_too_large").await;
    let path = format!(
        "GET /{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "x".repeat(100 * 1024)
    );
    refused_outright(&client, path, "headers_too_large").await;
    client.still_fine().await;
}

/// A smuggled request (RFC 9112, section 6.3): the chunks count, so that what follows them is the next request.
///
/// Contract: connections.chunks
#[tokio::test(flavor = "multi_thread")]
async fn with_a_length_and_chunks_the_chunks_count() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let body = good();
    for order in [
        ["content-length", "transfer-encoding"],
        ["transfer-encoding", "content-length"],
    ] {
        let lines = order.map(|name| {
            (
                name,
                if name == "content-length" {
                    "3"
                } else {
                    "chunked"
                },
            )
        });
        let mut bytes = client.post_head(&[], &lines);
        bytes.extend(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).bytes());
        let mut wire = client.wire().await;
        wire.send(bytes).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let _ = wire.offer(client.request("GET", "/health/live")).await;
        if let Some(next) = wire.answer_or_end().await {
            assert_eq!(next.json(), json!({"status": "live"}));
        }
    }
    // The same length twice is one length.
    let length = body.len().to_string();
    let mut bytes = client.post_head(
        &[],
        &[("content-length", &length), ("content-length", &length)],
    );
    bytes.extend(body.bytes());
    assert_eq!(client.ask(bytes).await.status, 202);
}

/// Requests sent at once are answered in their order.
///
/// Contract: connections.pipelining
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let ids: Vec<String> = (0..20).map(|_| fresh("b")).collect();
    let mut bytes = Vec::new();
    for id in &ids {
        let event = harness::event(&fresh("e"));
        bytes.extend(client.post(&[], body_of(id, &format!("[{event}]"))));
        bytes.extend(client.request("GET", "/nothing").bytes());
        bytes.extend(client.post(&[], "{"));
    }
    let mut wire = client.wire().await;
    wire.send(bytes).await;
    for id in &ids {
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, &answer.json()["batch_id"]),
            (202, &json!(id))
        );
        problem(&wire.answer().await, "not_found");
        problem(&wire.answer().await, "malformed_json");
    }
}

/// Where the body was read whole the next request is answered on the same connection; else it is closed.
///
/// Contract: connections.kept
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_after_an_error_whose_body_was_read() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let mut wire = client.wire().await;
    let empty = body_of("b", "[]");
    let kept = [
        (client.post(&[], "{"), "malformed_json"),
        (client.post(&[], empty), "invalid_envelope"),
        (
            client.post(&[], good().replacen('{', "{\"developer_id\":\"x\",", 1)),
            "wrong_developer",
        ),
        (
            client.post(&[("content-encoding", "gzip")], "no gzip"),
            "malformed_json",
        ),
        (
            client.request("GET", "/v1/batches/%FF").into_bytes(),
            "invalid_parameter",
        ),
        (
            client.request("GET", "/v1/batches/none").into_bytes(),
            "batch_unknown",
        ),
        (client.request("GET", "/nothing").into_bytes(), "not_found"),
        (
            client.request("DELETE", "/v1/events").into_bytes(),
            "method_not_allowed",
        ),
        (client.post_head(&[], &[]), "length_required"),
    ];
    for (request, code) in kept {
        wire.send(request).await;
        let answer = wire.answer().await;
        problem(&answer, code);
        assert_eq!(answer.header("connection"), None, "{code}");
    }
    wire.send(client.post(&[], good())).await;
    assert_eq!(wire.answer().await.status, 202);
    // Refused before the body was read: what is still to come of it is no request.
    let body = "x".repeat(100_000);
    for (request, code) in [
        (
            client.post(&[("authorization", "")], &body),
            "unauthenticated",
        ),
        (
            client.post(&[("content-type", "text/plain")], &body),
            "unsupported_media_type",
        ),
        (
            client.post(&[("content-encoding", "br")], &body),
            "unsupported_encoding",
        ),
        (
            client.post_head(&[], &[("content-length", "9999999")]),
            "body_too_large",
        ),
        (
            String::from_utf8(client.post(&[], &body))
                .unwrap()
                .replacen("/v1/events", "/nothing", 1)
                .into_bytes(),
            "not_found",
        ),
    ] {
        let mut wire = client.wire().await;
        wire.send(request).await;
        let answer = wire.answer().await;
        problem(&answer, code);
        assert_eq!(answer.header("connection"), Some("close"), "{code}");
        closed(&mut wire).await;
    }
    client.still_fine().await;
}

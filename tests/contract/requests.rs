//! Unusual requests: other methods, other targets, broken escapes.

use serde_json::json;

use crate::problem::problem;
use crate::support::{RawClient, good, shared};

const ROUTES: [(&str, &str); 13] = [
    ("/v1/events", "POST"),
    ("/api/v1/users/current/heartbeats", "POST,GET,HEAD"),
    ("/api/v1/users/current/heartbeats.bulk", "POST"),
    ("/api/v1/users/current", "GET,HEAD"),
    ("/api/v1/users/ada/statusbar/today", "GET,HEAD"),
    ("/api/v1/plugins/errors", "POST"),
    ("/openapi.json", "GET,HEAD"),
    ("/v1/batches/b1", "GET,HEAD"),
    ("/v1/metrics/daily", "GET,HEAD"),
    ("/v1/schemas", "GET,HEAD"),
    ("/v1/schemas/1.0/heartbeat", "GET,HEAD"),
    ("/health/live", "GET,HEAD"),
    ("/health/ready", "GET,HEAD"),
];

/// Contract: errors.not_found
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_not_found_by_any_method() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let long = format!("/{}", "x".repeat(30_000));
    for target in [
        "/",
        "/nothing",
        "/v1",
        "/V1/EVENTS",
        "/v1/batches/",
        "/v1/batches/a/b",
        "/../v1/events",
        "/v1/%65vents/x",
        &long,
    ] {
        for method in ["GET", "POST", "DELETE"] {
            client
                .refused(client.request(method, target), "not_found")
                .await;
        }
    }
    for target in [
        "/v1/schemas/2.0/heartbeat",
        "/v1/schemas/1.0/nothing",
        "/v1/schemas/%FF/x",
        "/v1/schemas/1.0/%00",
        "/v1/schemas/one/heartbeat",
    ] {
        client
            .refused(client.request("GET", target), "not_found")
            .await;
    }
    client.still_fine().await;
}

/// Contract: routes.extra-slash
#[tokio::test(flavor = "multi_thread")]
async fn an_extra_slash_is_overlooked() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let post = String::from_utf8(client.post(&[], good())).unwrap();
    for path in ["/v1/events/", "//v1/events", "/v1//events//"] {
        assert_eq!(
            client
                .ask(post.replacen("/v1/events", path, 1))
                .await
                .status,
            202,
            "{path}"
        );
    }
    let body = r#"[{"entity":"/a.ts","type":"file","time":1772352898}]"#;
    let post = String::from_utf8(client.post(&[], body)).unwrap();
    for path in [
        "/api/v1//users/current/heartbeats.bulk",
        "/api/v1/users/current/heartbeats.bulk/",
        "//api/v1/users/current//heartbeats/",
    ] {
        assert_eq!(
            client
                .ask(post.replacen("/v1/events", path, 1))
                .await
                .status,
            201,
            "{path}"
        );
    }
    for path in [
        "/health//live",
        "/v1/schemas/",
        "/v1/metrics/daily/?to=2026-03-01",
    ] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    problem(
        &client.ask(client.request("PUT", "/v1/events/")).await,
        "method_not_allowed",
    );
}

/// Contract: routes.near-miss
#[tokio::test(flavor = "multi_thread")]
async fn a_near_miss_is_told_the_right_address() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let events = "/v1/events";
    let bulk = "/api/v1/users/current/heartbeats.bulk";
    for (path, right) in [
        ("/api/users/current/heartbeats.bulk", bulk),
        ("/v1/users/current/heartbeats.bulk", bulk),
        ("/users/current/heartbeats.bulk", bulk),
        (
            "/api/v1/users/current/heartbeats.bulk/users/current/heartbeats.bulk",
            bulk,
        ),
        ("/heartbeats", "/api/v1/users/current/heartbeats"),
        ("/events", events),
        ("/event", events),
        ("/api/v1/events", events),
        ("/api/v1/events/", events),
        ("/v1/event", events),
        ("/v1/Events", events),
    ] {
        for method in ["POST", "GET", "PUT"] {
            let body = client
                .refused(client.request(method, path), "not_found")
                .await;
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.contains(right), "{method} {path}: {detail}");
            assert_eq!(detail.contains("api_url = "), right != events, "{detail}");
        }
    }
}

/// Contract: errors.method_not_allowed
///
/// Contract: errors.headers
#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_refused_and_the_allowed_ones_are_named() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (target, allowed) in ROUTES {
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if allowed.contains(method) {
                continue;
            }
            let answer = client.ask(client.request(method, target)).await;
            problem(&answer, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
        }
    }
    client.still_fine().await;
}

/// HEAD is answered as GET is, without the body (RFC 9110, section 9.3.2).
///
/// Contract: errors.format
///
/// Contract: connections.head
#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_headers_of_get_and_no_body() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (target, status) in [
        ("/health/live", 200),
        ("/v1/schemas", 200),
        ("/nothing", 404),
        ("/v1/events", 405),
        ("/v1/batches/%FF", 400),
    ] {
        let mut wire = client.wire().await;
        for _ in 0..2 {
            // Twice on one connection: a body would be read as the second answer.
            wire.send(client.request("HEAD", target)).await;
            let answer = wire.answer_to_head().await;
            assert_eq!(answer.status, status, "{target}");
            let kind = if status == 200 {
                "application/json"
            } else {
                "application/problem+json"
            };
            assert_eq!(answer.header("content-type"), Some(kind));
            assert!(answer.header("x-correlation-id").is_some());
        }
    }
}

/// The forms of a request's target (RFC 9112, section 3.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_target_may_be_absolute_and_other_forms_are_not_found() {
    let up = shared().await;
    let client = RawClient::to(&up);
    assert_eq!(client.get("http://x/health/live").await.status, 200);
    assert_eq!(
        client
            .get("http://elsewhere.example:81/health/live")
            .await
            .status,
        200
    );
    let post = String::from_utf8(client.post(&[], good())).unwrap();
    let absolute = post.replacen("/v1/events", "http://x/v1/events?a=b#c", 1);
    assert_eq!(client.ask(absolute).await.status, 202);
    for (method, target) in [("OPTIONS", "*"), ("CONNECT", "x:80")] {
        let answer = client.ask(client.request(method, target)).await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        assert!(
            ["not_found", "method_not_allowed"].contains(&code.as_str()),
            "{method}: {code}"
        );
        problem(&answer, &code);
    }
    client.still_fine().await;
}

/// HTTP/1.0 keeps no connection and needs no host (RFC 1945).
#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_answered_once() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let mut wire = client.wire().await;
    wire.send("GET /health/live HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(wire.rest().await.is_empty());
    let post = String::from_utf8(client.post(&[], good()))
        .unwrap()
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    assert_eq!(client.ask(post).await.status, 202);
}

/// Contract: metrics.route, errors.invalid_parameter
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_is_named_by_its_parameter() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (query, parameter) in [
        ("from=yesterday", "from"),
        ("from=", "from"),
        ("from=%FF", "from"),
        ("from=%", "from"),
        ("from=2026-03-01%00", "from"),
        ("to=2026-02-30", "to"),
        ("to=2026-3-1", "to"),
        ("to=10000-01-01", "to"),
        ("from=2026-01-01&from=2026-01-01", "from"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("from=2024-01-01&to=2025-01-01", "from"),
        (&format!("from={}", "9".repeat(20_000)), "from"),
    ] {
        let target = format!("/v1/metrics/daily?{query}");
        let body = client
            .refused(client.request("GET", &target), "invalid_parameter")
            .await;
        assert_eq!(body["parameter"], parameter, "{query}");
    }
    // The limit is named if it was passed.
    let target = "/v1/metrics/daily?from=2024-01-01&to=2025-01-01";
    let body = client
        .refused(client.request("GET", target), "invalid_parameter")
        .await;
    assert_eq!(
        (&body["limit"], &body["actual"]),
        (&json!(366), &json!(367))
    );
    for fine in [
        "",
        "?",
        "?&&",
        "?x=%FF&y",
        "?from=2024-01-01&to=2024-12-31",
        "?from=2026%2D01-05&to=2026-01-05",
    ] {
        assert_eq!(
            client.get(&format!("/v1/metrics/daily{fine}")).await.status,
            200,
            "{fine}"
        );
    }
}

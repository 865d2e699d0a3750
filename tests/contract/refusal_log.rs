//! Each refusal leaves one line in the log, by which it is found again.

use harness::{Deployment, Engine, stderr_of, until, wait_until_stopped};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::problem::problem;
use crate::support::{RawClient, body_of, fresh, good};

const EVENTS: &str = "/v1/events";

/// The lines about refused requests with this id.
fn lines(deployment: &Deployment, id: &str) -> Vec<Value> {
    let log = deployment.log("collector");
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "a request was refused" && line["correlation_id"] == id)
        .collect()
}

/// One line has this id, with code, status and route.
async fn is_logged(deployment: &Deployment, id: &str, code: &str, status: u16, route: &str) {
    let written = async || (!lines(deployment, id).is_empty()).then_some(());
    until(&format!("{code} is logged"), written).await;
    let found = lines(deployment, id);
    assert_eq!(found.len(), 1, "{found:?}");
    let line = &found[0];
    assert_eq!(
        (
            &line["code"],
            &line["status"],
            &line["route"],
            &line["address"]
        ),
        (
            &json!(code),
            &json!(status),
            &json!(route),
            &json!("127.0.0.1")
        ),
        "{line}"
    );
    let level = if status >= 500 { "WARN" } else { "INFO" };
    assert_eq!(line["level"], level, "{line}");
}

/// Contract: errors.logged
#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_one_line_with_its_correlation_id() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = [
        "--header-timeout",
        "2s",
        "--body-timeout",
        "300ms",
        "--max-events",
        "2",
        "--rate",
        "1000",
        "--max-body",
        "16777216",
        "--max-in-flight",
        "1",
        "--publish-timeout",
        "500ms",
    ];
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let made = |arguments: &[&str]| {
        let made = deployment.run(
            "devtrail",
            &[&["keys", "create", "bob"], arguments].concat(),
        );
        assert!(made.status.success(), "{}", stderr_of(&made));
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        RawClient {
            url: url.clone(),
            key,
        }
    };
    let reader = made(&["--scope", "metrics:read"]);
    let slow = made(&["--rate", "1"]);
    until("the last key is known", async || {
        (slow.get("/v1/batches/b1").await.status != 401).then_some(())
    })
    .await;
    let named = good().replacen('{', r#"{"developer_id":"somebody","#, 1);
    let event = harness::event("e").to_string();
    let three = body_of(&fresh("b"), &format!("[{event},{event},{event}]"));
    let two = || {
        body_of(
            &fresh("b"),
            &format!(
                "[{},{}]",
                harness::event(&fresh("e")),
                harness::event(&fresh("e"))
            ),
        )
    };
    let large = good().replace("src/main.rs", "x").replacen(
        "\"data\":{",
        &format!("\"data\":{{\"x\":\"{}\",", "y".repeat(8_600_000)),
        1,
    );
    let no_body = client.post_head(&[], &[]);
    let metrics = "/v1/metrics/daily";
    let batches = "/v1/batches/{batch_id}";
    assert_eq!(slow.ask(slow.post(&[], two())).await.status, 202);
    for (request, code, route) in [
        (client.post(&[], "{"), "malformed_json", EVENTS),
        (client.post(&[], "{}"), "invalid_envelope", EVENTS),
        (
            client
                .request("GET", "/v1/metrics/daily?from=x")
                .into_bytes(),
            "invalid_parameter",
            metrics,
        ),
        (
            client.post(&[("authorization", "Bearer nobody")], good()),
            "unauthenticated",
            EVENTS,
        ),
        (client.post(&[], named), "wrong_developer", EVENTS),
        (reader.post(&[], good()), "scope_missing", EVENTS),
        (
            client.request("GET", "/nothing?x=1").into_bytes(),
            "not_found",
            "none",
        ),
        (
            client.request("PUT", EVENTS).into_bytes(),
            "method_not_allowed",
            EVENTS,
        ),
        (
            client.post_head(&[], &[("content-length", "9")]),
            "body_timeout",
            EVENTS,
        ),
        (no_body, "length_required", EVENTS),
        (
            client.post_head(&[], &[("content-length", "16777217")]),
            "body_too_large",
            EVENTS,
        ),
        (client.post(&[], three), "too_many_events", EVENTS),
        (client.post(&[], large), "batch_too_large", EVENTS),
        (
            client.post(&[("content-type", "text/x")], good()),
            "unsupported_media_type",
            EVENTS,
        ),
        (
            client.post(&[("content-encoding", "br")], good()),
            "unsupported_encoding",
            EVENTS,
        ),
        (slow.post(&[], two()), "rate_limited", EVENTS),
        (
            client.request("GET", "/v1/batches/b1").into_bytes(),
            "store_unavailable",
            batches,
        ),
    ] {
        let id = fresh("refusal");
        let head = String::from_utf8_lossy(&request[..20]).into_owned();
        let at = request.windows(2).position(|two| two == b"\r\n").unwrap();
        let request = [
            &request[..at],
            format!("\r\nx-correlation-id: {id}").as_bytes(),
            &request[at..],
        ]
        .concat();
        let answer = client.ask(request).await;
        problem(&answer, code);
        assert_eq!(answer.header("x-correlation-id"), Some(&*id), "{head}");
        is_logged(&deployment, &id, code, answer.status, route).await;
    }
    // Without a request the id is the reply's own.
    for (sent, code) in [
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "malformed_request"),
        ("GET / HTTP/1.1\r\n".to_owned(), "header_timeout"),
        (
            format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000)),
            "headers_too_large",
        ),
    ] {
        let answer = client.ask(sent).await;
        problem(&answer, code);
        let id = answer.header("x-correlation-id").unwrap();
        is_logged(&deployment, id, code, answer.status, "none").await;
    }
    deployment.worker("all", "all", None);
    let unknown = async || {
        let answer = client.get("/v1/batches/none").await;
        (answer.status == 404).then(|| answer.header("x-correlation-id").unwrap().to_owned())
    };
    let id = until("the workers answer", unknown).await;
    is_logged(&deployment, &id, "batch_unknown", 404, batches).await;
    // The one place for a batch is taken.
    let mut held = slow.wire().await;
    held.send(slow.post_head(&[("expect", "100-continue")], &[("content-length", "9")]))
        .await;
    assert_eq!(held.answer().await.status, 100);
    let overloaded = client
        .ask(client.post(&[("x-correlation-id", "over")], good()))
        .await;
    problem(&overloaded, "overloaded");
    is_logged(&deployment, "over", "overloaded", 503, EVENTS).await;
    drop(held);
    let streams = deployment.streams().await;
    let room = streams.edit("EVENTS", |config| config.max_bytes = 1).await;
    let full = async || {
        let answer = client.ask(client.post(&[], good())).await;
        (answer.json()["code"] == "stream_full")
            .then(|| answer.header("x-correlation-id").unwrap().to_owned())
    };
    let id = until("the stream is full", full).await;
    is_logged(&deployment, &id, "stream_full", 503, EVENTS).await;
    streams.edit("EVENTS", |config| *config = room).await;
    deployment.signal("nats", Signal::SIGSTOP);
    wait_until_stopped(deployment.pid("nats")).await;
    for code in ["stream_unavailable", "circuit_open"] {
        let refused = async || {
            let answer = client.ask(client.post(&[], good())).await;
            (answer.json()["code"] == code)
                .then(|| answer.header("x-correlation-id").unwrap().to_owned())
        };
        let id = until(code, refused).await;
        is_logged(&deployment, &id, code, 503, EVENTS).await;
    }
    deployment.signal("nats", Signal::SIGCONT);
    // What began before the shutdown and ends after it.
    let mut late = client.wire().await;
    let whole = client.post(&[("x-correlation-id", "late")], good());
    late.send(&whole[..40]).await;
    client.get("/health/live").await;
    deployment.signal("collector", Signal::SIGTERM);
    let address = url.trim_start_matches("http://").to_owned();
    until("nothing is accepted any more", async || {
        tokio::net::TcpStream::connect(&address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    late.send(&whole[40..]).await;
    problem(&late.answer().await, "shutting_down");
    is_logged(&deployment, "late", "shutting_down", 503, EVENTS).await;
    let log = deployment.log("collector");
    for secret in [&client.key, &slow.key, &reader.key] {
        assert!(!log.contains(secret.as_str()));
    }
}

/// Asking whether it is ready is no refused request: it is done again and again while a process starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_ready_does_not_log_each_question() {
    let mut deployment = Deployment::bare(Engine::Sqlite).await;
    let address = harness::free_address();
    let mut command = deployment.command(
        "devtrail-collector",
        &["--listen", &address, "--nats-url", "nats://127.0.0.1:1"],
    );
    deployment.spawn("collector", &mut command);
    let client = RawClient {
        url: format!("http://{address}"),
        key: "k".to_owned(),
    };
    until("it listens", async || {
        tokio::net::TcpStream::connect(&address)
            .await
            .ok()
            .map(drop)
    })
    .await;
    for _ in 0..3 {
        assert_eq!(client.get("/health/ready").await.status, 503);
    }
    let last = client.get("/nothing").await;
    let id = last.header("x-correlation-id").unwrap().to_owned();
    is_logged(&deployment, &id, "not_found", 404, "none").await;
    assert!(!deployment.log("collector").contains("/health/ready"));
}

//! Pages and browser extensions: preflight, and replies that they may read.

use harness::{Answer, Deployment, DevtrailUp, Engine, until};

use crate::problem::problem;
use crate::support::{RawClient, good, shared};

const PAGE: &str = "https://app.example";
const EXTENSION: &str = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";
const HEARTBEATS: &str = "/api/v1/users/current/heartbeats.bulk";

/// Asks beforehand, as a browser does.
async fn preflight(client: &RawClient, origin: &str, path: &str) -> Answer {
    let request = format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-machine-name,timezone\r\n\
         access-control-request-private-network: true\r\n\r\n"
    );
    client.ask(request).await
}

fn has_no_cors(answer: &Answer) {
    let shown = format!("{answer:?}").to_lowercase();
    assert!(!shown.contains("access-control-"), "{shown}");
}

/// Contract: cors.origins, cors.preflight, cors.replies, cors.errors, cors.credentials, cors.others
#[tokio::test(flavor = "multi_thread")]
async fn listed_origins_may_send_and_read_and_others_may_not() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let origins = format!("{PAGE},moz-extension://1-2");
    let arguments = [
        "--cors-origin",
        &origins,
        "--cors-origin",
        EXTENSION,
        "--max-in-flight",
        "1",
    ];
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    for origin in [PAGE, EXTENSION, "moz-extension://1-2"] {
        for path in [
            "/v1/events",
            HEARTBEATS,
            "/v1/metrics/daily",
            "/v1/alerts/stream",
            "/nothing",
        ] {
            let answer = preflight(&client, origin, path).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
            let header = |name: &str| answer.header(name).unwrap_or_default().to_lowercase();
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(header("vary"), "origin");
            assert!(
                header("access-control-allow-methods").contains("post"),
                "{answer:?}"
            );
            for name in [
                "authorization",
                "content-type",
                "x-machine-name",
                "timezone",
            ] {
                assert!(
                    header("access-control-allow-headers").contains(name),
                    "{answer:?}"
                );
            }
            assert!(header("access-control-max-age").parse::<u32>().unwrap() > 0);
            assert_eq!(header("access-control-allow-private-network"), "true");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert!(answer.header("x-correlation-id").is_some());
        }
        let taken = client.ask(client.post(&[("origin", origin)], good())).await;
        assert_eq!(taken.status, 202);
        assert_eq!(taken.header("access-control-allow-origin"), Some(origin));
        assert!(
            taken
                .header("access-control-expose-headers")
                .unwrap()
                .contains("Retry-After")
        );
        assert_eq!(taken.header("access-control-allow-credentials"), None);
    }
    // Refusals can be read, too.
    let mut held = client.wire().await;
    held.send(client.post_head(&[("expect", "100-continue")], &[("content-length", "1000")]))
        .await;
    assert_eq!(held.answer().await.status, 100);
    let with = [("origin", PAGE)];
    for (request, code) in [
        (
            client.post(
                &[("origin", PAGE), ("authorization", "Bearer nobody")],
                good(),
            ),
            "unauthenticated",
        ),
        (client.post(&with, good()), "overloaded"),
        (
            format!("GET /nothing HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\n\r\n").into_bytes(),
            "not_found",
        ),
        (
            format!("PUT /v1/events HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\n\r\n").into_bytes(),
            "method_not_allowed",
        ),
    ] {
        let answer = client.ask(request).await;
        problem(&answer, code);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(PAGE),
            "{answer:?}"
        );
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    drop(held);
    until("its place is free again", async || {
        let answer = client.ask(client.post(&[], "{")).await;
        (answer.status != 503).then_some(())
    })
    .await;
    for origin in [
        "https://other.example",
        "https://app.example:444",
        "http://app.example",
        "https://app.example.evil",
        "null",
    ] {
        let answer = preflight(&client, origin, "/v1/events").await;
        problem(&answer, "method_not_allowed");
        has_no_cors(&answer);
        let answer = client.ask(client.post(&[("origin", origin)], "{")).await;
        assert_eq!(
            (answer.status, answer.header("vary")),
            (400, Some("Origin"))
        );
        has_no_cors(&answer);
    }
}

/// Contract: cors.rate-limited
#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_read_that_it_sends_too_much() {
    let up =
        DevtrailUp::start_with(&["--cors-origin", PAGE, "--rate", "1", "--max-events", "1"]).await;
    let client = RawClient::to(&up);
    let mut last = None;
    for _ in 0..3 {
        last = Some(client.ask(client.post(&[("origin", PAGE)], good())).await);
    }
    let limited = last.unwrap();
    problem(&limited, "rate_limited");
    assert_eq!(limited.header("access-control-allow-origin"), Some(PAGE));
}

/// Contract: cors.off
#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_no_reply_has_a_cors_header() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let asked = preflight(&client, PAGE, "/v1/events").await;
    problem(&asked, "method_not_allowed");
    let taken = client.ask(client.post(&[("origin", PAGE)], good())).await;
    for answer in [asked, taken] {
        has_no_cors(&answer);
        assert_eq!(answer.header("vary"), None);
    }
}

/// Contract: cors.wrong
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_origin_is_wrong_usage() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    for origin in [
        "*",
        "app.example",
        "https://app.example/",
        "https://app.example/x",
        "null",
        "",
    ] {
        for program in ["devtrail-collector", "devtrail"] {
            let up: &[&str] = if program == "devtrail" { &["up"] } else { &[] };
            let output = deployment.run(program, &[up, &["--cors-origin", origin]].concat());
            assert_eq!(output.status.code(), Some(2), "{origin}");
            let said = harness::stderr_of(&output);
            assert!(said.contains("is no origin"), "{said}");
        }
    }
}

//! Each error code with its problem's members.

use harness::{Client, Deployment, DevtrailUp, Engine, Streams, event, until, wait_until_stopped};
use serde_json::json;

use crate::problem::problem;
use crate::support::{RawClient, body_of, fresh, good, shared};

/// Contract: events.key, errors.unauthenticated
#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_key_nothing_is_taken() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let bearer = format!("bEaReR {}", client.key);
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Basic eDp5",
        "Bearer nobody",
        "Bearer \u{e9}",
        &client.key,
    ] {
        let body = client
            .refused(
                client.post(&[("authorization", wrong)], good()),
                "unauthenticated",
            )
            .await;
        assert!(body["detail"].as_str().unwrap().len() > 20, "{body}");
    }
    for path in ["/v1/batches/b1", "/v1/metrics/daily"] {
        client
            .refused(
                format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"),
                "unauthenticated",
            )
            .await;
    }
    // The scheme's case does not matter (RFC 9110, section 11.1).
    assert_eq!(
        client
            .ask(client.post(&[("authorization", &bearer)], good()))
            .await
            .status,
        202
    );
    client.still_fine().await;
}

/// Contract: errors.unsupported_media_type, errors.unsupported_encoding
///
/// Contract: errors.headers
#[tokio::test(flavor = "multi_thread")]
async fn other_media_types_and_encodings_are_refused_by_name() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for kind in [
        "text/plain",
        "application/jsonx",
        "json",
        "",
        "application/xml; x=application/json",
    ] {
        client
            .refused(
                client.post(&[("content-type", kind)], good()),
                "unsupported_media_type",
            )
            .await;
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON ; x"] {
        assert_eq!(
            client
                .ask(client.post(&[("content-type", kind)], good()))
                .await
                .status,
            202,
            "{kind}"
        );
    }
    for encoding in [
        "br",
        "deflate",
        "gzip, gzip",
        "gzip, identity",
        "compress",
        "*",
    ] {
        let request = client.post(&[("content-encoding", encoding)], good());
        let answer = client.ask(request).await;
        problem(&answer, "unsupported_encoding");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"));
    }
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    client
        .refused(client.post(&twice, good()), "unsupported_encoding")
        .await;
    client.still_fine().await;
}

/// Contract: envelope.developer-id, errors.pointer, errors.wrong_developer
#[tokio::test(flavor = "multi_thread")]
async fn another_developers_id_is_refused_and_ones_own_is_fine() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let named = |who: &str| good().replacen('{', &format!("{{\"developer_id\":\"{who}\","), 1);
    for who in ["somebody", "", "ME", &"x".repeat(100_000)] {
        let body = client.body_refused(named(who), "wrong_developer").await;
        assert_eq!(body["pointer"], "/developer_id");
    }
    client.taken(named("me")).await;
    let body = client
        .refused(
            client.request("GET", "/v1/metrics/daily?to=never"),
            "invalid_parameter",
        )
        .await;
    assert_eq!(
        (&body["parameter"], body.get("pointer")),
        (&json!("to"), None)
    );
}

/// Contract: batches.route, errors.scope_missing
#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_the_scope_is_refused_and_the_scope_is_named() {
    use types::api_key::{ApiKeyRecord, BUCKET, Scope, digest, generate, key_entry};
    let up = shared().await;
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let bucket = async_nats::jetstream::new(nats)
        .get_key_value(BUCKET)
        .await
        .unwrap();
    let with = async |scope: Scope| {
        let key = generate();
        let created_at = "2026-03-01T00:00:00Z".to_owned();
        let developer = "scoped".parse().unwrap();
        let record = ApiKeyRecord {
            developer,
            scopes: vec![scope],
            rate: None,
            created_at,
        };
        let record = serde_json::to_vec(&record).unwrap();
        bucket
            .put(key_entry(&digest(&key)), record.into())
            .await
            .unwrap();
        let client = RawClient {
            url: up.address("collector"),
            key,
        };
        let known = async || (client.get("/v1/batches/b1").await.status != 401).then_some(());
        until("the key is known", known).await;
        client
    };
    let reads = with(Scope::MetricsRead).await;
    for request in [
        reads.post(&[], good()),
        reads.request("GET", "/v1/batches/b1").into_bytes(),
    ] {
        let body = reads.refused(request, "scope_missing").await;
        assert!(
            body["detail"].as_str().unwrap().contains("events:write"),
            "{body}"
        );
    }
    assert_eq!(reads.get("/v1/metrics/daily").await.status, 200);
    let writes = with(Scope::EventsWrite).await;
    let body = writes
        .refused(writes.request("GET", "/v1/metrics/daily"), "scope_missing")
        .await;
    assert!(
        body["detail"].as_str().unwrap().contains("metrics:read"),
        "{body}"
    );
    writes.still_fine().await;
}

/// Contract: errors.stream_full
#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_reported_with_a_longer_retry_after() {
    let up = DevtrailUp::start().await;
    let client = RawClient::to(&up);
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let streams = Streams::of(async_nats::jetstream::new(nats));
    let room = streams.edit("EVENTS", |config| config.max_bytes = 1).await;
    let batch = good();
    let body = client.body_refused(&batch, "stream_full").await;
    assert_eq!(body["retry_after_ms"], 5000);
    streams.edit("EVENTS", |config| *config = room).await;
    assert_eq!(client.taken(&batch).await["duplicate_batch"], false);
    assert_eq!(up.verify()["stored"], 1);
}

/// Contract: errors.unknown-outcome, errors.resend, errors.stream_unavailable
/// Contract: limits.publish-timeout
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_after_a_503_is_stored_once() {
    use nix::sys::signal::Signal;
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with("collector", &["--publish-timeout", "300ms"])
        .await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let batch = body_of("b1", &format!("[{}]", event("e1")));
    deployment.signal("nats", Signal::SIGSTOP);
    wait_until_stopped(deployment.pid("nats")).await;
    let answer = client.ask(client.post(&[], &batch)).await;
    deployment.signal("nats", Signal::SIGCONT);
    let body = problem(&answer, "stream_unavailable");
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("Send the same batch again"),
        "{body}"
    );
    until("it is taken", async || {
        (client.ask(client.post(&[], &batch)).await.status == 202).then_some(())
    })
    .await;
    deployment.worker("all", "all", None);
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["stored"], 1);
}

/// Contract: envelope.required, errors.limit, errors.too_many_events, limits.events
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_1_to_1000_events() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let batch = |count: usize| {
        let events: Vec<String> = (0..count).map(|_| event(&fresh("e")).to_string()).collect();
        body_of(&fresh("b"), &format!("[{}]", events.join(",")))
    };
    assert_eq!(
        client.body_refused(batch(0), "invalid_envelope").await["pointer"],
        "/events"
    );
    for count in [1, 1000] {
        assert_eq!(
            client.taken(batch(count)).await["counts"]["accepted"],
            count
        );
    }
    let body = client.body_refused(batch(1001), "too_many_events").await;
    assert_eq!(
        (&body["limit"], &body["actual"]),
        (&json!(1000), &json!(1001))
    );
    client.still_fine().await;
}

/// Contract: reply.correlation-id, errors.format, errors.match
#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_taken_over_or_generated_and_returned() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let long = "x".repeat(129);
    for (sent, taken) in [
        ("a", true),
        (&long[..128], true),
        ("~!", true),
        (&long, false),
        ("a b", false),
        ("\u{e9}", false),
    ] {
        for (body, status) in [(good(), 202), ("{".to_owned(), 400)] {
            let answer = client
                .ask(client.post(&[("x-correlation-id", sent)], body))
                .await;
            let id = answer.header("x-correlation-id").unwrap();
            assert_eq!((answer.status, id == sent), (status, taken), "{sent}");
            assert_eq!(answer.json()["correlation_id"], id);
        }
    }
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, taken) in [
        (parent, true),
        ("", false),
        ("00-nothing", false),
        (&parent.replace("4b", "XY"), false),
    ] {
        for target in ["/health/live", "/nothing"] {
            let request =
                format!("GET {target} HTTP/1.1\r\nhost: x\r\ntraceparent: {sent}\r\n\r\n");
            let answer = client.ask(request).await;
            let returned = answer.header("traceparent").unwrap();
            assert_eq!(
                (returned == sent, returned.len()),
                (taken, parent.len()),
                "{sent}"
            );
        }
    }
}

/// Contract: envelope.developer, event.unique
#[tokio::test(flavor = "multi_thread")]
async fn the_same_ids_of_two_developers_are_two_events() {
    let up = shared().await;
    let mine = RawClient::to(&up);
    let made = up.devtrail(&["keys", "create", "bob"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let bobs = RawClient::with(&Client::new(&mine.url, &key));
    until("bob's key is known", async || {
        (bobs.get("/v1/batches/x").await.status != 401).then_some(())
    })
    .await;
    let batch = good();
    for client in [&mine, &bobs] {
        let reply = client.taken(&batch).await;
        assert_eq!(
            (&reply["duplicate_batch"], &reply["counts"]["accepted"]),
            (&json!(false), &json!(1))
        );
    }
    let id = mine.taken(&batch).await["batch_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let sql = format!(
        "SELECT count(DISTINCT developer) FROM batches WHERE batch_id = '{id}' AND duplicate = 0"
    );
    up.until("both are stored", || (up.count(&sql) == 2).then_some(()))
        .await;
    let sql = "SELECT count(*) FROM events WHERE developer IN ('me', 'bob') GROUP BY event_id HAVING count(*) = 2";
    assert_eq!(up.count(sql), 2);
}

//! What an editor meets: each route, each error, and a key that changes while everything runs.

use async_nats::jetstream;
use harness::{Client, Up, envelope, event};
use serde_json::{Value, json};

async fn problem(response: reqwest::Response) -> (u16, String, Value) {
    let (status, kind) =
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap().to_owned());
    assert!(response.headers().contains_key("x-correlation-id"));
    assert_eq!(kind, "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert!(body["correlation_id"].is_string() && body["retryable"].is_boolean(), "{body}");
    (status, body["code"].as_str().unwrap().to_owned(), body)
}

async fn refused(client: &Client, body: &Value) -> (u16, String, Value) {
    problem(client.post(body).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_status_and_code() {
    let up = Up::start().await;
    let client = up.client();
    let bearer = format!("Bearer {}", client.key());
    let good = envelope("b1", &[event("e1")]);
    let bytes = serde_json::to_vec(&good).unwrap();
    let json_type = ("content-type", "application/json");
    let with = |mut envelope: Value, name: &str, value: Value| {
        envelope[name] = value;
        envelope
    };
    let of = |(status, code, _): (u16, String, Value)| (status, code);
    let expect = |status: u16, code: &str| (status, code.to_owned());
    let raw =
        async |headers: &[(&str, &str)], body: Vec<u8>| of(problem(client.raw(headers, body).await).await);
    let auth = ("authorization", bearer.as_str());
    assert_eq!(raw(&[json_type], bytes.clone()).await, expect(401, "unauthenticated"));
    assert_eq!(raw(&[json_type, auth], b"{".to_vec()).await, expect(400, "malformed_json"));
    assert_eq!(
        raw(&[("content-type", "text/plain"), auth], bytes.clone()).await,
        expect(415, "unsupported_media_type")
    );
    let br = ("content-encoding", "br");
    assert_eq!(raw(&[json_type, auth, br], bytes).await, expect(415, "unsupported_encoding"));
    assert_eq!(raw(&[json_type, auth], vec![b' '; 5 << 20]).await, expect(413, "body_too_large"));
    let (status, code, body) = refused(&client, &with(good.clone(), "events", json!([]))).await;
    assert_eq!((status, code.as_str(), &body["pointer"]), (400, "invalid_envelope", &json!("/events")));
    let other = with(good.clone(), "developer_id", json!("somebody"));
    assert_eq!(of(refused(&client, &other).await), expect(403, "wrong_developer"));
    let many = with(good.clone(), "events", json!(vec![event("e"); 1001]));
    assert_eq!(of(refused(&client, &many).await), expect(413, "too_many_events"));
    assert_eq!(of(problem(client.get("/nothing").await).await), expect(404, "not_found"));
    assert_eq!(of(problem(client.get("/v1/events").await).await), expect(405, "method_not_allowed"));
    // Nothing of all that reached the stream, and the next good batch is taken.
    assert_eq!(client.send(&good).await["stream_sequence"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_and_zstd_bodies_health_and_schemas_are_served() {
    use std::io::Write;
    let up = Up::start().await;
    let client = up.client();
    let bearer = format!("Bearer {}", client.key());
    let body = serde_json::to_vec(&envelope("b1", &[event("e1")])).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&body).unwrap();
    let zipped = [("gzip", gzip.finish().unwrap()), ("zstd", zstd::encode_all(&body[..], 3).unwrap())];
    for (encoding, body) in zipped {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &bearer),
            ("content-encoding", encoding),
        ];
        let reply = client.raw(&headers, body).await;
        assert_eq!(reply.status(), 202, "{encoding}");
    }
    assert_eq!(client.get("/health/live").await.status(), 200);
    assert_eq!(client.get("/health/ready").await.status(), 200);
    let list: Value = client.get("/v1/schemas").await.json().await.unwrap();
    assert_eq!((list["types"].as_array().unwrap().len(), &list["supported"]), (20, &json!(["1.0", "1.1"])));
    let schema: Value = client.get("/v1/schemas/1.1/test.finished").await.json().await.unwrap();
    assert_eq!(schema["properties"]["type"]["const"], "test.finished");
    assert_eq!(client.get("/v1/schemas/2.0/test.finished").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correlation_id_and_trace_context_are_taken_over_and_follow_the_batch() {
    let up = Up::start().await;
    let client = up.client();
    let bearer = format!("Bearer {}", client.key());
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("x-correlation-id", "my-own-1"),
        ("traceparent", traceparent),
    ];
    let body = serde_json::to_vec(&envelope("b1", &[event("e1")])).unwrap();
    let reply = client.raw(&headers, body).await;
    assert_eq!(
        (&reply.headers()["x-correlation-id"], &reply.headers()["traceparent"]),
        (&"my-own-1".parse().unwrap(), &traceparent.parse().unwrap())
    );
    let found = format!(
        "SELECT count(*) FROM batches WHERE correlation_id = 'my-own-1' AND traceparent = '{traceparent}'"
    );
    up.until("the batch is stored", || (up.count("SELECT count(*) FROM batches") == 1).then_some(())).await;
    assert_eq!(up.count(&found), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_and_revoked_are_live_without_a_restart() {
    let up = Up::start().await;
    let output = up.devtrail(&["keys", "create", "ada"]);
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let ada = Client::new(&up.address("collector"), &key);
    let batch = envelope("b1", &[event("e1")]);
    while ada.post(&batch).await.unwrap().status() == 401 {
        tokio::task::yield_now().await;
    }
    up.until("it is stored", || {
        (up.count("SELECT count(*) FROM events WHERE developer = 'ada'") == 1).then_some(())
    })
    .await;
    assert!(up.devtrail(&["keys", "revoke", "ada"]).status.success());
    while ada.post(&batch).await.unwrap().status() != 401 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_503_stream_full_and_nothing_is_promised() {
    let up = Up::start().await;
    let client = up.client();
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let js = jetstream::new(nats);
    let mut config = js.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    let room = config.max_bytes;
    config.max_bytes = 1;
    js.update_stream(config.clone()).await.unwrap();
    let batch = envelope("b1", &[event("e1")]);
    let (status, code, body) = refused(&client, &batch).await;
    assert_eq!((status, code.as_str(), &body["retryable"]), (503, "stream_full", &json!(true)));
    config.max_bytes = room;
    js.update_stream(config).await.unwrap();
    assert_eq!(client.send(&batch).await["duplicate_batch"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_stream_a_batch_is_503_and_sent_again_it_is_kept_once() {
    let up = Up::start().await;
    let client = up.client();
    let batch = envelope("b1", &[event("e1")]);
    let nats = nix::unistd::Pid::from_raw(up.pids().1);
    nix::sys::signal::kill(nats, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let (status, code, body) = refused(&client, &batch).await;
    nix::sys::signal::kill(nats, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert_eq!((status, code.as_str()), (503, "stream_unavailable"));
    assert!(body["detail"].as_str().unwrap().contains("Send the same batch again"), "{body}");
    while client.post(&batch).await.unwrap().status() != 202 {
        tokio::task::yield_now().await;
    }
    assert_eq!(up.verify()["stored"], 1);
}

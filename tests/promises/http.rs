//! Correlation ids, changed keys, and a stream that is unavailable, as an editor sees them.

use harness::{Client, DevtrailUp, envelope, event};
use serde_json::Value;

async fn problem(response: reqwest::Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(response.headers().contains_key("x-correlation-id"));
    assert_eq!(kind, "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert!(
        body["correlation_id"].is_string() && body["retryable"].is_boolean(),
        "{body}"
    );
    (status, body["code"].as_str().unwrap().to_owned(), body)
}

async fn refused(client: &Client, body: &Value) -> (u16, String, Value) {
    problem(client.post(body).await.unwrap()).await
}

/// Contract: reply.correlation-id
#[tokio::test(flavor = "multi_thread")]
async fn correlation_id_and_trace_context_follow_the_batch() {
    let up = DevtrailUp::start().await;
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
        (
            &reply.headers()["x-correlation-id"],
            &reply.headers()["traceparent"]
        ),
        (&"my-own-1".parse().unwrap(), &traceparent.parse().unwrap())
    );
    let found = format!(
        "SELECT count(*) FROM batches WHERE correlation_id = 'my-own-1' AND traceparent = '{traceparent}'"
    );
    up.until("the batch is stored", || {
        (up.count("SELECT count(*) FROM batches") == 1).then_some(())
    })
    .await;
    assert_eq!(up.count(&found), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_created_and_revoked_are_live_without_a_restart() {
    let up = DevtrailUp::start().await;
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

/// Contract: errors.resend, errors.stream_unavailable
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_refused_without_the_stream_is_stored_once_later() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let batch = envelope("b1", &[event("e1")]);
    let nats = nix::unistd::Pid::from_raw(up.pids().1);
    nix::sys::signal::kill(nats, nix::sys::signal::Signal::SIGSTOP).unwrap();
    harness::wait_until_stopped(nats.as_raw().cast_unsigned()).await;
    let (status, code, body) = refused(&client, &batch).await;
    nix::sys::signal::kill(nats, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert_eq!((status, code.as_str()), (503, "stream_unavailable"));
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("Send the same batch again"),
        "{body}"
    );
    while client.post(&batch).await.unwrap().status() != 202 {
        tokio::task::yield_now().await;
    }
    assert_eq!(up.verify()["stored"], 1);
}

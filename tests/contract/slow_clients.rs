//! Headers and bodies that come late, and clients that do not read.

use std::time::Duration;

use harness::{Deployment, Engine};

use crate::problem::problem;
use crate::support::{RawClient, good};

async fn hasty() -> (Deployment, RawClient) {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = ["--header-timeout", "300ms", "--body-timeout", "300ms"];
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    (deployment, client)
}

/// Contract: errors.header_timeout, limits.header-timeout
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_come_in_time_is_a_408() {
    let (_site, client) = hasty().await;
    for part in [
        "",
        "P",
        "PRI * HT",
        "POST /v1/events HTTP/1.1\r\nhost: x\r\n",
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx: y",
    ] {
        let mut wire = client.wire().await;
        wire.send(part).await;
        // Others are served meanwhile.
        client.still_fine().await;
        let answer = wire.answer().await;
        problem(&answer, "header_timeout");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(wire.rest().await.is_empty());
    }
    // A later header has its own deadline.
    let mut wire = client.wire().await;
    wire.send(client.request("GET", "/health/live")).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.send("GET /heal").await;
    problem(&wire.answer().await, "header_timeout");
}

/// Contract: errors.body_timeout, limits.body-timeout
#[tokio::test(flavor = "multi_thread")]
async fn a_late_or_dripping_body_is_a_408() {
    let (deployment, client) = hasty().await;
    let whole = client.post(&[], good());
    for cut in [good().len() - 1, 1] {
        let mut wire = client.wire().await;
        wire.send(&whole[..whole.len() - cut]).await;
        client.still_fine().await;
        let answer = wire.answer().await;
        problem(&answer, "body_timeout");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(wire.rest().await.is_empty());
    }
    let mut wire = client.wire().await;
    wire.send(client.post_head(&[], &[("content-length", "100000")]))
        .await;
    let mut drips = tokio::time::interval(Duration::from_millis(20));
    let answer = loop {
        tokio::select! {
            answer = wire.answer() => break answer,
            _ = drips.tick() => {}
        }
        // It may have been refused meanwhile.
        let _ = wire.offer(" ").await;
    };
    problem(&answer, "body_timeout");
    // After a 408 the same batch is taken.
    assert_eq!(client.ask(&whole).await.status, 202);
    let mut deployment = deployment;
    deployment.worker("all", "all", None);
    deployment.completed(3).await;
    assert_eq!(deployment.verify()["stored"], 3);
}

/// Who sends on and on and reads nothing is not read on; others do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_not_buffered_without_bound() {
    let (_site, client) = hasty().await;
    let mut wire = client.wire().await;
    let many = client.request("GET", "/v1/schemas").repeat(1000);
    let mut sent = 0;
    // The collector stops reading once its answers are not taken: the sockets' buffers fill up.
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(500), wire.offer(&many)).await
    {
        sent += 1000;
        assert!(sent < 500_000, "it answers without end");
    }
    client.still_fine().await;
    // Once it reads it has its answers.
    assert_eq!(wire.answer().await.status, 200);
    drop(wire);
    client.still_fine().await;
}

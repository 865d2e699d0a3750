//! What closes the collector's breaker, other than three successful batches.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Client, Deployment, Engine, until};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{deployment, send, status, stop_nats};

/// Opens the breaker: a server that is frozen answers none of five batches.
async fn open(deployment: &Deployment, client: &Client) {
    stop_nats(deployment).await;
    for refusal in join_all(["b1", "b2", "b3", "b4", "b5"].map(|id| send(client, id))).await {
        assert_eq!(refusal.code, "circuit_open", "{}", refusal.body);
    }
    deployment.signal("nats", Signal::SIGCONT);
}

/// Contract: breaker.probe
async fn it_closes_by_itself_while_nobody_sends(engine: Engine) {
    let (deployment, client) = deployment(
        engine,
        &["--publish-timeout", "60s", "--breaker-open-for", "1s"],
    )
    .await;
    open(&deployment, &client).await;
    until("it is reported as closed", async || {
        (status(&deployment)? == ("closed".to_owned(), false)).then_some(())
    })
    .await;
    assert_eq!(client.get("/health/ready").await.status(), 200);
}

/// Contract: breaker.reconnect
async fn a_server_that_is_back_is_tried_at_once(engine: Engine) {
    let (mut deployment, client) = deployment(engine, &["--breaker-open-for", "6s"]).await;
    deployment.kill("nats");
    let doubled = async || {
        let refusal = send(&client, "b1").await;
        let pause =
            Duration::from_millis(refusal.body["retry_after_ms"].as_u64().unwrap_or_default());
        (refusal.code == "circuit_open" && pause > Duration::from_secs(10)).then_some(pause)
    };
    let pause = until("the pause has doubled", doubled).await;
    deployment.nats_again();
    let began = Instant::now();
    until("a batch gets through", async || {
        (send(&client, "b1").await.status == 202).then_some(())
    })
    .await;
    assert!(
        began.elapsed() < pause / 2,
        "{:?} of {pause:?}",
        began.elapsed()
    );
    deployment.completed(1).await;
}

/// Contract: breaker.full
async fn a_full_stream_closes_it(engine: Engine) {
    let arguments = [
        "--publish-timeout",
        "60s",
        "--breaker-open-for",
        "3s",
        "--breaker-probes",
        "120",
    ];
    let (deployment, client) = deployment(engine, &arguments).await;
    open(&deployment, &client).await;
    deployment
        .streams()
        .await
        .edit("EVENTS", |config| config.max_bytes = 1)
        .await;
    send(&client, "early").await.kept().await;
    // More than the collector would ask by itself in the time that `until` waits.
    for number in 0..120 {
        let refusal = send(&client, &format!("full-{number}")).await;
        assert_eq!(
            (refusal.status, &*refusal.code),
            (503, "stream_full"),
            "{}",
            refusal.body
        );
    }
    until("it closes", async || {
        deployment
            .log("collector")
            .contains("a circuit breaker closed")
            .then_some(())
    })
    .await;
}

/// Contract: errors.batch_too_large
async fn a_batch_that_the_stream_never_takes_is_not_retryable(engine: Engine) {
    let (deployment, client) = deployment(engine, &["--publish-timeout", "60s"]).await;
    deployment
        .streams()
        .await
        .edit("EVENTS", |config| config.max_message_size = 100)
        .await;
    for number in 0..10 {
        let refusal = send(&client, &format!("b{number}")).await;
        assert_eq!(
            (refusal.status, &*refusal.code),
            (413, "batch_too_large"),
            "{}",
            refusal.body
        );
        assert_eq!(refusal.body["retryable"], json!(false));
    }
    assert!(
        !deployment.log("collector").contains("circuit breaker"),
        "{}",
        deployment.log("collector")
    );
}

harness::on_both_stores!(
    it_closes_by_itself_while_nobody_sends,
    a_server_that_is_back_is_tried_at_once,
    a_full_stream_closes_it,
    a_batch_that_the_stream_never_takes_is_not_retryable,
);

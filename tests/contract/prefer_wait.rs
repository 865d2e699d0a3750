//! `Prefer: wait`: how it is written, and its replies without a store.

use harness::{Answer, Deployment, Engine, until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{RawClient, good, shared};

async fn preferring(client: &RawClient, preferences: &[&str]) -> Answer {
    let headers: Vec<(&str, &str)> = preferences.iter().map(|one| ("prefer", *one)).collect();
    client.ask(client.post(&headers, good())).await
}

/// Contract: wait.what, wait.stored, wait.seconds, wait.at-most, wait.several
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_found_among_preferences_and_reported_as_applied() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (preferences, applied) in [
        (&["wait=20"][..], "wait=20"),
        (&["wait=30"], "wait=30"),
        (&["wait=31"], "wait=30"),
        (&["wait=99999999999999999999"], "wait=30"),
        (&["WAIT = \"9\""], "wait=9"),
        (
            &["respond-async, handling=lenient; x=\"wait=1\", wait=25"],
            "wait=25",
        ),
        (&["wait=28, wait=3"], "wait=28"),
        (&["return=minimal", "wait=27", "wait=1"], "wait=27"),
    ] {
        let answer = preferring(&client, preferences).await;
        let reply = answer.json();
        assert_eq!(
            (answer.status, &reply["durability"]),
            (200, &json!("stored")),
            "{preferences:?} {reply}"
        );
        assert_eq!(
            answer.header("preference-applied"),
            Some(applied),
            "{preferences:?}"
        );
        let seq = &reply["stream_sequence"];
        assert_eq!(
            up.count(&format!("SELECT count(*) FROM batches WHERE seq = {seq}")),
            1,
            "stored means stored"
        );
    }
}

/// Contract: wait.not-waited, wait.invalid
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_wait_is_no_preference() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let long = format!("wait={}", "x".repeat(10_000));
    for preference in [
        "wait=0",
        "wait=1.5",
        "wait=-1",
        "wait=soon",
        "wait",
        "wait=",
        "wait=5s",
        "",
        ",;=\"",
        "\u{e9}",
        "wait=soon, wait=5",
        &long,
    ] {
        let answer = preferring(&client, &[preference]).await;
        assert_eq!(
            (answer.status, &answer.json()["durability"]),
            (202, &json!("stream")),
            "{preference}"
        );
        assert_eq!(answer.header("preference-applied"), None, "{preference}");
    }
}

/// Contract: wait.ran-out, wait.not-waited, wait.as-good
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_without_the_store_is_a_202_all_the_same() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let answer = preferring(&client, &["wait=1"]).await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, Some("wait=1"))
    );
    // Recreated while somebody waits: whether the batch is there is no longer known by its sequence.
    let js = deployment.js().await;
    let messages = async |count: u64| {
        let stream = js.get_stream("EVENTS").await.ok()?;
        (stream.cached_info().state.messages == count).then_some(())
    };
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { preferring(&client, &["wait=30"]).await }
    });
    until("the batch is in the stream", async || messages(2).await).await;
    js.delete_stream("EVENTS").await.unwrap();
    assert!(
        deployment
            .run("devtrail", &["streams", "apply"])
            .status
            .success()
    );
    let answer = waiting.await.unwrap();
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, None)
    );
    // Stopped while somebody waits.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { preferring(&client, &["wait=30"]).await }
    });
    until("the batch is in the new stream", async || messages(1).await).await;
    deployment.signal("collector", Signal::SIGTERM);
    let answer = waiting.await.unwrap();
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, None)
    );
    assert!(deployment.ended("collector").await.success());
    deployment.worker("all", "all", None);
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["stored"], 1);
}

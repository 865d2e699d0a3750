//! What ends in the middle of a stream of alerts: the collector, nats-server, the key, the stream ALERTS itself.

use std::collections::BTreeSet;

use harness::{Client, Deployment, Engine, until};
use serde_json::json;

use super::reader::AlertReader;
use super::{alerts, polled, publish};

async fn collector_and_ada(arguments: &[&str]) -> (Deployment, Client) {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector_with("collector", arguments).await;
    let client = deployment.client(&url, "ada").await;
    (deployment, client)
}

/// Contract: alerts.resume, alerts.beginning
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_collector_loses_nothing_and_repeats_nothing() {
    let (mut deployment, mut client) = collector_and_ada(&[]).await;
    let js = deployment.js().await;
    let mut reader = AlertReader::open(&client, None).await;
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for round in 0..4 {
        // The first time it dies before anything has come.
        for number in 0..3 * round {
            sent.push(publish(&js, "ada", 100 * round + number, &json!({})).await);
            publish(&js, "bob", number, &json!({})).await;
        }
        came.extend(reader.ids(round).await);
        deployment.kill("collector");
        for number in 0..5 {
            sent.push(publish(&js, "ada", 100 * round + 50 + number, &json!({})).await);
        }
        let url = deployment.collector("collector").await;
        client = Client::new(&url, client.key());
        // What had been sent and was not read is as good as lost.
        reader = AlertReader::open(&client, reader.last_id).await;
    }
    came.extend(reader.ids(sent.len() - came.len()).await);
    assert_eq!(came, sent);
    let unique: BTreeSet<&u64> = came.iter().collect();
    assert_eq!(unique.len(), came.len());
    // Nothing is left over.
    let last = publish(&js, "ada", 999, &json!({})).await;
    assert_eq!(reader.next().await.id, last);
}

/// Contract: alerts.nats-restart
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_nats_server_is_not_noticed() {
    let (mut deployment, client) = collector_and_ada(&[]).await;
    let mut reader = AlertReader::open(&client, None).await;
    for round in 0..3 {
        let js = deployment.js().await;
        let mut sent = Vec::new();
        for number in 0..5 {
            sent.push(publish(&js, "ada", 10 * round + number, &json!({})).await);
        }
        assert_eq!(reader.ids(5).await, sent);
        deployment.kill("nats");
        let away = client.get_with_key("/v1/alerts").await;
        assert!([503, 200].contains(&away.status().as_u16()));
        deployment.nats_again();
    }
    let js = deployment.js().await;
    let last = publish(&js, "ada", 99, &json!({})).await;
    assert_eq!(reader.next().await.id, last);
    let page = until("alerts can be read again", async || {
        let reply = client.get_with_key("/v1/alerts").await;
        (reply.status() == 200).then_some(reply)
    })
    .await;
    let page = page.json().await.unwrap();
    assert_eq!(alerts(&page).len(), 16);
}

/// Contract: alerts.shutdown
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_stops_ends_its_streams_as_whole_replies() {
    let (mut deployment, client) = collector_and_ada(&[]).await;
    let js = deployment.js().await;
    let mut reader = AlertReader::open(&client, None).await;
    let first = publish(&js, "ada", 1, &json!({})).await;
    assert_eq!(reader.next().await.id, first);
    let began = std::time::Instant::now();
    let status = deployment.stop("collector").await;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed().as_secs() < 8, "it waits for its streams");
    assert_eq!(reader.alert().await.unwrap(), None);
}

/// Contract: alerts.revoked
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_gets_nothing_more() {
    let (deployment, client) = collector_and_ada(&["--alert-keep-alive", "100ms"]).await;
    let js = deployment.js().await;
    let mut reader = AlertReader::open(&client, None).await;
    let other = deployment.client(client.url(), "ada").await;
    let mut of_other = AlertReader::open(&other, None).await;
    let revoked = deployment.run("devtrail", &["keys", "revoke", client.key()]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!(reader.alert().await.unwrap(), None);
    let next = publish(&js, "ada", 1, &json!({})).await;
    assert_eq!(of_other.next().await.id, next);
}

/// Contract: alerts.recreated
#[tokio::test(flavor = "multi_thread")]
async fn of_a_stream_that_was_recreated_all_is_new() {
    let (deployment, client) = collector_and_ada(&[]).await;
    let js = deployment.js().await;
    for number in 0..9 {
        publish(&js, "ada", number, &json!({})).await;
    }
    let mut reader = AlertReader::open(&client, Some(0)).await;
    let before = *reader.ids(9).await.last().unwrap();
    js.delete_stream("ALERTS").await.unwrap();
    let applied = deployment.run("devtrail", &["streams", "apply"]);
    assert!(applied.status.success(), "{applied:?}");
    let new = publish(&js, "ada", 10, &json!({})).await;
    assert!(new < before);
    // The stream ends when the collector learns of it. A client that connects again, be it too early, misses nothing.
    let mut again = AlertReader::open(&client, Some(before)).await;
    assert_eq!(reader.alert().await.unwrap(), None);
    let first = loop {
        match again.alert().await.unwrap() {
            Some(first) => break first,
            None => again = AlertReader::open(&client, again.last_id).await,
        }
    };
    assert_eq!(first.id, new);
    let page = polled(&client, &format!("?after={before}")).await;
    assert_eq!(alerts(&page)[0]["sequence"], new);
}

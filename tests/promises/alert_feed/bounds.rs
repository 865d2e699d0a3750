//! Streams of alerts have bounds of their own, and a slow one holds up nobody.

use std::time::Duration;

use harness::{Client, Deployment, Engine, RawConnection, envelope, event, until};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::publish;
use super::reader::AlertReader;

/// A metric that the collector reports.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .parse()
        .unwrap()
}

/// Contract: alerts.bounds, alerts.developer-bound, alerts.apart
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_apart_and_bounded_in_all_and_for_each_developer() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = [
        "--max-connections",
        "8",
        "--address-share",
        "100",
        "--max-alert-streams",
        "8",
    ];
    let url = deployment.collector_with("collector", &arguments).await;
    let mut open = Vec::new();
    for developer in ["ada", "bob"] {
        let client = deployment.client(&url, developer).await;
        for _ in 0..4 {
            open.push(AlertReader::open(&client, None).await);
        }
        if developer == "ada" {
            let refused = AlertReader::request(&client, None).await;
            assert_eq!(refused.status(), 429);
            assert!(refused.headers().contains_key("retry-after"));
            let problem: Value = refused.json().await.unwrap();
            assert_eq!(
                (&problem["code"], &problem["limit"]),
                (&json!("rate_limited"), &json!(4))
            );
        }
    }
    // As many as there may be connections: they take the place of none.
    let eve = deployment.client(&url, "eve").await;
    for number in 0..8 {
        eve.send(&envelope(
            &format!("b{number}"),
            &[event(&format!("e{number}"))],
        ))
        .await;
    }
    let refused = AlertReader::request(&eve, None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["limit"]),
        (&json!("overloaded"), &json!(8))
    );
    assert_eq!(metric(&eve, "devtrail_alert_streams ").await, 8.0);
    for (whose, count) in [("developer", 1.0), ("all", 1.0)] {
        let name =
            format!("devtrail_quota_refusals_total{{what=\"alert_streams\",whose=\"{whose}\"}}");
        assert_eq!(metric(&eve, &name).await, count, "{whose}");
    }
    // One that is closed makes room for another.
    drop(open.pop());
    let mut of_eve = until("there is room again", async || {
        let reply = AlertReader::request(&eve, None).await;
        (reply.status() == 200).then_some(reply)
    })
    .await;
    assert!(of_eve.chunk().await.unwrap().is_some());
}

/// Contract: alerts.slow, limits.write-timeout
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_nobody_and_is_closed() {
    const ALERTS: usize = 120;
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with(
            "collector",
            &["--write-timeout", "1s", "--header-timeout", "1s"],
        )
        .await;
    let client = deployment.client(&url, "ada").await;
    let bob = deployment.client(&url, "bob").await;
    let js = deployment.js().await;
    let mut quick = AlertReader::open(&client, None).await;
    let mut of_bob = AlertReader::open(&bob, None).await;
    // It takes little and reads nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = url.trim_start_matches("http://").parse().unwrap();
    let mut slow = RawConnection::over(socket.connect(address).await.unwrap());
    let key = client.key();
    slow.send(format!(
        "GET /v1/alerts/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    ))
    .await;
    until("it is open", async || {
        (metric(&client, "devtrail_alert_streams ").await == 3.0).then_some(())
    })
    .await;
    let large = json!({"note": "y".repeat(128 * 1024)});
    let mut sent = Vec::new();
    for number in 0..ALERTS {
        sent.push(publish(&js, "ada", number, &large).await);
    }
    assert_eq!(quick.ids(ALERTS).await, sent);
    let next = publish(&js, "bob", 1, &json!({})).await;
    assert_eq!(of_bob.next().await.id, next);
    until("the slow one is closed", async || {
        (metric(&client, "devtrail_alert_streams ").await == 2.0).then_some(())
    })
    .await;
    // It resumes by the id of what it has read.
    let mut again = AlertReader::open(&client, Some(sent[2])).await;
    assert_eq!(again.ids(ALERTS - 3).await, sent[3..]);
}

/// Contract: alerts.keep-alive
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_comment_keep_a_stream_alive() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with("collector", &["--alert-keep-alive", "50ms"])
        .await;
    let client = deployment.client(&url, "ada").await;
    let mut reader = AlertReader::open(&client, None).await;
    let began = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(
            reader.block().await.unwrap().as_deref(),
            Some(": keep-alive")
        );
    }
    assert!(began.elapsed() >= Duration::from_millis(140));
    let js = deployment.js().await;
    let first = publish(&js, "ada", 1, &json!({})).await;
    assert_eq!(reader.next().await.id, first);
}

//! Load beyond a collector's bounds is refused at once; the next good batch is accepted once there is room.

use std::time::Duration;

use futures_util::StreamExt as _;
use harness::{Answer, Deployment, Engine, RawConnection, until};
use serde_json::{Value, json};

use crate::compression::gzip;
use crate::memory::{MIB, peak};
use crate::problem::problem;
use crate::support::{RawClient, good};

/// A collector whose bounds one client may reach by itself.
async fn bounded(arguments: &[&str]) -> (Deployment, RawClient) {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = [arguments, &["--key-share", "100", "--address-share", "100"]].concat();
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    (deployment, client)
}

/// A connection with a batch in flight whose body has not come: the collector has sent 100 Continue.
async fn in_hand(client: &RawClient, body: &str) -> RawConnection {
    let mut wire = client.wire().await;
    let length = body.len().to_string();
    wire.send(client.post_head(
        &[("expect", "100-continue")],
        &[("content-length", &length)],
    ))
    .await;
    assert_eq!(wire.answer().await.status, 100);
    wire
}

/// The head of a batch is enough to be refused.
async fn refused_unread(client: &RawClient, length: usize) -> Value {
    let head = client.post_head(&[], &[("content-length", &length.to_string())]);
    let answer = client.ask(head).await;
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    problem(&answer, "overloaded")
}

async fn tried(client: &RawClient) -> Answer {
    client.ask(client.post(&[], good())).await
}

/// Contract: errors.overloaded, limits.in-flight, overload.refused
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_flight_are_bounded_and_the_next_is_refused() {
    let (_site, client) = bounded(&["--max-in-flight", "4"]).await;
    let bodies: Vec<String> = (0..4).map(|_| good()).collect();
    let mut wires = Vec::new();
    for body in &bodies {
        // One place is still free: each of these was answered, so has given it back.
        client.still_fine().await;
        wires.push(in_hand(&client, body).await);
    }
    assert_eq!(refused_unread(&client, 1000).await["limit"], json!(4));
    assert_eq!(
        client.get("/health/live").await.status,
        200,
        "other routes answer"
    );
    // Whoever hangs up gives the place back, and whoever is answered.
    drop(wires.pop());
    until("one fits again", async || {
        (tried(&client).await.status == 202).then_some(())
    })
    .await;
    for (wire, body) in wires.iter_mut().zip(&bodies) {
        wire.send(body).await;
        assert_eq!(wire.answer().await.status, 202);
    }
    client.still_fine().await;
}

/// Contract: limits.in-flight-bytes, overload.bytes
#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_flight_are_bounded_however_they_come() {
    let (_site, client) = bounded(&["--max-body", "4096", "--max-in-flight-bytes", "8192"]).await;
    let padded = |length: usize| {
        let body = good();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    // What is announced alone takes no room.
    let announced = in_hand(&client, &padded(4096)).await;
    client.taken(padded(4096)).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let body = padded(4096);
        let mut wire = in_hand(&client, &body).await;
        wire.send(&body[..4000]).await;
        slow.push((wire, body));
    }
    until("they have come", async || {
        (tried(&client).await.status == 503).then_some(())
    })
    .await;
    assert_eq!(refused_unread(&client, 4096).await["limit"], json!(8192));
    // 192 bytes are left: so much may come without being announced, and no byte more.
    let mut chunked = client.wire().await;
    chunked
        .send(client.post_head(&[], &[("transfer-encoding", "chunked")]))
        .await;
    chunked.send(format!("c0\r\n{}\r\n", " ".repeat(192))).await;
    chunked.send("1\r\n \r\n").await;
    problem(&chunked.answer().await, "overloaded");
    let packed = gzip(padded(3000).as_bytes());
    assert!(packed.len() < 192, "{}", packed.len());
    client
        .refused(
            client.post(&[("content-encoding", "gzip")], packed),
            "overloaded",
        )
        .await;
    let (mut one, body) = slow.pop().unwrap();
    one.send(&body[4000..]).await;
    assert_eq!(one.answer().await.status, 202);
    client.still_fine().await;
    drop((announced, slow));
    until("all is given back", async || {
        (client.ask(client.post(&[], padded(4096))).await.status == 202).then_some(())
    })
    .await;
}

/// Slow bodies hold no more than the bound, however many there are: without it these were 200 MiB.
///
/// Contract: limits.in-flight-bytes
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_bodies_hold_no_more_than_the_bound() {
    let (deployment, client) =
        bounded(&["--max-in-flight-bytes", "16777216", "--body-timeout", "20s"]).await;
    let before = peak(deployment.pid("collector"));
    let piece = vec![b' '; MIB];
    let mut wires = Vec::new();
    for _ in 0..200 {
        let mut wire = client.wire().await;
        wire.send(client.post_head(&[], &[("transfer-encoding", "chunked")]))
            .await;
        // Who is refused may be cut off while still sending.
        let _ = wire.offer(format!("{MIB:x}\r\n")).await;
        let _ = wire.offer(&piece).await;
        wires.push(wire);
    }
    // Whoever comes now is answered after most of them were looked at.
    tried(&client).await;
    let grown = peak(deployment.pid("collector")) - before;
    println!("{} MiB more", grown / MIB);
    assert!(
        grown < 64 * MIB,
        "{} MiB more for a bound of 16",
        grown / MIB
    );
    drop(wires);
    until("a good batch is taken", async || {
        (tried(&client).await.status == 202).then_some(())
    })
    .await;
}

/// Contract: limits.connections, overload.connections
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_answered_and_closed() {
    let (_site, client) = bounded(&["--max-connections", "4"]).await;
    let mut kept = Vec::new();
    until("four are kept", async || {
        // Those of the start may still be closing.
        let mut wire = client.wire().await;
        wire.send(client.request("GET", "/health/live")).await;
        if wire.answer().await.status == 200 {
            kept.push(wire);
        }
        (kept.len() == 4).then_some(())
    })
    .await;
    for request in [
        client.post(&[], good()),
        client.request("GET", "/health/live").into_bytes(),
    ] {
        let mut fifth = client.wire().await;
        fifth.send(request).await;
        let answer = fifth.answer().await;
        assert_eq!(problem(&answer, "overloaded")["limit"], json!(4));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(fifth.rest().await.is_empty());
    }
    // The four go on.
    kept[0].send(client.post(&[], good())).await;
    assert_eq!(kept[0].answer().await.status, 202);
    kept.pop();
    until("another one fits", async || {
        (tried(&client).await.status == 202).then_some(())
    })
    .await;
}

/// Contract: overload.queries, overload.waiting
#[tokio::test(flavor = "multi_thread")]
async fn queries_and_waiting_batches_are_bounded() {
    let (deployment, client) = bounded(&["--max-in-flight", "4"]).await;
    // A worker that does not answer yet.
    let nats = async_nats::connect(&deployment.nats).await.unwrap();
    let mut questions = nats.subscribe("devtrail.query.batch").await.unwrap();
    // Its own message comes back: from now on the server has the subscription, and a query has a responder.
    nats.publish("devtrail.query.batch", "".into())
        .await
        .unwrap();
    questions.next().await.unwrap();
    let mut first = client.wire().await;
    first.send(client.request("GET", "/v1/batches/b1")).await;
    let question = tokio::time::timeout(Duration::from_secs(60), questions.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        problem(&client.get("/v1/batches/b1").await, "overloaded")["limit"],
        json!(1)
    );
    problem(&client.get("/v1/metrics/daily").await, "overloaded");
    nats.publish(question.reply.unwrap(), r#"{"ok":[]}"#.into())
        .await
        .unwrap();
    problem(&first.answer().await, "batch_unknown");
    let waiting = async || {
        let mut wire = client.wire().await;
        wire.send(client.post(&[("prefer", "wait=30")], good()))
            .await;
        // It asks: so it waits.
        questions.next().await.unwrap();
        wire
    };
    let mut waiting = waiting;
    let _two = [waiting().await, waiting().await];
    let third = client
        .ask(client.post(&[("prefer", "wait=30")], good()))
        .await;
    assert_eq!(
        (third.status, &third.json()["durability"]),
        (202, &json!("stream"))
    );
    assert_eq!(third.header("preference-applied"), None);
}

/// Contract: overload.smallest
#[tokio::test(flavor = "multi_thread")]
async fn bounds_that_one_batch_could_not_keep_are_wrong_usage() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let started = deployment.run(
        "devtrail-collector",
        &[
            "--listen",
            "127.0.0.1:0",
            "--max-in-flight-bytes",
            "8388607",
        ],
    );
    let stderr_of = harness::stderr_of(&started);
    assert_eq!(started.status.code(), Some(2), "{stderr_of}");
    assert!(
        stderr_of.contains("8388607") && stderr_of.contains("--max-body"),
        "{stderr_of}"
    );
    for flag in [
        "--max-connections",
        "--max-in-flight",
        "--max-in-flight-bytes",
        "--key-share",
        "--address-share",
    ] {
        assert_eq!(
            deployment
                .run("devtrail-collector", &[flag, "0"])
                .status
                .code(),
            Some(2),
            "{flag}"
        );
    }
}

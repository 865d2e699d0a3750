//! `Prefer: wait`: 200 once the store has the batch, else 202, and nobody waits longer than asked.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use types::query::{BATCH, NOTIFY};

use super::{Bench, stored, unknown};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_stored_is_200_with_what_the_store_says() {
    let bench = Bench::start().await;
    let mut published = bench.listen("events.batch.ada").await;
    let mut asked = bench
        .answer(BATCH, |question| {
            stored(question["stored"]["seq"].as_u64().unwrap(), false)
        })
        .await;
    let notifying = async {
        let message = published.next().await.unwrap();
        let subject = message.headers.unwrap().get(NOTIFY).unwrap().to_string();
        assert!(subject.starts_with("devtrail.hint."), "{subject}");
        bench.client.publish(subject, "{}".into()).await.unwrap();
    };
    let (reply, ()) = tokio::join!(bench.send("b1", Some("respond-async, wait=60")), notifying);
    assert_eq!(
        (reply.status, reply.header("preference-applied")),
        (200, Some("wait=30")),
        "{}",
        reply.body
    );
    assert_eq!(
        (&reply.body["durability"], &reply.body["stream_sequence"]),
        (&json!("stored"), &json!(1))
    );
    assert_eq!(
        (&reply.body["batch_id"], &reply.body["duplicate_batch"]),
        (&json!("b1"), &json!(false))
    );
    assert_eq!(
        (
            &reply.body["counts"]["duplicate"],
            &reply.body["counts"]["accepted"]
        ),
        (&json!(1), &json!(0))
    );
    assert_eq!(reply.body["exceptions"][0]["original"]["batch_id"], "b0");
    let (_, question) = asked.recv().await.unwrap();
    assert_eq!(
        (
            &question["stored"]["seq"],
            &question["stored"]["incarnation"]["name"]
        ),
        (&json!(1), &json!("EVENTS"))
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wait_nothing_is_queried_and_no_one_is_notified() {
    let bench = Bench::start().await;
    let mut published = bench.listen("events.batch.ada").await;
    let mut asked = bench.answer(BATCH, |_| unknown()).await;
    for (batch_id, prefer) in [
        ("b1", None),
        ("b2", Some("wait=0")),
        ("b3", Some("handling=strict")),
    ] {
        let reply = bench.send(batch_id, prefer).await;
        assert_eq!(
            (reply.status, &reply.body["durability"]),
            (202, &json!("stream"))
        );
        assert_eq!(reply.header("preference-applied"), None, "{prefer:?}");
        let headers = published.next().await.unwrap().headers.unwrap();
        assert!(
            headers.get(NOTIFY).is_none() && headers.get("Devtrail-Batch-Id").is_some(),
            "{headers:?}"
        );
    }
    assert!(asked.try_recv().is_err(), "somebody asked");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_the_wait_ends_with_the_batch_in_the_stream() {
    let bench = Bench::start().await;
    let start = Instant::now();
    let reply = bench.send("b1", Some("wait=1")).await;
    assert!(
        start.elapsed() >= Duration::from_millis(850),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (reply.status, reply.header("preference-applied")),
        (202, Some("wait=1")),
        "{}",
        reply.body
    );
    assert_eq!(
        (&reply.body["durability"], &reply.body["counts"]["accepted"]),
        (&json!("stream"), &json!(1))
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_notification_or_a_failing_store_only_delays() {
    let bench = Bench::start().await;
    let mut answers = vec![
        unknown(),
        json!({"unavailable": "busy"}),
        json!("what?"),
        unknown(),
    ]
    .into_iter();
    let mut asked = bench
        .answer(BATCH, move |_| {
            answers.next().unwrap_or_else(|| stored(1, false))
        })
        .await;
    let reply = bench.send("b1", Some("wait=20")).await;
    assert_eq!(
        (reply.status, &reply.body["durability"]),
        (200, &json!("stored")),
        "{}",
        reply.body
    );
    let mut count = 0;
    while asked.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 5);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_notification_hastens_the_query() {
    let bench = Bench::start().await;
    let mut published = bench.listen("events.batch.ada").await;
    let mut asked = bench.answer(BATCH, |_| unknown()).await;
    let request = tokio::spawn(bench.post("b1", Some("wait=30")).send());
    let notification = published
        .next()
        .await
        .unwrap()
        .headers
        .unwrap()
        .get(NOTIFY)
        .unwrap()
        .to_string();
    // From the seventh question on there is a second between two.
    for _ in 0..6 {
        asked.recv().await.unwrap();
    }
    let (last, _) = asked.recv().await.unwrap();
    bench
        .client
        .publish(format!("{notification}0"), "{}".into())
        .await
        .unwrap();
    let (next, _) = asked.recv().await.unwrap();
    assert!(
        next - last > Duration::from_millis(900),
        "another's notification counted: {:?}",
        next - last
    );
    bench
        .client
        .publish(notification, "{}".into())
        .await
        .unwrap();
    let (hastened, _) = asked.recv().await.unwrap();
    assert!(
        hastened - next < Duration::from_millis(900),
        "the notification did not count: {:?}",
        hastened - next
    );
    request.abort();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_is_waited_for_no_more() {
    let bench = Bench::start().await;
    let mut asked = bench.answer(BATCH, |_| unknown()).await;
    let request = tokio::spawn(bench.post("b1", Some("wait=30")).send());
    for _ in 0..3 {
        asked.recv().await.unwrap();
    }
    request.abort();
    // The server sees the closed connection a moment later; then there is silence.
    let silence = async {
        while tokio::time::timeout(Duration::from_millis(2500), asked.recv())
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(Duration::from_secs(10), silence)
        .await
        .expect("questions go on");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_drains_answers_waiting_clients() {
    let bench = Bench::start().await;
    let mut asked = bench.answer(BATCH, |_| unknown()).await;
    let start = Instant::now();
    let request = tokio::spawn(bench.post("b1", Some("wait=30")).send());
    asked.recv().await.unwrap();
    bench.shutdown.begin();
    let reply = super::Reply::of(request.await.unwrap().unwrap()).await;
    assert_eq!(
        (reply.status, reply.header("preference-applied")),
        (202, None)
    );
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    bench.running.await.unwrap().unwrap();
}

//! Resends: inside the server's window, outside it, and into a recreated stream.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use types::query::{BATCH, RESEND_NOTES, ResendNote};

use super::{Bench, make_streams, stored, unknown};

#[tokio::test(flavor = "multi_thread")]
async fn each_resend_that_the_server_drops_leaves_one_note() {
    let mut bench = Bench::start().await;
    let incarnation = bus::bind_stream(&bench.js, "EVENTS").await.unwrap();
    let mut notes = bench.listen(RESEND_NOTES).await;
    for batch_id in ["b0", "b1"] {
        assert_eq!(
            bench.send(batch_id, None).await.body["duplicate_batch"],
            false
        );
    }
    for n in ["1", "2"] {
        let request = bench
            .post("b1", None)
            .header("X-Correlation-Id", format!("resend-{n}"));
        let reply = super::Reply::of(request.send().await.unwrap()).await;
        assert_eq!(
            (reply.status, &reply.body["duplicate_batch"]),
            (202, &json!(true))
        );
        let note: ResendNote =
            serde_json::from_slice(&notes.next().await.unwrap().payload).unwrap();
        assert_eq!((note.seq, note.correlation_id), (2, format!("resend-{n}")));
        assert_eq!(note.incarnation, incarnation);
        assert!(note.collector.starts_with("collector-under-test/") && note.received_at > 0);
    }
    // A stop sends what is left, and there is no more.
    bench.shutdown.begin();
    (&mut bench.running).await.unwrap().unwrap();
    bench.round_trip().await;
    let more = tokio::time::timeout(Duration::from_millis(200), notes.next()).await;
    assert!(more.is_err(), "another note: {more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_resend_gets_the_original_in_and_after_the_window() {
    let bench = Bench::start().await;
    let mut asked = bench
        .answer(BATCH, |question| match question["stored"]["seq"].as_u64() {
            // Of another batch: a resend that the server had forgotten.
            Some(2) => stored(1, true),
            Some(seq) => stored(seq, false),
            None => unknown(),
        })
        .await;
    assert_eq!(bench.send("b1", None).await.body["stream_sequence"], 1);
    let inside = bench.send("b1", Some("wait=20")).await;
    assert_eq!(
        (inside.status, &inside.body["duplicate_batch"]),
        (200, &json!(true)),
        "{}",
        inside.body
    );
    assert_eq!(inside.body["stream_sequence"], 1);
    assert_eq!(asked.recv().await.unwrap().1["stored"]["seq"], 1);
    let outside = bench.send("b2", Some("wait=20")).await;
    assert_eq!(
        (outside.status, &outside.body["duplicate_batch"]),
        (200, &json!(true)),
        "{}",
        outside.body
    );
    assert_eq!(outside.body["stream_sequence"], 1);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_recreated_stream_nothing_wrong_is_claimed() {
    let bench = Bench::start().await;
    let mut notes = bench.listen(RESEND_NOTES).await;
    let mut asked = bench
        .answer(BATCH, |question| {
            stored(question["stored"]["seq"].as_u64().unwrap(), false)
        })
        .await;
    assert_eq!(bench.send("b1", Some("wait=20")).await.status, 200);
    let old = asked.recv().await.unwrap().1["stored"]["incarnation"].clone();
    bench.js.delete_stream("EVENTS").await.unwrap();
    make_streams(&bench.js).await;
    // Whether the PubAck is the old stream's or the new one's nobody can tell.
    let unsure = bench.send("b2", Some("wait=20")).await;
    assert_eq!(
        (unsure.status, unsure.header("preference-applied")),
        (202, None),
        "{}",
        unsure.body
    );
    assert!(
        asked.try_recv().is_err(),
        "the store was asked about an unknown life"
    );
    let sure = bench.send("b3", Some("wait=20")).await;
    assert_eq!(
        (sure.status, &sure.body["stream_sequence"]),
        (200, &json!(2)),
        "{}",
        sure.body
    );
    let new = asked.recv().await.unwrap().1["stored"]["incarnation"].clone();
    assert_ne!(old, new);
    assert_eq!(bench.send("b3", None).await.body["duplicate_batch"], true);
    let note: ResendNote = serde_json::from_slice(&notes.next().await.unwrap().payload).unwrap();
    assert_eq!(
        (note.seq, serde_json::to_value(note.incarnation).unwrap()),
        (2, new)
    );
    bench.end().await;
}

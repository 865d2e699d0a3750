//! The same batch, sent repeatedly in every way, stores each event exactly once (R1.4).

use async_nats::jetstream;
use harness::{DevtrailUp, envelope, event};
use serde_json::json;

async fn stored(up: &DevtrailUp, events: i64) {
    up.until("the events are stored", || {
        (up.count("SELECT count(*) FROM events") >= events).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_that_send_the_same_batch_store_it_once() {
    let up = DevtrailUp::start().await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    let sends = (0..16).map(|_| {
        let client = up.client();
        let batch = batch.clone();
        tokio::spawn(async move { client.send(&batch).await })
    });
    let replies = futures_util::future::join_all(sends).await;
    let replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
    assert!(
        replies
            .iter()
            .all(|reply| reply["stream_sequence"] == 1 && reply["counts"] == replies[0]["counts"])
    );
    let first = replies
        .iter()
        .filter(|reply| reply["duplicate_batch"] == false)
        .count();
    assert_eq!(
        first, 1,
        "one of them was first, the others were duplicates"
    );
    stored(&up, 2).await;
    assert_eq!(up.verify()["messages"], 1);
    assert_eq!(up.count("SELECT count(*) FROM batches"), 1);
}

/// Contract: resend.within
#[tokio::test(flavor = "multi_thread")]
async fn a_resend_inside_the_window_gets_the_first_reply_again() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let bad = json!({"id": "e2", "type": "file.saved", "occurred_at": "never"});
    let first = client
        .send(&envelope("b1", &[event("e1"), bad.clone()]))
        .await;
    // Another attempt: later, by another version of the client.
    let mut again = envelope("b1", &[event("e1"), bad]);
    again["sent_at"] = json!("2026-03-02T00:00:00Z");
    again["client"] = json!({"name": "other"});
    let again = client.send(&again).await;
    assert_eq!(
        (&first["duplicate_batch"], &again["duplicate_batch"]),
        (&json!(false), &json!(true))
    );
    for same in ["stream_sequence", "counts", "exceptions", "batch_id"] {
        assert_eq!(first[same], again[same], "{same}");
    }
    assert_eq!(up.verify()["messages"], 1);
}

/// Contract: verdict.duplicate, resend.later
#[tokio::test(flavor = "multi_thread")]
async fn a_late_resend_is_dropped_and_names_the_original() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let js = jetstream::new(nats);
    let mut config = js
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.duplicate_window = std::time::Duration::from_millis(100);
    js.update_stream(config).await.unwrap();
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    client.send(&batch).await;
    // The window passes: the server forgets the message id and takes the batch again.
    let mut again = client.send(&batch).await;
    while again["duplicate_batch"] == true {
        again = client.send(&batch).await;
    }
    let at = again["stream_sequence"].as_i64().unwrap();
    up.until("both batches are stored", || {
        (up.count("SELECT count(*) FROM batches") == 2).then_some(())
    })
    .await;
    assert_eq!(up.count("SELECT count(*) FROM events"), 2);
    // R7.2: sequence, ordinal, batch id and received_at of the original.
    let named = format!(
        "SELECT count(*) FROM duplicates_with_originals d JOIN batches b ON b.seq = 1 WHERE d.seq = {at}
         AND d.original_seq = 1 AND d.original_ordinal = d.ordinal AND d.original_batch_id = 'b1'
         AND d.original_received_at = b.received_at"
    );
    assert_eq!(up.count(&named), 2);
    let audited =
        "SELECT count(*) FROM audit JOIN audit_personal USING (id) WHERE step = 'deduplicated'
         AND detail LIKE '%\"seq\":1%' AND detail LIKE '%\"batch_id\":\"b1\"%' AND detail LIKE \
         '%\"received_at\":\"20%'";
    assert_eq!(up.count(audited), 2);
    assert_eq!(up.verify()["duplicates"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_stream_stores_nothing_twice() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    client.send(&batch).await;
    stored(&up, 2).await;
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    jetstream::new(nats).delete_stream("EVENTS").await.unwrap();
    assert!(up.devtrail(&["streams", "apply"]).status.success());
    let again = client.send(&batch).await;
    assert_eq!(
        (&again["stream_sequence"], &again["duplicate_batch"]),
        (&json!(1), &json!(false))
    );
    client.send(&envelope("b2", &[event("e3")])).await;
    stored(&up, 3).await;
    assert_eq!(up.count("SELECT count(*) FROM events"), 3);
    assert_eq!(up.count("SELECT count(*) FROM sources"), 2);
    let report = up.verify();
    assert_eq!(
        (&report["stored"], &report["duplicates"]),
        (&json!(1), &json!(2))
    );
}

/// Contract: event.unique, resend.by-event
#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_other_content_is_quarantined_whole() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    client.send(&envelope("b1", &[event("e1")])).await;
    let mut other = event("e1");
    other["data"]["path"] = json!("other.rs");
    client
        .send(&envelope("b2", std::slice::from_ref(&other)))
        .await;
    up.until("both are stored", || {
        (up.count("SELECT count(*) FROM batches") == 2).then_some(())
    })
    .await;
    let body: Vec<u8> = up
        .database()
        .query_row(
            "SELECT body FROM refused WHERE code = 'id_conflict' AND seq = 2",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        other
    );
    assert_eq!(up.count("SELECT seq FROM events"), 1);
    assert_eq!(up.verify()["quarantined"], 1);
}

//! The same batch, sent repeatedly in every way, stores each event exactly once (R1.4).

use std::collections::BTreeSet;

use async_nats::jetstream;
use harness::{
    Client, Deployment, Engine, envelope, event, event_streams, events_of, sequence_of, until,
};
use serde_json::{Value, json};

/// Sends each batch from a client of its own, all at once; gives the replies in the order of the batches.
async fn at_once(client: &Client, batches: Vec<Value>) -> Vec<Value> {
    let sends = batches.into_iter().map(|batch| {
        let client = Client::new(client.url(), client.key());
        tokio::spawn(async move { client.send(&batch).await })
    });
    let replies = futures_util::future::join_all(sends).await;
    replies.into_iter().map(Result::unwrap).collect()
}

async fn sixteen_clients_that_send_the_same_batch_store_it_once(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    let replies = at_once(&client, vec![batch; 16]).await;
    assert!(
        replies
            .iter()
            .all(|reply| sequence_of(reply) == 1 && reply["counts"] == replies[0]["counts"])
    );
    let first = replies
        .iter()
        .filter(|reply| reply["duplicate_batch"] == false)
        .count();
    assert_eq!(
        first, 1,
        "one of them was first, the others were duplicates"
    );
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["messages"], 1);
    let database = &deployment.database;
    assert_eq!(database.count("SELECT count(*) FROM events").await, 2);
    assert_eq!(
        database.count("SELECT count(*) FROM completed_jobs").await,
        3
    );
}

/// Sixteen clients of one developer send the same events at once, each in batches cut elsewhere: the server's window
/// knows none of them, and the store decides event by event.
async fn sixteen_clients_that_cut_the_same_events_store_each_once(engine: Engine) {
    const EVENTS: usize = 48;
    let (deployment, client) = Deployment::running(engine).await;
    let push = |number: usize| {
        json!({"id": format!("e{number}"), "type": "git.push", "occurred_at": jiff::Timestamp::now().to_string(),
               "data": {"branch": "topic", "force": number == 0}})
    };
    let events: Vec<Value> = (0..EVENTS).map(push).collect();
    let cut = |sender: usize| {
        let chunks = events.chunks(sender + 2).enumerate();
        chunks.map(move |(number, chunk)| envelope(&format!("s{sender}-{number}"), chunk))
    };
    let batches: Vec<Value> = (0..16).flat_map(cut).collect();
    let sent = batches.len();
    at_once(&client, batches).await;
    deployment.completed(sent as i64).await;
    let database = &deployment.database;
    let ids = "SELECT event_id FROM events";
    let stored: Vec<String> = database.rows(ids).await.into_iter().flatten().collect();
    assert_eq!(stored.len(), EVENTS);
    assert_eq!(BTreeSet::from_iter(stored).len(), EVENTS);
    let received = (EVENTS * 16) as i64;
    assert_eq!(
        database.count("SELECT count(*) FROM duplicates").await,
        received - EVENTS as i64
    );
    // One set of jobs for each batch that brought something new, and one alert, told once.
    let need = "SELECT count(*) FROM batches WHERE need <> 0";
    assert_eq!(
        database.count("SELECT count(*) FROM completed_jobs").await,
        3 * database.count(need).await
    );
    assert_eq!(
        database
            .rows("SELECT rule, state FROM alerts WHERE rule = 'force-push'")
            .await,
        [["force-push", "raised"]]
    );
    let report = deployment.verify();
    assert_eq!(report["messages"], sent, "{report}");
}

/// Contract: resend.within
async fn a_resend_inside_the_window_gets_the_first_reply_again(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
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
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["messages"], 1);
}

/// Contract: verdict.duplicate, resend.later
async fn a_late_resend_is_dropped_and_names_the_original(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    deployment
        .streams()
        .await
        .forget_message_ids(&events_of("ada"))
        .await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    client.send(&batch).await;
    // The window passes: the server forgets the message id and takes the batch again.
    let mut again = client.send(&batch).await;
    while again["duplicate_batch"] == true {
        again = client.send(&batch).await;
    }
    let at = sequence_of(&again);
    deployment.completed(2).await;
    let database = &deployment.database;
    assert_eq!(database.count("SELECT count(*) FROM events").await, 2);
    // R7.2: sequence, ordinal, batch id and received_at of the original.
    let named = format!(
        "SELECT count(*) FROM duplicates_with_originals d JOIN batches b ON b.seq = 1 WHERE d.seq = {at}
         AND d.original_seq = 1 AND d.original_ordinal = d.ordinal AND d.original_batch_id = 'b1'
         AND d.original_received_at = b.received_at"
    );
    assert_eq!(database.count(&named).await, 2);
    let audited =
        "SELECT count(*) FROM audit JOIN audit_personal USING (id) WHERE step = 'deduplicated'
         AND detail LIKE '%\"seq\":1%' AND detail LIKE '%\"batch_id\":\"b1\"%' AND detail LIKE \
         '%\"received_at\":\"20%'";
    assert_eq!(database.count(audited).await, 2);
    assert_eq!(deployment.verify()["duplicates"], 2);
}

async fn a_recreated_stream_stores_nothing_twice(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    client.send(&batch).await;
    deployment.completed(1).await;
    let nats = async_nats::connect(&deployment.nats).await.unwrap();
    jetstream::new(nats)
        .delete_stream(&events_of("ada"))
        .await
        .unwrap();
    assert!(
        deployment
            .run("devtrail", &["streams", "apply"])
            .status
            .success()
    );
    let again = client.send(&batch).await;
    assert_eq!(
        (sequence_of(&again), &again["duplicate_batch"]),
        (1, &json!(false))
    );
    client.send(&envelope("b2", &[event("e3")])).await;
    let database = &deployment.database;
    until("the events are stored", async || {
        let stored = database.count("SELECT count(*) FROM batches").await;
        (stored == 3).then_some(())
    })
    .await;
    assert_eq!(database.count("SELECT count(*) FROM events").await, 3);
    let sources = database.count("SELECT count(*) FROM sources").await;
    assert_eq!(sources, i64::from(event_streams().number()) + 1);
    let report = deployment.verify();
    assert_eq!(
        (&report["stored"], &report["duplicates"]),
        (&json!(1), &json!(2))
    );
}

/// Contract: event.unique, resend.by-event
async fn an_id_with_other_content_is_quarantined_whole(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    client.send(&envelope("b1", &[event("e1")])).await;
    let mut other = event("e1");
    other["data"]["path"] = json!("other.rs");
    client
        .send(&envelope("b2", std::slice::from_ref(&other)))
        .await;
    deployment.completed(2).await;
    let database = &deployment.database;
    let body = match engine {
        Engine::Sqlite => "SELECT body FROM refused WHERE code = 'id_conflict' AND seq = 2",
        Engine::Postgres => {
            "SELECT convert_from(body, 'UTF8') FROM refused WHERE code = 'id_conflict' AND seq = 2"
        }
    };
    let body: Value = serde_json::from_str(&database.rows(body).await[0][0]).unwrap();
    assert_eq!(body, other);
    assert_eq!(database.count("SELECT seq FROM events").await, 1);
    assert_eq!(deployment.verify()["quarantined"], 1);
}

harness::on_both_stores!(
    sixteen_clients_that_send_the_same_batch_store_it_once,
    sixteen_clients_that_cut_the_same_events_store_each_once,
    a_resend_inside_the_window_gets_the_first_reply_again,
    a_late_resend_is_dropped_and_names_the_original,
    a_recreated_stream_stores_nothing_twice,
    an_id_with_other_content_is_quarantined_whole,
);

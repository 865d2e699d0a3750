//! The 2xx of a batch.

use harness::event;
use serde_json::{Value, json};

use crate::support::{RawClient, body_of, fresh, good, shared};

/// Contract: events.encoding, reply.accepted
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_202_and_is_then_in_the_stream() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let body = good();
    let gzip = crate::compression::gzip(body.as_bytes());
    let zstd = crate::compression::zstd(body.as_bytes());
    for (encoding, sent) in [
        ("", body.as_bytes()),
        ("identity", body.as_bytes()),
        ("gzip", &gzip),
        ("x-gzip", &gzip),
        ("zstd", &zstd),
    ] {
        let answer = client
            .ask(client.post(&[("content-encoding", encoding)], sent))
            .await;
        let reply = answer.json();
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (202, Some("application/json"))
        );
        let names: Vec<&String> = reply.as_object().unwrap().keys().collect();
        let expected = [
            "batch_id",
            "correlation_id",
            "counts",
            "duplicate_batch",
            "durability",
            "exceptions",
            "stream_sequence",
        ];
        assert_eq!(names, expected);
        assert_eq!(reply["durability"], "stream");
        let js = async_nats::jetstream::new(async_nats::connect(up.address("nats")).await.unwrap());
        let stream = js.get_stream("EVENTS").await.unwrap();
        let message = stream
            .get_raw_message(reply["stream_sequence"].as_u64().unwrap())
            .await
            .unwrap();
        assert_eq!(
            message.headers.get("Devtrail-Batch-Id").unwrap().as_str(),
            reply["batch_id"].as_str().unwrap()
        );
    }
}

/// Contract: reply.members, reply.counts, verdict.accepted, verdict.duplicate, verdict.rejected
/// Contract: verdict.quarantined, reply.same-batch
#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_has_its_code_members_and_stored_row() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let first = event(&fresh("e"));
    let with = |base: Value, name: &str, value: Value| {
        let mut one = base;
        one[name] = value;
        one
    };
    let other = with(first.clone(), "data", json!({"path": "other.rs"}));
    let odd = |name: &str, value: Value| with(event(&fresh("e")), name, value);
    let cases = [
        (first.clone(), "accepted", "", vec![]),
        (first, "duplicate", "duplicate_id", vec!["original"]),
        (
            other,
            "quarantined",
            "id_conflict",
            vec!["detail", "original", "pointer"],
        ),
        (
            odd("data", json!({"path": 7})),
            "rejected",
            "schema_invalid",
            vec!["detail", "pointer"],
        ),
        (
            odd("id", json!("")),
            "rejected",
            "id_invalid",
            vec!["detail", "pointer"],
        ),
        (
            odd("occurred_at", json!("never")),
            "rejected",
            "time_invalid",
            vec!["detail", "pointer"],
        ),
        (
            json!([1]),
            "rejected",
            "not_an_object",
            vec!["detail", "pointer"],
        ),
        (
            odd("type", json!("no.type")),
            "quarantined",
            "type_unknown",
            vec!["detail", "pointer", "supported"],
        ),
        (
            odd("schema_version", json!("9.0")),
            "quarantined",
            "schema_version_unsupported",
            vec!["detail", "pointer", "supported"],
        ),
        (
            odd("occurred_at", json!("1999-01-01T00:00:00Z")),
            "quarantined",
            "time_implausible",
            vec!["detail", "pointer"],
        ),
    ];
    let events: Vec<String> = cases.iter().map(|(event, ..)| event.to_string()).collect();
    let reply = client.validated(&events).await;
    assert_eq!(
        reply["counts"],
        json!({"received": 10, "accepted": 1, "duplicate": 1, "rejected": 4, "quarantined": 4})
    );
    let seq = reply["stream_sequence"].as_i64().unwrap();
    let sql = format!("SELECT count(*) FROM batches WHERE seq = {seq}");
    up.until("the batch is stored", || {
        (up.count(&sql) == 1).then_some(())
    })
    .await;
    let exceptions = reply["exceptions"].as_array().unwrap();
    for ((index, (event, verdict, code, members)), exception) in
        cases.iter().enumerate().skip(1).zip(exceptions)
    {
        assert_eq!(
            (
                &exception["index"],
                &exception["verdict"],
                &exception["code"]
            ),
            (&json!(index), &json!(verdict), &json!(code))
        );
        let mut names: Vec<&str> = exception
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        names.retain(|name| !["index", "id", "verdict", "code"].contains(name));
        assert_eq!(names, *members, "{exception}");
        assert!(
            exception["original"].is_null() || exception["original"] == json!({"index": 0}),
            "{exception}"
        );
        let table = if *verdict == "duplicate" {
            "duplicates"
        } else {
            "refused"
        };
        let sql = format!("SELECT body FROM {table} WHERE seq = {seq} AND ordinal = {index}");
        let kept: Option<Vec<u8>> = up.database().query_row(&sql, [], |row| row.get(0)).unwrap();
        // A duplicate's bytes are its original's.
        assert_eq!(
            kept.map(|kept| String::from_utf8(kept).unwrap()),
            (table == "refused").then(|| event.to_string())
        );
    }
}

/// Contract: reply.always-2xx
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_nothing_but_refused_events_is_taken() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let refused = ["null", "7", "\"x\"", "[]", "{}", "true", "{\"id\":\"x\"}"].map(str::to_owned);
    let reply = client.validated(&refused).await;
    assert_eq!(
        (&reply["counts"]["rejected"], &reply["counts"]["accepted"]),
        (&json!(7), &json!(0))
    );
    assert!(reply["stream_sequence"].as_u64().unwrap() > 0);
}

/// Contract: resend.within, resend.other-events, resend.by-event
#[tokio::test(flavor = "multi_thread")]
async fn a_resend_gets_the_first_reply_unless_its_events_differ() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    let one = event(&fresh("e"));
    let two = event(&fresh("e"));
    let first = client.taken(body_of(&id, &format!("[{one},7]"))).await;
    let mut again: Value = serde_json::from_str(&body_of(&id, &format!("[{one},7]"))).unwrap();
    (again["sent_at"], again["client"]) = (json!("2026-04-01T00:00:00Z"), json!({"name": "other"}));
    // The events' own bytes are the same, the rest is not.
    let again = again.to_string().replace(
        &serde_json::to_string(&json!([one, 7])).unwrap(),
        &format!("[{one},7]"),
    );
    let packed = client
        .ask(client.post(
            &[("content-encoding", "gzip")],
            crate::compression::gzip(again.as_bytes()),
        ))
        .await
        .json();
    assert_eq!(
        (&packed["duplicate_batch"], &first["duplicate_batch"]),
        (&json!(true), &json!(false))
    );
    for same in ["stream_sequence", "counts", "exceptions", "batch_id"] {
        assert_eq!(first[same], packed[same], "{same}");
    }
    let other = client.taken(body_of(&id, &format!("[{one},{two}]"))).await;
    assert_eq!(
        (&other["duplicate_batch"], &other["counts"]["accepted"]),
        (&json!(false), &json!(2))
    );
    let seq = other["stream_sequence"].as_i64().unwrap();
    let sql = format!("SELECT duplicate FROM batches WHERE seq = {seq} AND accepted = 1");
    up.until("the store knows one of them", || {
        let found = up
            .database()
            .query_row(&sql, [], |row| row.get::<_, i64>(0));
        found.ok().filter(|duplicates| *duplicates == 1)
    })
    .await;
}

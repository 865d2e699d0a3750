//! The envelope's own members.

use harness::event;
use serde_json::{Value, json};

use crate::support::{RawClient, fresh, good, shared};

fn envelope() -> Value {
    serde_json::from_str(&good()).unwrap()
}

fn with(name: &str, value: Value) -> String {
    let mut envelope = envelope();
    envelope[name] = value;
    envelope.to_string()
}

/// Contract: envelope.required, envelope.pointer, errors.invalid_envelope
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_of_another_kind_is_named_by_its_pointer() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for name in ["batch_id", "sent_at", "schema_version", "events"] {
        let mut envelope = envelope();
        envelope.as_object_mut().unwrap().remove(name);
        let body = client
            .body_refused(envelope.to_string(), "invalid_envelope")
            .await;
        assert_eq!(body["pointer"], json!(format!("/{name}")));
        assert!(
            body["detail"]
                .as_str()
                .unwrap()
                .contains(&format!("{name} is missing")),
            "{body}"
        );
        for other in [json!(null), json!(7), json!({"a": 1}), json!(true)] {
            let body = client
                .body_refused(with(name, other), "invalid_envelope")
                .await;
            assert_eq!(body["pointer"], json!(format!("/{name}")));
        }
    }
    for body in ["[]", "7", "\"x\"", "null", "true", "[{}]"] {
        assert_eq!(
            client.body_refused(body, "invalid_envelope").await["pointer"],
            "",
            "{body}"
        );
    }
    client.still_fine().await;
}

/// Contract: envelope.batch-id-header
#[tokio::test(flavor = "multi_thread")]
async fn idempotency_key_replaces_the_batch_id_and_must_equal_it() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    let mut envelope = envelope();
    envelope.as_object_mut().unwrap().remove("batch_id");
    let answer = client
        .ask(client.post(&[("idempotency-key", &id)], envelope.to_string()))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["batch_id"]),
        (202, &json!(id))
    );
    envelope["batch_id"] = json!(id);
    let answer = client
        .ask(client.post(&[("idempotency-key", &id)], envelope.to_string()))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["duplicate_batch"]),
        (202, &json!(true))
    );
    let unequal = client.post(&[("idempotency-key", "other")], envelope.to_string());
    assert_eq!(
        client.refused(unequal, "invalid_envelope").await["pointer"],
        "/batch_id"
    );
    // Of two headers, which is meant is unknowable.
    envelope.as_object_mut().unwrap().remove("batch_id");
    let twice = client.post(
        &[("idempotency-key", "one"), ("idempotency-key", "two")],
        envelope.to_string(),
    );
    assert_eq!(
        client.refused(twice, "invalid_envelope").await["parameter"],
        "Idempotency-Key"
    );
}

/// A member that occurs twice at the level of the envelope is refused; within an event it is that event's verdict.
///
/// Contract: envelope.repeated
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_occurs_twice_in_the_envelope_is_ambiguous() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (name, pointer) in [
        ("batch_id", "/batch_id"),
        ("sent_at", "/sent_at"),
        ("schema_version", "/schema_version"),
        ("events", "/events"),
        ("developer_id", "/developer_id"),
        ("client", ""),
        ("anything", ""),
        ("", ""),
    ] {
        let mut envelope = envelope();
        let value = match name {
            "batch_id" | "sent_at" | "schema_version" | "events" => envelope[name].clone(),
            _ => json!("me"),
        };
        envelope[name] = value.clone();
        let twice = envelope
            .to_string()
            .replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let body = client.body_refused(twice, "invalid_envelope").await;
        assert_eq!(body["pointer"], pointer, "{body}");
        assert!(
            body["detail"].as_str().unwrap().contains("more than once"),
            "{body}"
        );
    }
    // The same name written differently is the same name.
    let twice = good().replacen('{', "{\"batch\\u005fid\":\"x\",", 1);
    client.body_refused(twice, "invalid_envelope").await;
    client.still_fine().await;
}

/// Contract: envelope.unknown-members
#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_are_kept_in_envelope_event_and_data() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let id = fresh("e");
    let mut one = event(&id);
    (one["mood"], one["data"]["mood"]) = (json!(["fine", null]), json!({"deep": [1.50]}));
    let text = one.to_string().replace("1.5", "1.500");
    let envelope = json!({
        "batch_id": fresh("b"), "sent_at": "2026-03-01T09:15:02Z", "schema_version": "1.0",
        "client": {"name": "vscode-devtrail", "shoe_size": 42}, "weather": {"rain": true}, "events": ["X"],
    });
    let reply = client
        .taken(envelope.to_string().replace("\"X\"", &text))
        .await;
    let js = async_nats::jetstream::new(async_nats::connect(up.address("nats")).await.unwrap());
    let stream = js.get_stream("EVENTS").await.unwrap();
    let message = stream
        .get_raw_message(reply["stream_sequence"].as_u64().unwrap())
        .await
        .unwrap();
    let kept = types::batch::decode(message.payload).unwrap();
    let member =
        |name: &str| serde_json::from_str::<Value>(kept.header.envelope[name].get()).unwrap();
    assert_eq!(
        (member("client"), member("weather")),
        (envelope["client"].clone(), envelope["weather"].clone())
    );
    let sql = format!("SELECT count(*) FROM events WHERE event_id = '{id}'");
    up.until("the event is stored", || {
        (up.count(&sql) == 1).then_some(())
    })
    .await;
    let sql = format!("SELECT body FROM events WHERE event_id = '{id}'");
    let body: Vec<u8> = up.database().query_row(&sql, [], |row| row.get(0)).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), text, "kept to the letter");
}

/// Contract: event.required
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_one_of_its_members_is_rejected() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (name, code) in [
        ("id", "id_invalid"),
        ("type", "schema_invalid"),
        ("occurred_at", "time_invalid"),
        ("data", "schema_invalid"),
    ] {
        let mut one = event(&fresh("e"));
        one.as_object_mut().unwrap().remove(name);
        let reply = client.validated(&[one.to_string()]).await;
        let exception = &reply["exceptions"][0];
        assert_eq!(
            (&exception["code"], &exception["verdict"]),
            (&json!(code), &json!("rejected")),
            "{name}"
        );
        assert!(
            exception["detail"].as_str().unwrap().contains(name),
            "{exception}"
        );
        for other in [json!(null), json!(7), json!([1]), json!(true)] {
            one[name] = other;
            assert_eq!(client.verdict(&one.to_string()).await, code, "{one}");
        }
    }
    let mut session = event(&fresh("e"));
    session["type"] = json!("session.started");
    session.as_object_mut().unwrap().remove("data");
    assert_eq!(client.verdict(&session.to_string()).await, "");
}

/// Contract: event.schema-version
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_schema_version_has_the_envelopes() {
    let up = shared().await;
    let client = RawClient::to(&up);
    // Version 1.0 knows no `flaky`, so that it may be anything there.
    for (envelopes, events, code) in [
        ("1.0", None, ""),
        ("1.1", None, "schema_invalid"),
        ("1.1", Some("1.0"), ""),
        ("1.0", Some("1.1"), "schema_invalid"),
    ] {
        let mut one = event(&fresh("e"));
        (one["type"], one["data"]) = (
            json!("test.finished"),
            json!({"outcome": "passed", "flaky": -1}),
        );
        if let Some(version) = events {
            one["schema_version"] = json!(version);
        }
        let mut envelope = envelope();
        (envelope["schema_version"], envelope["events"]) = (json!(envelopes), json!([one]));
        let reply = client.taken(envelope.to_string()).await;
        assert_eq!(
            reply["exceptions"][0]["code"].as_str().unwrap_or_default(),
            code,
            "{envelopes} {events:?}"
        );
    }
}

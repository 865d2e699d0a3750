//! CloudEvents from the request to the stored row, and back.

use harness::DevtrailUp;
use serde_json::{Value, json};

fn cloud_event(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/editors/vim", "type": "test.finished", "schemaversion": "1.1",
        "time": "2026-03-01T09:14:58+01:00", "subject": "unit", "x": "kept",
        "data": {"outcome": "passed", "flaky": 1},
    })
}

/// An event's JSON as the CloudEvent it was: the contract's table, read from right to left.
fn back(text: &str) -> Value {
    let Value::Object(event) = serde_json::from_str(text).unwrap() else {
        panic!("{text}")
    };
    let renamed = event.into_iter().map(|(name, value)| match name.as_str() {
        "occurred_at" => ("time".to_owned(), value),
        "schema_version" => ("schemaversion".to_owned(), value),
        _ => (name, value),
    });
    renamed.collect()
}

/// Contract: formats.cloudevents, formats.cloudevents-batch, cloudevents.mapping, cloudevents.time
/// Contract: cloudevents.schemaversion, cloudevents.base64, cloudevents.members, cloudevents.null
/// Contract: cloudevents.headers, cloudevents.resend
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_event_is_mapped_and_a_resend_is_the_same_batch() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let structured = [(
        "content-type",
        "application/cloudevents+json; charset=utf-8",
    )];
    let sent = cloud_event("c1");
    let first = client.store_as(&structured, sent.to_string()).await;
    assert_eq!(first["counts"]["accepted"], 1, "{first}");
    let kept = up.kept("c1");
    assert_eq!(back(&kept), sent);
    let event: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(
        (&event["occurred_at"], &event["schema_version"]),
        (&sent["time"], &json!("1.1"))
    );
    assert!(
        first["batch_id"].as_str().unwrap().starts_with("ce-"),
        "{first}"
    );
    let again = client.store_as(&structured, sent.to_string()).await;
    assert_eq!(again["duplicate_batch"], true, "{again}");
    for member in ["batch_id", "stream_sequence", "counts"] {
        assert_eq!(again[member], first[member], "{member}");
    }
    // { "outcome":"passed"}, and null for what is not there
    let mut encoded = cloud_event("c2");
    encoded["data"] = Value::Null;
    encoded["subject"] = Value::Null;
    encoded["data_base64"] = json!("eyAib3V0Y29tZSI6InBhc3NlZCJ9");
    let batch = format!("[{encoded},{}]", cloud_event("c3"));
    let reply = client
        .store_as(
            &[("content-type", "application/cloudevents-batch+json")],
            batch,
        )
        .await;
    assert_eq!(reply["counts"]["accepted"], 2, "{reply}");
    let kept: Value = serde_json::from_str(&up.kept("c2")).unwrap();
    assert_eq!(
        (&kept["data"], kept.get("subject")),
        (&json!({"outcome": "passed"}), None)
    );
    let row = "SELECT schema_version FROM batches WHERE seq = 1 AND abs(received_at - unixepoch(sent_at) * \
        1000000) < 2000000";
    let version: String = up.database().query_row(row, [], |row| row.get(0)).unwrap();
    assert_eq!(version, "1.0");
    assert_eq!(up.verify()["stored"], 3);
}

/// To CloudEvents source and id together are the identity: what that would lose here is kept.
/// Contract: cloudevents.id, cloudevents.sources
#[tokio::test(flavor = "multi_thread")]
async fn one_id_from_two_sources_is_a_conflict_and_nothing_is_lost() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let [first, mut second] = [cloud_event("c1"), cloud_event("c1")];
    second["source"] = json!("/editors/emacs");
    let batch = format!("[{first},{second}]");
    let together = client
        .store_as(
            &[("content-type", "application/cloudevents-batch+json")],
            batch,
        )
        .await;
    let apart = client
        .store_as(
            &[("content-type", "application/cloudevents+json")],
            second.to_string(),
        )
        .await;
    for (reply, index) in [(together, 1), (apart, 0)] {
        let refused = &reply["exceptions"][0];
        assert_eq!(
            (&refused["index"], &refused["code"]),
            (&json!(index), &json!("id_conflict")),
            "{reply}"
        );
    }
    assert_eq!(back(&up.kept("c1")), first);
    assert_eq!(up.verify()["stored"], 1);
}

/// Contract: formats.cloudevents-binary, cloudevents.binary-headers, cloudevents.binary-body
/// Contract: cloudevents.headers
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_event_in_headers_is_the_same_event() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "c1"),
        ("ce-source", "/editors/vim"),
        ("ce-type", "test.finished"),
        ("ce-schemaversion", "1.1"),
        ("ce-time", "2026-03-01T09:14:58+01:00"),
        ("ce-subject", "unit%20%E2%82%AC"),
        ("ce-x", "kept"),
    ];
    let data = r#"{ "outcome":"passed", "flaky":1}"#;
    let first = client.store_as(&headers, data).await;
    assert_eq!(first["counts"]["accepted"], 1, "{first}");
    let mut expected = cloud_event("c1");
    expected["subject"] = json!("unit €");
    expected["datacontenttype"] = json!("application/json");
    let kept = up.kept("c1");
    assert_eq!(back(&kept), expected);
    assert!(kept.ends_with(&format!("\"data\":{data}}}")), "{kept}");
    let mut turned = headers;
    turned.reverse();
    assert_eq!(
        client.store_as(&turned, data).await["duplicate_batch"],
        true
    );
    // The same in one piece is the same event: what its members mean is compared.
    let own = [
        ("content-type", "application/cloudevents+json"),
        ("devtrail-batch-id", "mine"),
        ("devtrail-sent-at", "2026-03-01T09:15:00+01:00"),
        ("devtrail-schema-version", "1.1"),
    ];
    let reply = client.store_as(&own, expected.to_string()).await;
    assert_eq!(
        (&reply["batch_id"], &reply["counts"]["duplicate"]),
        (&json!("mine"), &json!(1)),
        "{reply}"
    );
}

/// Contract: cloudevents.required, cloudevents.no-time, cloudevents.pointer, cloudevents.kept
/// Contract: cloudevents.not-an-object, cloudevents.bad-body
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_cloud_event_is_reported_in_its_own_terms() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let changed = |id: &str, name: &str, value: Value| {
        let mut event = cloud_event(id);
        event[name] = value;
        event
    };
    let events = [
        cloud_event("c0"),
        changed("c1", "specversion", json!("0.3")),
        changed("c2", "source", json!("")),
        changed("c3", "time", Value::Null),
        json!("no event"),
        changed("c5", "time", json!("1999-01-01T00:00:00Z")),
        changed("c6", "schemaversion", json!("7.0")),
    ];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let reply = client.store_as(&batch, json!(events).to_string()).await;
    let stderr_of: Vec<Value> = reply["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|exception| {
            json!([
                exception["index"],
                exception["id"],
                exception["code"],
                exception["pointer"]
            ])
        })
        .collect();
    let expected = json!([
        [1, "c1", "schema_invalid", "/specversion"],
        [2, "c2", "schema_invalid", "/source"],
        [3, "c3", "time_invalid", "/time"],
        [4, null, "not_an_object", ""],
        [5, "c5", "time_implausible", "/time"],
        [6, "c6", "schema_version_unsupported", "/schemaversion"],
    ]);
    assert_eq!(json!(stderr_of), expected, "{reply}");
    let kept = up.bytes("SELECT body FROM refused WHERE event_id = 'c3'");
    assert_eq!(String::from_utf8(kept).unwrap(), events[3].to_string());
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "c7"),
    ];
    client.store_as(&binary, "{}").await;
    let kept = up.bytes("SELECT body FROM refused WHERE event_id = 'c7'");
    let structured =
        r#"{"datacontenttype":"application/json","id":"c7","specversion":"1.0","data":{}}"#;
    assert_eq!(String::from_utf8(kept).unwrap(), structured);
    let whole = [("content-type", "application/cloudevents+json")];
    for (headers, body, code) in [
        (&batch[..], "[]", "invalid_envelope"),
        (&batch[..], "{}", "invalid_envelope"),
        (&whole[..], "[]", "invalid_envelope"),
        (&whole[..], "{", "malformed_json"),
        (&binary[..], "no json", "malformed_json"),
    ] {
        let (status, problem) = client.send_as(headers, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!(code)),
            "{body} {problem}"
        );
    }
    let report = up.verify();
    let found = (
        &report["stored"],
        &report["rejected"],
        &report["quarantined"],
    );
    assert_eq!(found, (&json!(1), &json!(5), &json!(2)), "{report}");
}

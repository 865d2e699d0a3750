//! CloudEvents: the mapping there and back, what the specification requires, and that resends are the same.

use proptest::prelude::*;
use serde_json::{Map, Value};
use types::admission::Admitted;
use types::formats::{BadEnvelope, Format};
use types::verdict::Code;

use super::binary::BINARY;
use super::property::{adds_up, json as any_json};
use super::{RECEIVED, admit_sent, at, object, refused, texts, travelled};

const EVENT: &[(&str, &str)] = &[
    ("specversion", r#""1.0""#),
    ("id", r#""e1""#),
    ("source", r#""/editors/vim""#),
    ("type", r#""file.saved""#),
    ("time", r#""2026-03-01T09:14:58+01:00""#),
    ("data", r#"{ "path" : "a.rs" }"#),
];

fn event(changes: &[(&str, &str)]) -> String {
    object(EVENT, changes)
}

fn structured(body: &str) -> Admitted<'_> {
    admit_sent(Format::CloudEvent, &[], body.as_bytes())
        .unwrap_or_else(|refused| panic!("{refused:?}: {body}"))
}

/// The text that a CloudEvent is kept as.
fn kept(body: &str) -> String {
    texts(&travelled(&structured(body))).remove(0).to_owned()
}

/// Code and pointer of a CloudEvent that is sent alone, and that it is kept as it was sent.
fn finding(changes: &[(&str, &str)]) -> (Option<Code>, Option<String>) {
    let body = event(changes);
    let note = structured(&body).header.events.remove(0);
    (note.code, note.pointer)
}

/// The way back, as the contract's table has it.
fn back(event: &str) -> Map<String, Value> {
    let Ok(Value::Object(event)) = serde_json::from_str(event) else {
        panic!("{event}")
    };
    let name = |name: String| match name.as_str() {
        "occurred_at" => "time".to_owned(),
        "schema_version" => "schemaversion".to_owned(),
        _ => name,
    };
    event
        .into_iter()
        .map(|(member, value)| (name(member), value))
        .collect()
}

#[test]
fn time_and_schemaversion_are_renamed_and_the_rest_is_kept() {
    let sent = event(&[
        ("schemaversion", r#""1.1""#),
        ("x", "1.0"),
        ("subject", r#""é\u00e9""#),
    ]);
    let expected = concat!(
        r#"{"specversion":"1.0","id":"e1","source":"/editors/vim","type":"file.saved","#,
        r#""occurred_at":"2026-03-01T09:14:58+01:00","data":{ "path" : "a.rs" },"#,
        r#""schema_version":"1.1","x":1.0,"subject":"é\u00e9"}"#
    );
    assert_eq!(kept(&sent), expected);
    assert_eq!(structured(&sent).header.counts.accepted, 1);
    assert_eq!(
        Value::Object(back(expected)),
        serde_json::from_str::<Value>(&sent).unwrap()
    );
}

#[test]
fn null_counts_as_absent() {
    assert_eq!(
        kept(&event(&[("subject", "null"), ("schemaversion", "null")])),
        kept(&event(&[]))
    );
    assert_eq!(
        finding(&[("time", "null")]),
        refused(Code::TimeInvalid, "/time")
    );
}

#[test]
fn data_base64_that_holds_json_is_data() {
    let with = |value: &str| event(&[("data", ""), ("data_base64", value)]);
    // { "path":"a.rs"} and a line feed
    assert_eq!(
        kept(&with(r#""eyAicGF0aCI6ImEucnMifQo=""#)),
        kept(&event(&[("data", r#"{ "path":"a.rs"}"#)]))
    );
    for bad in [r#""AP8=""#, r#""eyAicGF0aCI6ImEucnMi""#, r#""!""#, "7"] {
        let finding = finding(&[("data", ""), ("data_base64", bad)]);
        assert_eq!(
            finding,
            refused(Code::SchemaInvalid, "/data_base64"),
            "{bad}"
        );
        assert_eq!(kept(&with(bad)), with(bad));
    }
    assert_eq!(
        finding(&[("data_base64", r#""e30=""#)]),
        refused(Code::SchemaInvalid, "/data_base64")
    );
}

#[test]
fn faults_are_named_as_in_the_cloudevent_and_kept_as_sent() {
    let cases = [
        ("specversion", "", Code::SchemaInvalid),
        ("specversion", r#""0.3""#, Code::SchemaInvalid),
        ("source", "", Code::SchemaInvalid),
        ("source", r#""""#, Code::SchemaInvalid),
        ("time", "", Code::TimeInvalid),
        ("time", r#""2026-03-01T09:14:58""#, Code::TimeInvalid),
        ("schemaversion", "1.0", Code::SchemaInvalid),
        ("occurred_at", "1", Code::SchemaInvalid),
        ("schema_version", r#""1.0""#, Code::SchemaInvalid),
        ("id", r#""e1","id":"e2""#, Code::SchemaInvalid),
        ("data", r#"{},"data":{}"#, Code::SchemaInvalid),
    ];
    for (name, value, code) in cases {
        assert_eq!(
            finding(&[(name, value)]),
            refused(code, &format!("/{name}")),
            "{name} {value}"
        );
        assert_eq!(kept(&event(&[(name, value)])), event(&[(name, value)]));
    }
    // Found by admission, still by the names of CloudEvents.
    assert_eq!(
        finding(&[("time", r#""1999-01-01T00:00:00Z""#)]),
        refused(Code::TimeImplausible, "/time")
    );
    assert_eq!(
        finding(&[("schemaversion", r#""9.0""#)]),
        refused(Code::SchemaVersionUnsupported, "/schemaversion")
    );
    assert_eq!(finding(&[("id", "")]), refused(Code::IdInvalid, "/id"));
    assert_eq!(
        finding(&[("type", "")]),
        refused(Code::SchemaInvalid, "/type")
    );
    assert_eq!(
        finding(&[("type", r#""com.example""#)]),
        refused(Code::TypeUnknown, "/type")
    );
    assert_eq!(
        finding(&[("data", r#"{"path":7}"#)]),
        refused(Code::SchemaInvalid, "/data/path")
    );
}

#[test]
fn without_headers_the_batch_id_comes_from_the_events() {
    let body = event(&[]);
    let header = structured(&body).header;
    assert!(
        header
            .batch_id
            .strip_prefix("ce-")
            .is_some_and(|hex| hex.len() == 32),
        "{}",
        header.batch_id
    );
    assert_eq!(
        (header.sent_at.as_str(), header.skew),
        ("2026-03-01T08:15:03.000000Z", 0)
    );
    assert_eq!(
        (header.schema_version.as_str(), header.received_at),
        ("1.0", at(RECEIVED))
    );
    assert_eq!(structured(&body).header.batch_id, header.batch_id);
    assert_ne!(
        structured(&event(&[("id", r#""e2""#)])).header.batch_id,
        header.batch_id
    );
    let headers = [
        ("devtrail-batch-id", "b7"),
        ("devtrail-sent-at", "2026-03-01T10:15:03Z"),
        ("devtrail-schema-version", "1.1"),
    ];
    let header = admit_sent(Format::CloudEvent, &headers, body.as_bytes())
        .unwrap()
        .header;
    assert_eq!(
        (header.batch_id.as_str(), header.schema_version.as_str()),
        ("b7", "1.1")
    );
    assert_eq!(header.skew, at("2026-03-01T10:15:03Z") - at(RECEIVED));
}

#[test]
fn a_batch_keeps_its_order_and_rejects_what_is_no_object() {
    let body = format!("[{}, 7 ,{}]", event(&[]), event(&[("id", r#""e2""#)]));
    let admitted = admit_sent(Format::CloudEvents, &[], body.as_bytes()).unwrap();
    let codes: Vec<_> = admitted
        .header
        .events
        .iter()
        .map(|note| note.code)
        .collect();
    assert_eq!(codes, [None, Some(Code::NotAnObject), None]);
    assert_eq!(texts(&travelled(&admitted))[1], "7");
}

#[test]
fn a_body_of_another_shape_is_no_batch() {
    let refused = |format, body: &str| {
        admit_sent(format, &[], body.as_bytes())
            .map(|_| ())
            .unwrap_err()
    };
    for (format, body) in [
        (Format::CloudEvents, "[]"),
        (Format::CloudEvents, "{}"),
        (Format::CloudEvents, "7"),
        (Format::CloudEvent, "[]"),
        (Format::CloudEvent, "7"),
    ] {
        let refused = refused(format, body);
        assert!(
            matches!(refused, BadEnvelope::Invalid { pointer: "", .. }),
            "{body}: {refused:?}"
        );
    }
    for (format, body) in [
        (Format::CloudEvents, "[{"),
        (Format::CloudEvent, "{"),
        (Format::BinaryCloudEvent, "{"),
    ] {
        assert!(
            matches!(refused(format, body), BadEnvelope::Malformed(_)),
            "{format:?}"
        );
    }
    let many = format!("[{}1]", "1,".repeat(1000));
    assert_eq!(
        refused(Format::CloudEvents, &many),
        BadEnvelope::TooManyEvents(1001)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back_is_the_same_event(
        extensions in proptest::collection::btree_map("[a-z0-9]{1,8}", any_json(), 0..6)
    ) {
        let mut event: Map<String, Value> = serde_json::from_str(&event(&[])).unwrap();
        for (name, value) in extensions {
            if !event.contains_key(&name) && !value.is_null() && name != "schemaversion" {
                event.insert(name, value);
            }
        }
        let sent = Value::Object(event.clone()).to_string();
        // What admission then finds is another matter.
        prop_assert_eq!(back(&kept(&sent)), event);
        prop_assert_eq!(kept(&sent), kept(&sent));
    }

    #[test]
    fn any_json_makes_batches_that_add_up(value in any_json()) {
        let text = value.to_string();
        for format in [Format::CloudEvent, Format::CloudEvents, Format::BinaryCloudEvent] {
            let headers = if format == Format::BinaryCloudEvent { &BINARY[..] } else { &[] };
            if let Ok(admitted) = admit_sent(format, headers, text.as_bytes()) {
                adds_up(&admitted)?;
            }
        }
    }
}

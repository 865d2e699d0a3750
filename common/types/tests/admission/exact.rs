//! What is odd in JSON, and that every byte of an event and of an unknown field survives.

use types::verdict::Code;

use types::formats::Format;

use super::{
    ACCEPTED, admit_sent, admitted, body, event, finding, notes, refused, texts, travelled,
};

fn data(extra: &str) -> String {
    event(&[("data", &format!(r#"{{"path":"a","x":{extra}}}"#))])
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_repeated_known_member_of_an_event_is_rejected() {
    for member in [
        r#""id":"e2""#,
        r#""type":"file.saved""#,
        r#""occurred_at":"x""#,
        r#""schema_version":"1.0""#,
    ] {
        let good = event(&[("schema_version", r#""1.0""#)]);
        let repeated = format!("{},{member}}}", good.strip_suffix('}').unwrap());
        assert_eq!(
            finding(&repeated),
            refused(Code::SchemaInvalid, ""),
            "{member}"
        );
    }
}

#[test]
fn text_that_is_no_unicode_is_rejected_and_kept() {
    for text in [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud83dx""#] {
        let event = data(text);
        assert_eq!(finding(&event), refused(Code::SchemaInvalid, ""), "{text}");
        let text = body(&[], std::slice::from_ref(&event));
        assert_eq!(texts(&travelled(&admitted(&text))), [event]);
    }
    assert_eq!(
        finding(&event(&[("id", r#""\ud800""#)])),
        refused(Code::SchemaInvalid, "")
    );
    assert_eq!(
        finding(&data(r#""\ud83d\ude00""#)),
        ACCEPTED,
        "a pair is a character"
    );
}

#[test]
fn what_cannot_be_read_is_rejected_without_its_neighbours() {
    for odd in [
        nested(127),
        nested(200),
        nested(100_000),
        "1e999".to_owned(),
        "-1e999".to_owned(),
    ] {
        let events = [
            event(&[("id", r#""e0""#)]),
            data(&odd),
            event(&[("id", r#""e2""#)]),
        ];
        let codes: Vec<_> = notes(&events).into_iter().map(|note| note.code).collect();
        assert_eq!(codes, [None, Some(Code::SchemaInvalid), None]);
    }
    for fine in [
        nested(100),
        "1e308".to_owned(),
        "1e-999".to_owned(),
        "-0.0".to_owned(),
    ] {
        assert_eq!(finding(&data(&fine)), ACCEPTED, "{fine}");
    }
}

#[test]
fn the_zero_character_may_be_in_data() {
    assert_eq!(finding(&data(r#""a\u0000b""#)), ACCEPTED);
    assert_eq!(
        finding(&event(&[("data", r#"{"path":"\u0000"}"#)])),
        ACCEPTED
    );
}

#[test]
fn the_checked_data_is_the_sent_data_for_any_member_names() {
    let magic = r#"{"$serde_json::private::RawValue":"{\"path\":\"a\"}"}"#;
    assert_eq!(
        finding(&event(&[("data", magic)])),
        refused(Code::SchemaInvalid, "/data")
    );
    assert_eq!(
        finding(&data(r#"{"$serde_json::private::RawValue":7}"#)),
        ACCEPTED,
        "an unknown extra field"
    );
}

#[test]
fn events_and_unknown_fields_survive_byte_for_byte() {
    let events = [
        event(&[(
            "x",
            r#"{ "b" : 1.0, "a":[1E2 ,-0.0], "\u0041":"\/", "b":2 }"#,
        )]),
        data("100000000000000000000000000000000000001"),
        "{ }".to_owned(),
        "[1 ,2]".to_owned(),
        r#""é\u00e9""#.to_owned(),
    ];
    let unknown = [
        ("x_a", r#"{ "b" : 1.0, "a":[1E2 ,-0.0], "b":2 }"#),
        ("x_b", r#""\ud800\/""#),
        ("x_c", "1e999"),
    ];
    let text = body(&unknown, &events);
    let batch = travelled(&admitted(&text));
    assert_eq!(texts(&batch), events);
    for (name, value) in unknown {
        assert_eq!(batch.header.envelope[name].get(), value);
    }
    assert_eq!(batch.header.envelope["batch_id"].get(), r#""b1""#);
    assert!(!batch.header.envelope.contains_key("events"));
}

#[test]
fn a_body_over_several_lines_survives_as_well() {
    let events = ["{\n  \"id\": 7\n}".to_owned(), event(&[("x", "[\r\n1]")])];
    let client = "{\n  \"name\": \"editor\",\r\n  \"time_zone\": \"Europe/Berlin\"\n}";
    let text = body(&[("client", client)], &events);
    let batch = travelled(&admitted(&text));
    assert_eq!(texts(&batch), events);
    let kept: serde_json::Value =
        serde_json::from_str(batch.header.envelope["client"].get()).unwrap();
    assert_eq!(
        kept,
        serde_json::json!({"name": "editor", "time_zone": "Europe/Berlin"})
    );
}

/// What the message id is made of stays the same, so that a resend without the mark is the same batch.
#[test]
fn a_byte_order_mark_is_no_part_of_any_format() {
    let cloud = r#"{"specversion":"1.0","id":"e1","source":"x","type":"file.saved","time":"2026-03-01T09:14:58Z",
        "data":{"path":"a"}}"#;
    let batch = format!("[{cloud}]");
    let envelope = body(&[], &[event(&[])]);
    let one = event(&[]);
    let heartbeat = r#"{"time":1772352898,"entity":"a"}"#;
    let heartbeats = format!("[{heartbeat}]");
    let ndjson = [
        ("devtrail-batch-id", "b1"),
        ("devtrail-sent-at", "2026-03-01T09:15:02Z"),
        ("devtrail-schema-version", "1.0"),
    ];
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "e1"),
        ("ce-source", "x"),
        ("ce-type", "file.saved"),
        ("ce-time", "2026-03-01T09:14:58Z"),
    ];
    let none: &[(&'static str, &str)] = &[];
    for (format, headers, body) in [
        (Format::Envelope, none, &*envelope),
        (Format::Ndjson, &ndjson, &one),
        (Format::CloudEvent, none, cloud),
        (Format::CloudEvents, none, &batch),
        (Format::BinaryCloudEvent, &binary, r#"{"path":"a"}"#),
        (Format::BinaryCloudEvent, &binary, ""),
        (Format::Heartbeats, none, heartbeat),
        (Format::Heartbeats, none, &heartbeats),
    ] {
        let plain = admit_sent(format, headers, body.as_bytes()).unwrap();
        let marked = format!("\u{feff}{body}");
        let marked = admit_sent(format, headers, marked.as_bytes()).unwrap();
        assert_eq!(marked.events, plain.events, "{format:?}");
        assert_eq!(marked.header.batch_id, plain.header.batch_id, "{format:?}");
        assert_eq!(marked.format, plain.format);
    }
}

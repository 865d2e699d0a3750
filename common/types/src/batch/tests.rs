//! A message comes back as it was written, whatever its events hold; a damaged one is an error.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::*;
use crate::verdict::Counts;

fn message(events: &[impl AsRef<[u8]>], code: Option<Code>) -> Bytes {
    let note = |len| EventMetadata {
        len,
        at: Some(0),
        code,
        ..EventMetadata::default()
    };
    let notes = events.iter().map(|event| note(event.as_ref().len() as u32));
    let header = Header {
        format: FORMAT,
        developer: "ada".parse().unwrap(),
        epoch: 0,
        batch_id: "b".into(),
        correlation_id: "c".into(),
        traceparent: String::new(),
        schema_version: "1.0".into(),
        sent_at: "2026-03-01T00:00:00Z".into(),
        received_at: 0,
        validated_at: 0,
        collector: "test/1".into(),
        skew: 0,
        zone: None,
        envelope: BTreeMap::from([(
            "x".into(),
            RawValue::from_string("[\n1.0\n]".into()).unwrap(),
        )]),
        counts: Counts::default(),
        events: notes.collect(),
        origin: None,
    };
    encode(&header, events).unwrap()
}

#[test]
fn events_come_back_byte_for_byte_whatever_they_hold() {
    let sent = [
        "{ \"a\" : 1.0 }",
        "\"line\\nend\"",
        "[1,\n2]",
        "null",
        "{\"ü\":\"\\u0000\"}",
    ];
    let batch = decode(message(&sent, None)).unwrap();
    assert!(
        batch
            .events()
            .map(|(_, bytes)| bytes)
            .eq(sent.iter().map(|text| text.as_bytes()))
    );
    assert_eq!(batch.header.envelope["x"].get(), "[\n1.0\n]");
}

#[test]
fn a_damaged_message_is_an_error_and_never_a_panic() {
    let whole = message(&["{}", "{\"id\":\"é\"}"], None);
    for cut in 0..whole.len() {
        assert!(decode(whole.slice(..cut)).is_err(), "cut at {cut}");
    }
    let other = String::from_utf8(whole.to_vec())
        .unwrap()
        .replace("\"format\":1", "\"format\":2");
    assert!(matches!(
        decode(Bytes::from(other)),
        Err(BadMessage::Format(2))
    ));
}

#[test]
fn only_a_rejected_event_may_be_any_bytes_and_it_has_no_id() {
    let garbage: [&[u8]; 3] = [b"{\"id\":\"e1\",\"x\":\"\xff\"}", b"\0\n", b""];
    let batch = decode(message(&garbage, Some(Code::NotAnObject))).unwrap();
    assert_eq!(
        batch.events().map(|(_, bytes)| bytes).collect::<Vec<_>>(),
        garbage
    );
    assert!(
        batch
            .exceptions(&[])
            .iter()
            .all(|exception| exception.id.is_none())
    );
    for code in [None, Some(Code::TypeUnknown), Some(Code::DuplicateId)] {
        assert!(
            matches!(decode(message(&garbage, code)), Err(BadMessage::NotUtf8(0))),
            "{code:?}"
        );
    }
}

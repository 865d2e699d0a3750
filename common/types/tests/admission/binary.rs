//! CloudEvents in binary mode: attributes in headers, the body is the data.

use proptest::prelude::*;
use serde_json::{Value, json};
use types::formats::Format;
use types::verdict::Code;

use super::property::{adds_up, json as any_json};
use super::{admit_sent, texts, travelled};

pub const BINARY: [(&str, &str); 6] = [
    ("content-type", "application/json"),
    ("ce-specversion", "1.0"),
    ("ce-type", "file.saved"),
    ("ce-source", "/editors/vim"),
    ("ce-id", "e1"),
    ("ce-time", "2026-03-01T09:14:58+01:00"),
];

fn binary(headers: &[(&'static str, &str)], body: &str) -> (Vec<Option<Code>>, String) {
    let admitted = admit_sent(Format::BinaryCloudEvent, headers, body.as_bytes()).expect("a batch");
    let codes = admitted
        .header
        .events
        .iter()
        .map(|note| note.code)
        .collect();
    (codes, texts(&travelled(&admitted)).remove(0).to_owned())
}

#[test]
fn binary_mode_gives_the_same_event_in_any_header_order() {
    let (codes, text) = binary(&BINARY, " { \"path\" : \"a.rs\" }\n");
    assert_eq!(codes, [None]);
    let expected = concat!(
        r#"{"datacontenttype":"application/json","id":"e1","source":"/editors/vim","specversion":"1.0","#,
        r#""occurred_at":"2026-03-01T09:14:58+01:00","type":"file.saved","data":{ "path" : "a.rs" }}"#
    );
    assert_eq!(text, expected);
    let mut turned = BINARY;
    turned.reverse();
    assert_eq!(binary(&turned, "{ \"path\" : \"a.rs\" }").1, expected);
    let mut without_data = BINARY.to_vec();
    without_data[2] = ("ce-type", "editor.focused");
    without_data.remove(0);
    assert_eq!(binary(&without_data, "").0, [None]);
}

#[test]
fn a_headers_value_is_unquoted_and_percent_decoded_once() {
    let mut headers = BINARY.to_vec();
    headers.push(("ce-subject", "Euro%20%E2%82%AC%2520 100%"));
    headers.push(("ce-note", r#""a \"b\"""#));
    headers.push(("ce-raw", "é"));
    let (codes, text) = binary(&headers, r#"{"path":"a"}"#);
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(codes, [None]);
    assert_eq!(
        (&event["subject"], &event["note"]),
        (&json!("Euro €%20 100%"), &json!("a \"b\""))
    );
    assert_eq!(event["raw"], "é");
    headers.push(("ce-bad", "%FF"));
    assert_eq!(
        binary(&headers, r#"{"path":"a"}"#).0,
        [Some(Code::SchemaInvalid)]
    );
    headers.truncate(BINARY.len());
    headers.push(("ce-id", "e2"));
    assert_eq!(
        binary(&headers, r#"{"path":"a"}"#).0,
        [Some(Code::SchemaInvalid)],
        "two ids"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_header_is_read_without_a_panic(value in "[\\x20-\\x7E]{0,20}", body in any_json()) {
        let headers = [BINARY[0], BINARY[1], ("ce-id", value.as_str()), ("ce-time", &value), ("ce-x", &value)];
        let text = body.to_string();
        adds_up(&admit_sent(Format::BinaryCloudEvent, &headers, text.as_bytes()).unwrap())?;
    }
}

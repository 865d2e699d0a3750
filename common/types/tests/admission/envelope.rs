//! What makes a body an envelope, and the pointer to its fault otherwise.

use types::formats::{BadEnvelope, Format};

use super::{admit_sent, admitted, body, event, try_admit};

/// The pointer to the fault of the body with these changes.
fn pointer(changes: &[(&str, &str)]) -> &'static str {
    let body = body(changes, &[event(&[])]);
    match try_admit(&body) {
        Err(BadEnvelope::Invalid { pointer, detail }) => {
            assert!(!detail.is_empty());
            pointer
        }
        other => panic!("{other:?}: {body}"),
    }
}

fn with_key(text: &str, key: &str) -> Result<String, BadEnvelope> {
    let headers = [("idempotency-key", key)];
    admit_sent(Format::Envelope, &headers, text.as_bytes()).map(|admitted| admitted.header.batch_id)
}

#[test]
fn a_missing_member_is_named() {
    for name in ["batch_id", "sent_at", "schema_version", "events"] {
        assert_eq!(pointer(&[(name, "")]), format!("/{name}"));
    }
}

#[test]
fn a_member_of_another_type_is_named() {
    for name in ["batch_id", "sent_at", "schema_version", "developer_id"] {
        for value in ["null", "1.0", "[]", "{}", "true"] {
            assert_eq!(pointer(&[(name, value)]), format!("/{name}"), "{value}");
        }
    }
    for value in ["null", "1", "{}", r#""[]""#, "[]", "[ ]"] {
        assert_eq!(pointer(&[("events", value)]), "/events", "{value}");
    }
}

#[test]
fn a_member_with_a_bad_value_is_named() {
    let too_long = format!("{:?}", "x".repeat(129));
    for id in [
        r#""""#,
        r#""a b""#,
        r#""é""#,
        r#""a\u0000""#,
        r#""\ud800""#,
        &too_long,
    ] {
        assert_eq!(pointer(&[("batch_id", id)]), "/batch_id", "{id}");
    }
    for time in [
        r#""""#,
        r#""2026-03-01T09:15:02""#,
        r#""2026-03-01""#,
        r#""2026-02-30T00:00:00Z""#,
    ] {
        assert_eq!(pointer(&[("sent_at", time)]), "/sent_at", "{time}");
    }
}

#[test]
fn a_repeated_member_is_ambiguous() {
    let good = body(&[("developer_id", r#""ada""#)], &[event(&[])]);
    for name in [
        "batch_id",
        "sent_at",
        "schema_version",
        "developer_id",
        "events",
    ] {
        let repeated = format!("{},{name:?}:\"x\"}}", good.strip_suffix('}').unwrap());
        let refused = try_admit(&repeated).unwrap_err();
        let named = matches!(&refused, BadEnvelope::Invalid { pointer, .. } if *pointer == format!("/{name}"));
        assert!(named, "{name}: {refused:?}");
    }
}

#[test]
fn the_idempotency_key_stands_for_the_batch_id_or_equals_it() {
    let without = body(&[("batch_id", "")], &[event(&[])]);
    let with = body(&[], &[event(&[])]);
    assert_eq!(with_key(&without, "k1").unwrap(), "k1");
    assert_eq!(with_key(&with, "b1").unwrap(), "b1");
    let refused = |text: &str, key: &str| match with_key(text, key) {
        Err(
            BadEnvelope::Invalid { pointer: place, .. } | BadEnvelope::Header { name: place, .. },
        ) => place,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&with, "b2"), "/batch_id");
    assert_eq!(refused(&without, "a b"), "Idempotency-Key");
    assert_eq!(refused(&without, ""), "Idempotency-Key");
    let by_header = |id| {
        admit_sent(
            Format::Envelope,
            &[("devtrail-batch-id", id)],
            with.as_bytes(),
        )
    };
    assert_eq!(by_header("b1").unwrap().header.batch_id, "b1");
    assert!(matches!(
        by_header("b2"),
        Err(BadEnvelope::Invalid {
            pointer: "/batch_id",
            ..
        })
    ));
}

#[test]
fn the_developer_is_the_keys() {
    let named = |name: &str| {
        try_admit(&body(&[("developer_id", name)], &[event(&[])])).map(|a| a.header.developer)
    };
    assert_eq!(named(r#""ada""#).unwrap().as_str(), "ada");
    assert_eq!(named("").unwrap().as_str(), "ada");
    for other in ["bob", "", "Ada", "ada "] {
        let refused = named(&format!("{other:?}")).unwrap_err();
        assert_eq!(refused, BadEnvelope::WrongDeveloper(other.to_owned()));
    }
}

#[test]
fn a_batch_has_at_most_1000_events() {
    let events = |count: usize| -> Vec<String> {
        (0..count)
            .map(|index| event(&[("id", &format!("\"e{index}\""))]))
            .collect()
    };
    let text = body(&[], &events(1000));
    let counts = admitted(&text).header.counts;
    assert_eq!((counts.received, counts.accepted), (1000, 1000));
    let text = body(&[], &events(1001));
    assert_eq!(
        try_admit(&text).unwrap_err(),
        BadEnvelope::TooManyEvents(1001)
    );
}

#[test]
fn a_body_that_is_no_json_is_malformed() {
    let whole = body(&[], &[event(&[])]);
    let trailing = format!("{whole} x");
    let two_marks = format!("\u{feff}\u{feff}{whole}");
    let texts = [
        "",
        " ",
        "{",
        "nul",
        &whole[..whole.len() - 1],
        &trailing,
        &two_marks,
        "{'a':1}",
        "{\"\\ud800\":1}",
    ];
    for text in texts {
        let refused = try_admit(text).unwrap_err();
        assert!(
            matches!(refused, BadEnvelope::Malformed(_)),
            "{text}: {refused:?}"
        );
    }
    let mut bytes = body(&[], &[event(&[("data", r#"{"path":"é"}"#)])]).into_bytes();
    let at = bytes.iter().position(|byte| *byte == 0xC3).unwrap();
    bytes.remove(at);
    let refused = admit_sent(Format::Envelope, &[], &bytes).unwrap_err();
    assert!(matches!(refused, BadEnvelope::Malformed(_)), "{refused:?}");
}

#[test]
fn a_body_that_is_json_but_no_object_is_no_envelope() {
    for text in ["[]", "[{}]", "null", "7", "1.5", "true", r#""text""#] {
        let refused = try_admit(text).unwrap_err();
        assert!(
            matches!(refused, BadEnvelope::Invalid { pointer: "", .. }),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn a_member_that_occurs_twice_is_ambiguous() {
    for name in ["client", "x_unknown", "events", "sent_at"] {
        let text = body(&[], &[event(&[])]);
        let twice = text.replacen('{', &format!("{{\"{name}\":1,\"{name}\":2,"), 1);
        assert!(
            matches!(try_admit(&twice), Err(BadEnvelope::Invalid { .. })),
            "{twice}"
        );
    }
}

//! NDJSON: what is a line, what a line that is none costs, and which headers it takes.

use proptest::collection::vec;
use proptest::prelude::*;
use types::admission::Admitted;
use types::formats::{BadEnvelope, Format};
use types::verdict::Code;

use super::property::{adds_up, events};
use super::{admit_sent, admitted, body, event, texts, travelled};

const HEADERS: [(&str, &str); 3] = [
    ("devtrail-batch-id", "b1"),
    ("devtrail-sent-at", "2026-03-01T09:15:02.120+01:00"),
    ("devtrail-schema-version", "1.0"),
];

fn lines(body: &[u8]) -> Admitted<'_> {
    admit_sent(Format::Ndjson, &HEADERS, body).unwrap_or_else(|refused| panic!("{refused:?}"))
}

fn codes(body: &[u8]) -> Vec<Option<Code>> {
    lines(body)
        .header
        .events
        .into_iter()
        .map(|note| note.code)
        .collect()
}

/// The header or pointer at fault.
fn fault(headers: &[(&'static str, &str)], body: &[u8]) -> &'static str {
    match admit_sent(Format::Ndjson, headers, body) {
        Err(
            BadEnvelope::Header {
                name: place,
                detail,
            }
            | BadEnvelope::Invalid {
                pointer: place,
                detail,
            },
        ) => {
            assert!(!detail.is_empty());
            place
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_end_with_lf_crlf_or_the_body_and_blank_ones_are_none() {
    let one = event(&[]);
    let two = event(&[("id", r#""e2""#)]);
    for text in [
        format!("{one}\n{two}\n"),
        format!("{one}\n{two}"),
        format!("{one}\r\n{two}\r\n"),
        format!("\n \t\n{one}\n\r\n\n  {two}\t \n\n"),
        format!("\u{feff}{one}\n{two}\n"),
    ] {
        let admitted = lines(text.as_bytes());
        assert_eq!(
            texts(&travelled(&admitted)),
            [one.as_str(), two.as_str()],
            "{text:?}"
        );
        assert_eq!(admitted.header.counts.accepted, 2);
    }
}

#[test]
fn a_bad_line_is_one_rejected_event_and_keeps_its_bytes() {
    let one = event(&[]);
    let two = event(&[("id", r#""e2""#)]);
    let bad: [&[u8]; 9] = [
        b"not json",
        b"{\"id\":\"e9\"",
        b"{\"id\":\"e9\"} {\"id\":\"e8\"}",
        b"{\"id\":\"e9\",\"x\":\"\xFF\"}",
        b"\xC3(",
        b"\0",
        b"[1,2]",
        b"null",
        b"{\"id\":\"e9\",\"x\":01}",
    ];
    for bad in bad {
        let body = [one.as_bytes(), bad, two.as_bytes()].join(&b"\n"[..]);
        let admitted = lines(&body);
        let codes: Vec<_> = admitted
            .header
            .events
            .iter()
            .map(|note| note.code)
            .collect();
        assert_eq!(
            codes,
            [None, Some(Code::NotAnObject), None],
            "{}",
            bad.escape_ascii()
        );
        let batch = travelled(&admitted);
        assert_eq!(batch.events().nth(1).unwrap().1, bad);
        let exceptions = batch.exceptions(&[]);
        assert_eq!(
            (exceptions.len(), exceptions[0].index, &exceptions[0].id),
            (1, 1, &None)
        );
        assert!(exceptions[0].detail.is_some());
    }
}

#[test]
fn a_line_is_judged_as_the_same_event_in_an_envelope_is() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let events = [
        event(&[("id", "7")]),
        event(&[("type", r#""coffee.brewed""#), ("id", r#""e2""#)]),
        event(&[("schema_version", r#""2.0""#), ("id", r#""e3""#)]),
        event(&[("data", "{}"), ("id", r#""e4""#)]),
        event(&[("x", &deep), ("id", r#""e5""#)]),
        event(&[("x", r#""\ud800""#), ("id", r#""e6""#)]),
        event(&[("id", r#""e1","id":"e1""#)]),
    ];
    let text = body(&[], &events);
    assert_eq!(
        lines(events.join("\n").as_bytes()).header.events,
        admitted(&text).header.events
    );
}

#[test]
fn the_headers_of_the_envelope_are_needed_and_named() {
    let body = event(&[]);
    for (index, name) in [
        "Devtrail-Batch-Id",
        "Devtrail-Sent-At",
        "Devtrail-Schema-Version",
    ]
    .into_iter()
    .enumerate()
    {
        let mut headers = HEADERS.to_vec();
        headers.remove(index);
        assert_eq!(fault(&headers, body.as_bytes()), name);
    }
    let sent = |name, value| {
        let mut headers = HEADERS.to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
        fault(&headers, body.as_bytes())
    };
    assert_eq!(sent("devtrail-sent-at", "yesterday"), "Devtrail-Sent-At");
    assert_eq!(sent("devtrail-batch-id", "a b"), "Devtrail-Batch-Id");
    assert_eq!(sent("idempotency-key", "b2"), "Idempotency-Key");
    let twice = [HEADERS[0], HEADERS[0], HEADERS[1], HEADERS[2]];
    assert_eq!(fault(&twice, body.as_bytes()), "Devtrail-Batch-Id");
    for empty in ["", "\n", " \r\n\t\n", "\u{feff}"] {
        assert_eq!(fault(&HEADERS, empty.as_bytes()), "", "{empty:?}");
    }
}

#[test]
fn the_idempotency_key_stands_for_the_batch_id() {
    let key = [("idempotency-key", "k1"), HEADERS[1], HEADERS[2]];
    let body = event(&[]);
    let header = admit_sent(Format::Ndjson, &key, body.as_bytes())
        .unwrap()
        .header;
    assert_eq!(
        (header.batch_id.as_str(), header.envelope["batch_id"].get()),
        ("k1", "\"k1\"")
    );
    assert_eq!(
        (header.sent_at.as_str(), header.schema_version.as_str()),
        (HEADERS[1].1, "1.0")
    );
    // Equal in both places is no contradiction.
    let both = [
        ("idempotency-key", "b1"),
        HEADERS[0],
        HEADERS[1],
        HEADERS[2],
    ];
    assert_eq!(
        admit_sent(Format::Ndjson, &both, body.as_bytes())
            .unwrap()
            .header
            .batch_id,
        "b1"
    );
}

#[test]
fn a_batch_has_at_most_1000_lines() {
    assert_eq!(codes(&b"7\n".repeat(1000)).len(), 1000);
    let refused = admit_sent(Format::Ndjson, &HEADERS, &b"7\n".repeat(1001)).unwrap_err();
    assert_eq!(refused, BadEnvelope::TooManyEvents(1001));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_as_many_events_as_they_have_nonblank_lines(body in vec(
        prop_oneof![4 => proptest::sample::select(&b"\n\r {}\"i:e,\xC3\xA9"[..]), 1 => any::<u8>()], 0..120,
    )) {
        let blank = |line: &&[u8]| !line.iter().all(|byte| b" \t\r".contains(byte));
        let body_lines = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
        let expected = body_lines.split(|byte| *byte == b'\n').filter(blank).count();
        match admit_sent(Format::Ndjson, &HEADERS, &body) {
            Ok(admitted) => {
                prop_assert_eq!(admitted.events.len(), expected);
                adds_up(&admitted)?;
            }
            Err(refused) => prop_assert_eq!((expected, matches!(refused, BadEnvelope::Invalid { .. })), (0, true)),
        }
    }

    #[test]
    fn lines_are_the_events_of_an_envelope(list in events()) {
        // A generated member may hold line feeds: JSON over several lines is no NDJSON.
        prop_assume!(list.iter().all(|event| !event.contains('\n')));
        let text = body(&[], &list);
        let sent = list.join("\n");
        let envelope = admitted(&text);
        let lines = lines(sent.as_bytes());
        prop_assert_eq!(&lines.header.events, &envelope.header.events);
        prop_assert_eq!(&lines.events, &envelope.events);
    }
}

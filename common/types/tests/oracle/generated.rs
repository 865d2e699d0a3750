//! Bodies of every format that are right, nearly right, or broken.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use types::batch::{self, EventMetadata};
use types::formats::Format;
use types::verdict::Code;

use crate::{Sent, assert_same, by_library};

/// Texts of values that readers of JSON disagree on, and plain ones.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "nul",
    "0",
    "-0",
    "-1",
    "01",
    "1.0",
    "1.5",
    "1E2",
    "1e400",
    "-1e400",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "3",
    "6",
    "10",
    "{}",
    "[]",
    "[1,2]",
    "[1,1.0]",
    r#"["a","a"]"#,
    r#"{"c":1}"#,
    r#"{"x":[1,"y"],"z":2.0}"#,
    r#""""#,
    r#""x""#,
    r#""abcd""#,
    r#""\u0061bc""#,
    r#""\ud800""#,
    r#""\ud83d\ude00""#,
    r#""\u0000""#,
    r#""\n\"\\""#,
    "\"\u{1}\"",
    r#""\x""#,
    r#""ü🦀""#,
    r#"{"a":{"a":{"a":{}}}}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"\ud800":1}"#,
    r#"{"$serde_json::private::RawValue":"1"}"#,
    r#"{"$serde_json::private::Number":"1"}"#,
    " [ 1 , { } ] ",
    "",
];

/// Good values of the members that mean something, with others that are not.
fn known(name: &str) -> &'static [&'static str] {
    match name {
        "id" => &[
            r#""e1""#,
            r#""e2""#,
            r#""e\u0031""#,
            r#"" ""#,
            r#""""#,
            "7",
            "null",
            r#""ü""#,
            r#""\u0000""#,
        ],
        "type" => &[
            r#""file.edited""#,
            r#""test.finished""#,
            r#""heartbeat""#,
            r#""probe""#,
            r#""probe""#,
            r#""file\u002eedited""#,
            r#""coffee.brewed""#,
            "1",
            "null",
        ],
        "occurred_at" | "time" => &[
            r#""2026-03-01T09:14:58.001+01:00""#,
            r#""2026-03-01T08:14:58Z""#,
            r#""2026-02-28T23:59:60-05:30""#,
            r#""2026-03-01T00:30:00.1234567891+14:00""#,
            r#""2026-03-01T09:14:58.001\u002b01:00""#,
            r#""1999-12-31T23:59:59Z""#,
            r#""2026-03-02T08:15:03.000001Z""#,
            r#""9999-12-31T23:59:59-23:59""#,
            r#""2026-03-29T02:30:00+01:00""#,
            r#""2026-02-30T00:00:00Z""#,
            r#""soon""#,
            "1772352898.5",
            "1772352898000",
            "null",
        ],
        "schema_version" | "schemaversion" => &[
            r#""1.0""#,
            r#""1.1""#,
            r#""1.9""#,
            r#""2.0""#,
            r#""1""#,
            r#""\u0031.0""#,
            "1",
            "null",
            r#""latest""#,
        ],
        "data" => &[
            r#"{"path":"src/main.rs"}"#,
            r#"{"path":"src/main.rs","lines_added":-1,"language":7}"#,
            "{}",
            "[]",
            r#""x""#,
            r#"{"outcome":"passed","flaky":1}"#,
            r#"{"outcome":"passed","flaky":-1}"#,
            r#"{"outcome":"lost"}"#,
            r#"{"entity":"a","lines":9007199254740992}"#,
            r#"{"path":"a","path":1}"#,
            r#"{"path":1,"path":"a"}"#,
        ],
        "batch_id" => &[r#""b1""#, r#""b1""#, r#""b2""#, r#"" ""#, "7", "null"],
        "sent_at" => &[
            r#""2026-03-01T08:15:02.120Z""#,
            r#""2026-03-01T09:15:02+01:00""#,
            r#""2026-03-01T10:15:02Z""#,
            r#""9999-12-31T23:59:59-23:59""#,
            r#""x""#,
            "7",
        ],
        "client" => &[
            r#"{"name":"x","time_zone":"Europe/Berlin"}"#,
            r#"{"time_zone":"Mars/Olympus"}"#,
            r#"{"time_zone":7}"#,
            "[]",
            r#"{"time_zone":"Asia/Tokyo","time_zone":"Europe/Berlin"}"#,
        ],
        "developer_id" => &[r#""ada""#, r#""ada""#, r#""bob""#, "7", "null"],
        "specversion" => &[r#""1.0""#, r#""1.0""#, r#""1.0""#, r#""0.3""#, "1"],
        "source" => &[r#""/x""#, r#""""#, "7"],
        "data_base64" => &[r#""eyJwYXRoIjoiYSJ9""#, r#""eyI=""#, r#""%""#, "7"],
        "entity" => &[r#""a.rs""#, r#""b\u002ers""#, "7", r#""""#],
        "is_write" => &["true", r#""TRUE""#, "1", "0.0", r#""yes""#],
        "lines" | "lineno" => &["12", r#""12""#, "12.0", "-1", "1e400", r#"" 7 ""#],
        _ => ODD,
    }
}

/// A value's text of any shape, broken ones among them.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => select(ODD).prop_map(str::to_owned),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        1 => (120_usize..130).prop_map(|deep| format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let names = prop_oneof![4 => "[a-i]", 1 => "p[ab]", 1 => ".{0,10}"];
        let member = (names, inner.clone());
        let object = vec(member, 0..8).prop_map(|members| {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str())))
                .collect();
            format!("{{{}}}", members.join(","))
        });
        let list = vec(inner, 0..5).prop_map(|list| format!("[{}]", list.join(",")));
        prop_oneof![object, list]
    })
}

/// The text of a member's value: mostly one that is known, mostly a good one.
fn value_of(name: &'static str) -> impl Strategy<Value = String> {
    let known = known(name);
    prop_oneof![
        12 => Just(known[0].to_owned()),
        6 => select(known).prop_map(str::to_owned),
        1 => value(),
    ]
}

fn member(name: &'static str) -> impl Strategy<Value = String> {
    value_of(name).prop_map(move |value| format!("\"{name}\" :{value}"))
}

/// An object of most of these members in any order, at times one of them again, and another one.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let kept = prop_oneof![
        6 => Just(names.to_vec()),
        1 => subsequence(names, 0..=names.len()),
    ];
    let all = kept.prop_flat_map(move |kept| {
        let members: Vec<_> = kept.into_iter().map(|name| member(name).boxed()).collect();
        (
            members,
            option::weighted(0.1, select(names).prop_flat_map(member)),
            option::of(member("x")),
        )
    });
    all.prop_map(|(mut members, again, other)| {
        members.extend(again);
        members.extend(other);
        members
    })
    .prop_shuffle()
    .prop_map(|members| format!("{{{}}}", members.join(",")))
}

const EVENT: &[&str] = &["id", "type", "occurred_at", "schema_version", "data"];

/// An event, or what was sent for one.
fn event() -> impl Strategy<Value = String> {
    // Events of the probe, with data of any shape.
    let probe = value().prop_map(|data| {
        format!(
            r#"{{"id":"p1","type":"probe","occurred_at":"2026-03-01T08:14:58Z","data":{data}}}"#
        )
    });
    prop_oneof![6 => object(EVENT), 4 => probe, 1 => value()]
}

/// Events of which one may come again: the same, written otherwise, or with another content.
fn events() -> impl Strategy<Value = String> {
    let again = option::weighted(0.3, (any::<Index>(), select(&["", " ", "\"y\":1,"][..])));
    (vec(event(), 0..7), again).prop_map(|(mut list, again)| {
        if let Some((at, more)) = again.filter(|_| !list.is_empty()) {
            let event = at.get(&list).replacen('{', &format!("{{{more}"), 1);
            list.push(event);
        }
        format!("[{}]", list.join(" ,\n"))
    })
}

fn list(one: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    vec(one, 0..7).prop_map(|list| format!("[{}]", list.join(" ,\n")))
}

fn envelope() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &["batch_id", "sent_at", "schema_version"];
    let optional = (
        option::weighted(0.4, member("client")),
        option::weighted(0.2, member("developer_id")),
        option::weighted(0.2, member("x")),
    );
    let events = prop_oneof![12 => events(), 1 => value()];
    let events = prop_oneof![
        20 => events.clone().prop_map(|events| vec![events]),
        1 => vec(events, 0..3),
    ];
    let required: Vec<_> = NAMES
        .iter()
        .map(|name| option::weighted(0.97, member(name)).boxed())
        .collect();
    let again = option::weighted(0.05, select(NAMES).prop_flat_map(member));
    (required, again, optional, events)
        .prop_map(|(required, again, (client, developer, other), events)| {
            let members = required
                .into_iter()
                .flatten()
                .chain(again)
                .chain(client)
                .chain(developer)
                .chain(other);
            let events = events
                .into_iter()
                .map(|events| format!("\"events\":{events}"));
            members.chain(events).collect::<Vec<String>>()
        })
        .prop_shuffle()
        .prop_map(|members| format!("{{{}}}", members.join(", ")))
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![8 => event(), 1 => Just(" \r".to_owned()), 1 => ".{0,12}"];
    vec(line, 0..7).prop_map(|lines| lines.join("\n"))
}

fn cloud_event() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "schemaversion",
        "data",
    ];
    const ENCODED: &[&str] = &["specversion", "id", "source", "type", "time", "data_base64"];
    prop_oneof![6 => object(NAMES), 2 => object(ENCODED), 1 => value()]
}

fn heartbeat() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "time", "entity", "type", "is_write", "lines", "lineno", "project", "category",
    ];
    prop_oneof![8 => object(NAMES), 1 => value()]
}

fn heartbeats() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => list(heartbeat()),
        2 => heartbeat(),
        1 => list(heartbeat()).prop_map(|list| format!("{{\"data\":{list}}}")),
        1 => list(list(heartbeat())),
    ]
}

/// What is done to one byte.
#[derive(Debug, Clone)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Replace(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || prop_oneof![4 => select(&b"{}[]\",:\\ue0 19-.\n\0"[..]), 1 => any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Cut),
    ]
}

/// Headers, mostly those of a batch of lines.
fn headers(
    names: &'static [(&'static str, &'static [&'static str])],
) -> impl Strategy<Value = HeaderMap> {
    let one: Vec<_> = names
        .iter()
        .map(|(name, values)| {
            let value = prop_oneof![6 => Just(values[0]), 1 => select(*values)];
            (Just(*name), option::weighted(0.9, value)).boxed()
        })
        .collect();
    one.prop_map(|list| {
        let present = list
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        present
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
                (HeaderName::from_static(name), value)
            })
            .collect()
    })
}

const IN_HEADERS: &[(&str, &[&str])] = &[
    ("devtrail-batch-id", &["b1", "b2", " "]),
    (
        "devtrail-sent-at",
        &["2026-03-01T08:15:02Z", "2026-03-01T10:15:02+01:00", "x"],
    ),
    ("devtrail-schema-version", &["1.0", "1.1", "3.0", "x"]),
    ("user-agent", &["wakatime/1"]),
    ("timezone", &["Europe/Berlin", "Mars/Olympus"]),
];

const IN_ATTRIBUTES: &[(&str, &[&str])] = &[
    ("content-type", &["application/json"]),
    ("ce-specversion", &["1.0", "0.3"]),
    ("ce-id", &["e1", "%20", "\"a\\\"b\"", "%FF"]),
    ("ce-source", &["/x", ""]),
    ("ce-type", &["file.edited", "coffee.brewed"]),
    ("ce-time", &["2026-03-01T08:14:58Z", "x"]),
    ("ce-schemaversion", &["1.0", "9.0"]),
];

/// Zones that a developer may have set.
const ZONES: &[&str] = &["Europe/Berlin", "Mars/Olympus", "America/New_York"];

/// Whether it was sent as it was generated, and with what around it.
fn sent(
    headers: impl Strategy<Value = HeaderMap>,
    body: impl Strategy<Value = String>,
) -> impl Strategy<Value = Sent> {
    let damages = prop_oneof![3 => Just(Vec::new()), 1 => vec(damage(), 1..4)];
    let mark = prop_oneof![9 => Just(&b""[..]), 1 => Just(&b"\xEF\xBB\xBF"[..])];
    let zone = prop_oneof![2 => Just(None), 1 => select(ZONES).prop_map(Some)];
    let most = prop_oneof![9 => Just(1000_usize), 1 => Just(2)];
    (headers, body, damages, mark, zone, most).prop_map(
        |(headers, body, damages, mark, zone, max_events)| {
            let mut bytes = body.into_bytes();
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            Sent {
                headers,
                body: [mark, &bytes].concat(),
                zone: zone.map(str::to_owned),
                max_events,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn envelopes_are_judged_as_by_the_reference(sent in sent(Just(HeaderMap::new()), envelope())) {
        assert_same(Format::Envelope, &sent);
    }

    #[test]
    fn batch_ids_in_headers_are_judged_as_by_the_reference(sent in sent(headers(IN_HEADERS), envelope())) {
        assert_same(Format::Envelope, &sent);
    }

    #[test]
    fn events_are_judged_as_by_the_reference(events in events()) {
        let sent = Sent {
            headers: HeaderMap::new(),
            body: format!(
                r#"{{"batch_id":"b1","sent_at":"2026-03-01T08:15:02Z","schema_version":"1.0","events":{events}}}"#
            ).into_bytes(),
            zone: None,
            max_events: 1000,
        };
        assert_same(Format::Envelope, &sent);
    }

    #[test]
    fn lines_are_judged_as_by_the_reference(sent in sent(headers(IN_HEADERS), lines())) {
        assert_same(Format::Ndjson, &sent);
    }

    #[test]
    fn cloud_events_are_judged_as_by_the_reference(
        batch in sent(headers(IN_HEADERS), list(cloud_event())),
        one in sent(headers(IN_HEADERS), cloud_event()),
        binary in sent(headers(IN_ATTRIBUTES), value_of("data")),
    ) {
        assert_same(Format::CloudEvents, &batch);
        assert_same(Format::CloudEvent, &one);
        assert_same(Format::BinaryCloudEvent, &binary);
    }

    #[test]
    fn heartbeats_are_judged_as_by_the_reference(sent in sent(headers(IN_HEADERS), heartbeats())) {
        assert_same(Format::Heartbeats, &sent);
    }
}

/// What is generated reaches every verdict, and refusals as well as messages.
#[test]
fn generated_bodies_get_every_verdict() {
    let mut runner = TestRunner::deterministic();
    let mut found = BTreeSet::new();
    for _ in 0..500 {
        let tree = sent(Just(HeaderMap::new()), envelope()).new_tree(&mut runner);
        match by_library(Format::Envelope, &tree.expect("a body").current()) {
            Err(refused) => drop(found.insert(refused.split(['(', ' ']).next().map(str::to_owned))),
            Ok(outcome) => {
                let batch = batch::decode(outcome.message.into()).expect("a batch");
                let code = |event: &EventMetadata| {
                    Some(event.code.map_or("accepted", Code::as_str).to_owned())
                };
                found.extend(batch.header.events.iter().map(code));
            }
        }
    }
    let found: Vec<String> = found.into_iter().flatten().collect();
    let expected = [
        "Invalid",
        "Malformed",
        "TooManyEvents",
        "WrongDeveloper",
        "accepted",
        "duplicate_id",
        "id_conflict",
        "id_invalid",
        "not_an_object",
        "schema_invalid",
        "schema_version_unsupported",
        "time_implausible",
        "time_invalid",
        "type_unknown",
    ];
    assert_eq!(found, expected);
}

/// What only counts: an event's values, an object's members, a batch's events and bytes.
#[test]
fn bounds_are_judged_as_by_the_reference() {
    let good = r#""type":"file.edited","occurred_at":"2026-03-01T08:14:58Z","data":{"path":"a"}"#;
    let of = |count: usize, one: &str| vec![one; count].join(",");
    let mut events = Vec::new();
    // The event has seven values beside the elements of its list.
    for elements in [99_992, 99_993, 99_994] {
        events.push(format!(
            r#"{{"id":"e1",{good},"x":[{}]}}"#,
            of(elements, "0")
        ));
    }
    events.push(format!(
        r#"{{"id":"e1",{good},"x":{{{}}}}}"#,
        of(100_001, "\"\":0")
    ));
    events.push(format!(
        r#"{{"id":"e1",{good},"x":"{}"}}"#,
        "é".repeat(40_000)
    ));
    let long = "é".repeat(4_097);
    events.push(event_of(&format!(r#"{{"path":"{long}"}}"#)));
    for event in events {
        for body in [
            envelope_of(&format!("[{event}]"), ""),
            envelope_of(&format!("[{event},{event}]"), ""),
        ] {
            assert!(assert_same(Format::Envelope, &plain(body)));
        }
    }
    for members in [99_995, 99_996, 99_997, 99_998] {
        let distinct: Vec<String> = (0..members)
            .map(|index| format!("\"m{index}\":0,"))
            .collect();
        assert_same(
            Format::Envelope,
            &plain(envelope_of(
                &format!("[{{\"id\":\"e1\",{good}}}]"),
                &distinct.concat(),
            )),
        );
    }
    for count in [1_000, 1_001] {
        assert_same(
            Format::Envelope,
            &plain(envelope_of(&format!("[{}]", of(count, "{}")), "")),
        );
    }
}

fn event_of(data: &str) -> String {
    let time = "2026-03-01T08:14:58Z";
    format!(r#"{{"id":"e1","type":"file.edited","occurred_at":"{time}","data":{data}}}"#)
}

fn envelope_of(events: &str, others: &str) -> String {
    format!(
        r#"{{{others}"batch_id":"b1","sent_at":"2026-03-01T08:15:02Z","events":{events},"schema_version":"1.0"}}"#
    )
}

fn plain(body: String) -> Sent {
    Sent {
        headers: HeaderMap::new(),
        body: body.into_bytes(),
        zone: None,
        max_events: 1000,
    }
}

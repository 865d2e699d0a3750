//! WakaTime's heartbeats: the mapping, ids that stay the same, and that nothing of them is lost.

use proptest::prelude::*;
use serde_json::{Value, json};
use types::admission::Admitted;
use types::formats::{BadEnvelope, Format, wakatime};
use types::verdict::Code;

use super::property::{adds_up, json as any_json};
use super::{RECEIVED, admit_sent, at, object, refused, texts, travelled};

/// As wakatime 13.1.0 writes it: null for what it does not know, numbers from the command line as text.
const HEARTBEAT: &[(&str, &str)] = &[
    ("time", "1772352898.123456"),
    ("entity", r#""/src/demo/src/main.rs""#),
    ("type", r#""file""#),
    ("category", "null"),
    ("is_write", "true"),
    ("project", r#""demo""#),
    ("branch", r#""main""#),
    ("language", r#""Rust""#),
    ("dependencies", r#"["tokio"]"#),
    ("lines", "120"),
    ("lineno", r#""12""#),
    ("cursorpos", "7"),
    ("user_agent", r#""wakatime/13.1.0 vim""#),
];

fn heartbeat(changes: &[(&str, &str)]) -> String {
    object(HEARTBEAT, changes)
}

fn one(body: &str) -> Admitted<'_> {
    admit_sent(Format::Heartbeats, &[], body.as_bytes())
        .unwrap_or_else(|refused| panic!("{refused:?}: {body}"))
}

fn kept(changes: &[(&str, &str)]) -> Value {
    let body = heartbeat(changes);
    serde_json::from_str(texts(&travelled(&one(&body)))[0]).expect("an event is JSON")
}

fn finding(changes: &[(&str, &str)]) -> (Option<Code>, Option<String>) {
    let body = heartbeat(changes);
    let note = one(&body).header.events.remove(0);
    (note.code, note.pointer)
}

fn id(changes: &[(&str, &str)]) -> String {
    kept(changes)["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_heartbeat_is_an_event_and_nothing_of_it_is_lost() {
    let event = kept(&[]);
    let data = json!({
        "entity": "/src/demo/src/main.rs", "entity_type": "file", "is_write": true, "project": "demo",
        "branch": "main", "language": "Rust", "lines": 120, "line": 12, "cursor": 7,
    });
    assert_eq!(
        (&event["type"], &event["data"]),
        (&json!("heartbeat"), &data)
    );
    assert_eq!(event["occurred_at"], "2026-03-01T08:14:58.123456Z");
    assert_eq!(
        event["wakatime"],
        json!({"dependencies": ["tokio"], "user_agent": "wakatime/13.1.0 vim"})
    );
    assert_eq!(one(&heartbeat(&[])).header.counts.accepted, 1);
    assert!(
        kept(&[("dependencies", "null"), ("user_agent", "")])
            .get("wakatime")
            .is_none()
    );
}

#[test]
fn the_id_is_that_of_wakatimes_own_client() {
    let first = id(&[]);
    // Final: what an offline queue holds may be sent again after an update.
    assert_eq!(first, "wakatime-03b9dbef4e7696fed431a1c91385939a");
    for other in [
        ("time", "1772352898.123457"),
        ("type", r#""app""#),
        ("category", r#""coding""#),
        ("project", r#""other""#),
        ("branch", "null"),
        ("entity", r#""b""#),
        ("is_write", "null"),
    ] {
        assert_ne!(id(&[other]), first, "{other:?}");
    }
    for same in [
        ("time", "1772352898.1234560"),
        ("time", r#""1772352898.123456""#),
        ("category", ""),
        ("lineno", "13"),
        ("user_agent", r#""other""#),
        ("project", r#""\u0064emo""#),
    ] {
        assert_eq!(id(&[same]), first, "{same:?}");
    }
    assert_ne!(
        id(&[("project", r#""x""#), ("branch", r#""""#)]),
        id(&[("project", r#""""#), ("branch", r#""x""#)])
    );
}

#[test]
fn seconds_become_microseconds() {
    let time = |time| {
        kept(&[("time", time)])["occurred_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(time("1772352898"), "2026-03-01T08:14:58.000000Z");
    assert_eq!(time("1772352898.1"), "2026-03-01T08:14:58.100000Z");
    assert_eq!(time("1772352898.1234566"), "2026-03-01T08:14:58.123457Z");
    assert_eq!(time("1.772352898e9"), "2026-03-01T08:14:58.000000Z");
    for bad in [
        "",
        "null",
        "-1",
        "253402214400",
        "1e300",
        r#""now""#,
        r#""nan""#,
        "[]",
    ] {
        assert_eq!(
            finding(&[("time", bad)]),
            refused(Code::TimeInvalid, "/time"),
            "{bad}"
        );
    }
    assert_eq!(
        finding(&[("time", "0")]),
        refused(Code::TimeImplausible, "/time")
    );
}

#[test]
fn what_is_wrong_is_named_as_in_the_heartbeat() {
    assert_eq!(
        finding(&[("entity", "null")]),
        refused(Code::SchemaInvalid, "")
    );
    assert_eq!(
        finding(&[("type", r#""planet""#)]),
        refused(Code::SchemaInvalid, "/type")
    );
    assert_eq!(
        finding(&[("lineno", r#""x""#)]),
        refused(Code::SchemaInvalid, "/lineno")
    );
    assert_eq!(
        finding(&[("cursorpos", "-1")]),
        refused(Code::SchemaInvalid, "/cursorpos")
    );
    assert_eq!(
        finding(&[("entity", r#""a","entity":"b""#)]),
        refused(Code::SchemaInvalid, "/entity")
    );
}

#[test]
fn the_headers_describe_the_client() {
    let headers = [
        ("user-agent", "wakatime/13.1.0 vim"),
        ("x-machine-name", "bürö"),
        ("timezone", "Europe/Berlin"),
    ];
    let body = heartbeat(&[("time", "1772321400")]); // 2026-02-28T23:30:00Z
    let mut header = admit_sent(Format::Heartbeats, &headers, body.as_bytes())
        .unwrap()
        .header;
    let client: Value = serde_json::from_str(header.envelope["client"].get()).unwrap();
    assert_eq!(
        client,
        json!({"name": "wakatime/13.1.0 vim", "host_id": "bürö", "time_zone": "Europe/Berlin"})
    );
    assert_eq!(header.events.remove(0).day.as_deref(), Some("2026-03-01"));
    assert_eq!(
        (header.sent_at.as_str(), header.received_at),
        ("2026-03-01T08:15:03.000000Z", at(RECEIVED))
    );
}

#[test]
fn a_bulk_of_heartbeats_is_one_batch_with_an_id_made_of_it() {
    let body = format!("[{},7,{}]", heartbeat(&[]), heartbeat(&[("time", "")]));
    let admitted = admit_sent(Format::Heartbeats, &[], body.as_bytes()).unwrap();
    let codes: Vec<_> = admitted
        .header
        .events
        .iter()
        .map(|note| note.code)
        .collect();
    assert_eq!(
        codes,
        [None, Some(Code::NotAnObject), Some(Code::TimeInvalid)]
    );
    let again = admit_sent(Format::Heartbeats, &[], body.as_bytes())
        .unwrap()
        .header
        .batch_id;
    assert_eq!(admitted.header.batch_id, again);
    assert!(
        again
            .strip_prefix("wakatime-")
            .is_some_and(|hex| hex.len() == 32),
        "{again}"
    );
    let refused = |body: &str| {
        admit_sent(Format::Heartbeats, &[], body.as_bytes())
            .map(|_| ())
            .unwrap_err()
    };
    for body in ["[]", " [ ] ", "7", "null", "\"x\""] {
        assert!(
            matches!(refused(body), BadEnvelope::Invalid { pointer: "", .. }),
            "{body}"
        );
    }
    for body in ["", "[1,", "{", "\u{feff}[1]", "\u{c}[1]"] {
        assert!(matches!(refused(body), BadEnvelope::Malformed(_)), "{body}");
    }
    let many = format!("[{}1]", "1,".repeat(1000));
    assert_eq!(refused(&many), BadEnvelope::TooManyEvents(1001));
}

#[test]
fn what_was_sent_says_whether_it_is_one_heartbeat_or_many() {
    let alone = heartbeat(&[]);
    let format = |body: &str| {
        admit_sent(Format::Heartbeats, &[], body.as_bytes())
            .unwrap()
            .format
    };
    assert_eq!(format(&format!(" \n{alone}")), Format::Heartbeat);
    assert_eq!(format(&format!("\r\t [{alone}]")), Format::Heartbeats);
}

#[test]
fn a_reply_echoes_what_clients_know_a_heartbeat_by() {
    let body = heartbeat(&[]);
    let admitted = one(&body);
    let echo = wakatime::echo(&admitted.events[0]);
    let expected = json!({
        "id": id(&[]), "entity": "/src/demo/src/main.rs", "type": "file", "time": 1_772_352_898.123_456,
    });
    assert_eq!(echo, expected);
    let sparse = heartbeat(&[("type", "null")]);
    assert_eq!(wakatime::echo(&one(&sparse).events[0]).get("type"), None);
    assert_eq!(wakatime::echo(b"\xff"), json!({}));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_heartbeats_make_one_batch_that_adds_up(
        members in proptest::collection::vec(
            (proptest::sample::select(HEARTBEAT).prop_map(|(name, _)| name), any_json()),
            0..4,
        ),
        odd in any_json(),
    ) {
        let values: Vec<(&str, String)> = members.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let changes: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = format!("[{},{odd}]", heartbeat(&changes));
        let admitted = admit_sent(Format::Heartbeats, &[], body.as_bytes()).unwrap();
        prop_assert_eq!(admitted.events.len(), 2);
        adds_up(&admitted)?;
        let again = admit_sent(Format::Heartbeats, &[], body.as_bytes()).unwrap();
        prop_assert_eq!(&again.events, &admitted.events);
        prop_assert_eq!(again.header.batch_id, admitted.header.batch_id);
    }
}

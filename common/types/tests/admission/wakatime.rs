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
    for milliseconds in ["1772352898123", "1772352898123.0", r#""1772352898123""#] {
        assert_eq!(time(milliseconds), "2026-03-01T08:14:58.123000Z");
    }
    for text in [
        r#""2026-03-01T08:14:58.1Z""#,
        r#"" 2026-03-01T09:14:58.1+01:00""#,
    ] {
        assert_eq!(time(text), "2026-03-01T08:14:58.100000Z", "{text}");
    }
    for bad in [
        "",
        "null",
        "-1",
        "253402214400",
        "946684799999",
        "1772352898123456",
        "1e300",
        "1e999",
        "true",
        "{}",
        r#""2026-03-01T08:14:58""#,
        r#""inf""#,
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
    for entity in [r#""""#, "[]", "{}", "true", r#""\ud800""#] {
        assert_eq!(
            finding(&[("entity", entity)]).0,
            Some(Code::SchemaInvalid),
            "{entity}"
        );
    }
    assert_eq!(
        finding(&[("time", r#"1,"time":2"#)]),
        refused(Code::SchemaInvalid, "/time")
    );
    assert_eq!(
        finding(&[("entity", r#""a","entity":"b""#)]),
        refused(Code::SchemaInvalid, "/entity")
    );
}

/// A member as it is sent, and what becomes of it in the event: a place in `data`, or a place in `wakatime`.
const DETAILS: &[(&str, &str, &str, &str)] = &[
    ("is_write", r#""true""#, "data", r#"{"is_write":true}"#),
    ("is_write", r#"" True ""#, "data", r#"{"is_write":true}"#),
    ("is_write", r#""0""#, "data", r#"{"is_write":false}"#),
    ("is_write", "1", "data", r#"{"is_write":true}"#),
    ("is_write", "1.0", "data", r#"{"is_write":true}"#),
    ("is_write", "0", "data", r#"{"is_write":false}"#),
    ("is_write", "2", "wakatime", r#"{"is_write":2}"#),
    ("is_write", r#""""#, "wakatime", r#"{"is_write":""}"#),
    (
        "is_write",
        r#""maybe""#,
        "wakatime",
        r#"{"is_write":"maybe"}"#,
    ),
    ("is_write", "[true]", "wakatime", r#"{"is_write":[true]}"#),
    ("lines", r#""12.0""#, "data", r#"{"lines":12}"#),
    ("lines", r#"" 12 ""#, "data", r#"{"lines":12}"#),
    ("lines", "12.0", "data", r#"{"lines":12.0}"#),
    ("lines", "1.2e1", "data", r#"{"lines":1.2e1}"#),
    (
        "lines",
        "9007199254740991",
        "data",
        r#"{"lines":9007199254740991}"#,
    ),
    (
        "lines",
        "9007199254740992",
        "wakatime",
        r#"{"lines":9007199254740992}"#,
    ),
    ("lines", "1e300", "wakatime", r#"{"lines":1e300}"#),
    ("lines", "1e999", "wakatime", r#"{"lines":"1e999"}"#),
    ("lines", "-1", "wakatime", r#"{"lines":-1}"#),
    ("lines", r#""-1""#, "wakatime", r#"{"lines":"-1"}"#),
    ("lines", "12.5", "wakatime", r#"{"lines":12.5}"#),
    ("lines", r#""nan""#, "wakatime", r#"{"lines":"nan"}"#),
    ("lines", "true", "wakatime", r#"{"lines":true}"#),
    ("lines", "{}", "wakatime", r#"{"lines":{}}"#),
    ("lines", r#"1,"lines":2"#, "wakatime", r#"{"lines":2}"#),
    ("lineno", "-1", "wakatime", r#"{"lineno":-1}"#),
    ("cursorpos", r#""""#, "wakatime", r#"{"cursorpos":""}"#),
    ("cursorpos", "[3]", "wakatime", r#"{"cursorpos":[3]}"#),
    ("type", r#""""#, "wakatime", r#"{"type":""}"#),
    ("type", r#""planet""#, "wakatime", r#"{"type":"planet"}"#),
    ("type", r#"" File""#, "data", r#"{"entity_type":"file"}"#),
    ("type", "3", "wakatime", r#"{"type":3}"#),
    ("project", "2021", "data", r#"{"project":"2021"}"#),
    ("project", "[]", "wakatime", r#"{"project":[]}"#),
    (
        "project",
        r#"{"name":"x"}"#,
        "wakatime",
        r#"{"project":{"name":"x"}}"#,
    ),
    (
        "project",
        r#""\ud800""#,
        "wakatime",
        r#"{"project":"\"\\ud800\""}"#,
    ),
    ("branch", "false", "wakatime", r#"{"branch":false}"#),
    (
        "language",
        "[\"Rust\"]",
        "wakatime",
        r#"{"language":["Rust"]}"#,
    ),
    ("category", "0", "data", r#"{"category":"0"}"#),
    ("entity", "7", "data", r#"{"entity":"7"}"#),
    (
        "dependencies",
        "[1e999]",
        "wakatime",
        r#"{"dependencies":"[1e999]"}"#,
    ),
    ("dependencies", "{}", "wakatime", r#"{"dependencies":{}}"#),
    (
        "user_agent",
        r#""\udfff""#,
        "wakatime",
        r#"{"user_agent":"\"\\udfff\""}"#,
    ),
];

#[test]
fn no_side_detail_costs_a_heartbeat_its_time() {
    for (name, value, place, expected) in DETAILS {
        let event = kept(&[(name, value)]);
        let body = heartbeat(&[(name, value)]);
        assert_eq!(one(&body).header.counts.accepted, 1, "{body}");
        let expected: Value = serde_json::from_str(expected).unwrap();
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&event[place][member], value, "{body}");
        }
        // Each is in one place only.
        let ours = |theirs: &&str| match *theirs {
            "type" => "entity_type".to_owned(),
            "lineno" => "line".to_owned(),
            "cursorpos" => "cursor".to_owned(),
            other => other.to_owned(),
        };
        let in_data = event["data"].get(ours(name)).is_some();
        assert_eq!(in_data, *place == "data", "{body}");
        assert_eq!(
            event["wakatime"].get(name).is_some(),
            *place == "wakatime",
            "{body}"
        );
    }
    let long = format!("{:?}", "x".repeat(4097));
    let event = kept(&[("project", &long)]);
    assert_eq!(event["wakatime"]["project"].as_str().unwrap().len(), 4097);
    assert!(event["data"].get("project").is_none());
    let deep = format!("{}{}", "[".repeat(126), "]".repeat(126));
    let event = kept(&[("dependencies", &deep)]);
    assert_eq!(event["wakatime"]["dependencies"], json!(deep));
}

#[test]
fn arrays_and_objects_around_heartbeats_are_looked_through() {
    let beat = |second: u32| heartbeat(&[("time", &(1_772_352_898 + second).to_string())]);
    let (a, b, c) = (beat(1), beat(2), beat(3));
    let taken = |body: &str| {
        let admitted = admit_sent(Format::Heartbeats, &[], body.as_bytes())
            .unwrap_or_else(|refused| panic!("{refused:?}: {body}"));
        assert_eq!(
            admitted.header.counts.accepted, admitted.header.counts.received,
            "{body}"
        );
        (
            admitted.format,
            admitted.header.batch_id.clone(),
            admitted.events.len(),
        )
    };
    let (_, of_three, _) = taken(&format!("[{a},{b},{c}]"));
    for body in [
        format!("[[{a},{b},{c}]]"),
        format!("[[{a},{b}],[{c}]]"),
        format!("[[[{a}]],[[{b},{c}]]]"),
        format!(r#"{{"data":[{a},{b},{c}]}}"#),
        format!(r#" {{"heartbeats": [[{a},{b},{c}]], "machine": "x"}}"#),
        format!(r#"{{"data":{{"heartbeats":[{a},{b},{c}]}}}}"#),
        format!("\u{feff}[{a},{b},{c}]"),
    ] {
        assert_eq!(
            taken(&body),
            (Format::Heartbeats, of_three.clone(), 3),
            "{body}"
        );
    }
    assert_eq!(taken(&format!(r#"{{"data":{a}}}"#)).0, Format::Heartbeat);
    // A heartbeat may have members of these names.
    let own = heartbeat(&[("data", r#"[{"x":1}]"#)]);
    assert_eq!(
        kept(&[("data", r#"[{"x":1}]"#)])["wakatime"]["data"],
        json!([{"x": 1}])
    );
    assert_eq!(taken(&own).0, Format::Heartbeat);
    let refused = |body: &str| {
        admit_sent(Format::Heartbeats, &[], body.as_bytes())
            .map(|_| ())
            .unwrap_err()
    };
    let deep = format!("{}{a}{}", "[".repeat(6), "]".repeat(6));
    for body in ["[[]]", r#"{"data":[]}"#, "[[],[]]", &deep] {
        assert!(
            matches!(refused(body), BadEnvelope::Invalid { pointer: "", .. }),
            "{body}"
        );
    }
    let many = format!("[[{0}],[{0}]]", vec!["1"; 600].join(","));
    assert_eq!(refused(&many), BadEnvelope::TooManyEvents(1200));
    // Among heartbeats an array is one that is none.
    let mixed = format!("[{a},[{b}]]");
    let codes: Vec<_> = one(&mixed)
        .header
        .events
        .iter()
        .map(|note| note.code)
        .collect();
    assert_eq!(codes, [None, Some(Code::NotAnObject)]);
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
    for body in ["", "[1,", "{", "\u{feff}\u{feff}[1]", "\u{c}[1]"] {
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

//! Lines, ranges and the way from head to end.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn range(from: Option<&str>, to: Option<&str>) -> ExportRange {
    ExportRange {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    }
}

fn line(kind: &str) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"kind":"{kind}"}}"#)).unwrap()
}

#[test]
fn an_export_ends_with_the_counts_of_all_its_pages() {
    let head = Head {
        developer: "ada".to_owned(),
        range: range(Some("2026-03-01"), None),
        settings: serde_json::from_str(r#"{"zone":"Europe/Berlin","idle_seconds":300}"#).unwrap(),
        program: "devtrail 0.1.0".to_owned(),
        at: 0,
    };
    let (mut walk, mut text) = ExportWalk::begin(head).unwrap();
    let after = EventPosition {
        at: 7,
        id: "e".to_owned(),
    };
    let nexts = [
        Some(ExportCursor::Events(Some(after))),
        Some(ExportCursor::Days(None)),
        None,
    ];
    for next in nexts {
        assert!(walk.query().is_some());
        let page = ExportPage {
            lines: vec![line("event"), line("record")],
            counts: ExportCounts {
                events: 1,
                records: 1,
                ..ExportCounts::default()
            },
            next: next.clone(),
        };
        text.extend(walk.take(page).unwrap());
        assert_eq!(walk.query().map(|query| query.cursor), next);
    }
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "header", "settings", "event", "record", "event", "record", "event", "record", "end"
        ]
    );
    assert!(kinds.iter().all(|kind| KINDS.contains(kind)));
    assert_eq!(
        (
            &lines[0]["version"],
            &lines[0]["from"],
            &lines[0]["to"],
            &lines[0]["zone"]
        ),
        (
            &1.into(),
            &"2026-03-01".into(),
            &Value::Null,
            &"Europe/Berlin".into()
        )
    );
    assert_eq!(lines[1]["settings"]["idle_seconds"], 300);
    assert_eq!(lines[8]["counts"]["events"], 3);
}

#[test]
fn a_range_holds_its_days_on_any_clock() {
    let midnight = 1_772_323_200 * SECOND; // 2026-03-01T00:00:00Z
    let day = 24 * 3600 * SECOND;
    let one = range(Some("2026-03-01"), Some("2026-03-01"));
    assert_eq!(one.instants(), (midnight - day, midnight + 2 * day));
    assert!(
        one.contains("2026-03-01") && !one.contains("2026-03-02") && !one.contains("2026-02-28")
    );
    let all = range(None, None);
    assert_eq!(all.instants(), (Micros::MIN, Micros::MAX));
    assert!(all.contains("0001-01-01") && all.contains("9999-12-31"));
    let last = range(None, Some("9999-12-31"));
    assert_eq!(last.instants().1, Micros::MAX);
}

#[test]
fn what_was_sent_is_in_the_first_form_that_holds_it() {
    let forms = |bytes: &[u8]| {
        let SentText {
            event,
            event_text,
            event_base64,
        } = SentText::of(bytes);
        (
            event.map(|event| event.get().to_owned()),
            event_text,
            event_base64,
        )
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        forms(br#"{"id": "a",  "n":1.50e0}"#),
        (text(r#"{"id": "a",  "n":1.50e0}"#), None, None)
    );
    assert_eq!(
        forms(b"{\r\n  \"id\": \"a\\nb\"\n}"),
        (text("{    \"id\": \"a\\nb\" }"), None, None)
    );
    assert_eq!(
        forms(b"this is no event"),
        (None, text("this is no event"), None)
    );
    assert_eq!(forms(b"\xff"), (None, None, text("/w==")));
    assert_eq!(forms(b"\x01\x02\x03").1, None, "escapes would be longer");
}

proptest! {
    #[test]
    fn no_form_breaks_a_line_and_json_keeps_its_meaning(
        value in any::<(String, i64, Vec<bool>)>(), bytes in any::<Vec<u8>>()
    ) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let sent = SentText::of(pretty.as_bytes());
        let event = sent.event.unwrap();
        prop_assert!(!event.get().contains(['\n', '\r']));
        prop_assert!(crate::json::is_equivalent(event.get().as_bytes(), pretty.as_bytes()));
        let line = serde_json::to_string(&SentText::of(&bytes)).unwrap();
        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert!(line.len() <= bytes.len() * 4 / 3 + 64, "{} of {}", line.len(), bytes.len());
    }

    #[test]
    fn a_day_s_instants_are_in_the_range_of_the_day(
        at in 0_i64..4_000_000_000, offset in -86_399_i32..86_400
    ) {
        let at = at * SECOND;
        // Offsets of whole minutes, as RFC 3339 writes them.
        let offset = Offset::from_seconds(offset / 60 * 60).unwrap();
        let day = crate::time::local_day(at, None, offset);
        let (first, last) = range(Some(&day), Some(&day)).instants();
        prop_assert!(first <= at && at <= last, "{} {} {}", day, at, offset);
    }
}

//! The verdicts: each code with its pointer, and how they are counted.

use types::batch::{self, EventMetadata};
use types::verdict::{Code, Counts, Exception, Original, Verdict};

use super::{ACCEPTED, SCHEMAS, admitted, body, event, finding, notes, refused};

const TEST: &[(&str, &str)] = &[
    ("type", r#""test.finished""#),
    ("data", r#"{"outcome":"passed"}"#),
];

fn test_event(version: &str, data: &str) -> String {
    event(&[TEST[0], ("schema_version", version), ("data", data)])
}

fn exceptions(events: &[String]) -> Vec<Exception> {
    let notes = notes(events);
    let pairs = notes.iter().zip(events.iter().map(String::as_bytes));
    batch::exceptions(pairs, &SCHEMAS.supported())
}

#[test]
fn a_good_event_is_accepted_without_a_word() {
    assert_eq!(finding(&event(&[])), ACCEPTED);
    let note = notes(&[event(&[])]).remove(0);
    assert_eq!((note.detail, note.original), (None, None));
}

#[test]
fn every_code_comes_with_its_pointer_and_is_counted_once() {
    let events = [
        event(&[]),
        event(&[
            ("id", r#""s""#),
            ("data", r#"{"path":"a","lines_added":-1}"#),
        ]),
        event(&[("id", "7")]),
        event(&[("id", r#""t""#), ("occurred_at", r#""yesterday""#)]),
        "[1]".to_owned(),
        event(&[("id", r#""u""#), ("type", r#""coffee.brewed""#)]),
        event(&[("id", r#""v""#), ("schema_version", r#""2.0""#)]),
        event(&[
            ("id", r#""p""#),
            ("occurred_at", r#""1999-12-31T23:59:59Z""#),
        ]),
        event(&[("data", r#"{"path":"other.rs"}"#)]),
        event(&[]),
    ];
    let text = body(&[], &events);
    let header = admitted(&text).header;
    let finding: Vec<_> = header
        .events
        .iter()
        .map(|note| (note.code, note.pointer.as_deref()))
        .collect();
    let expected = [
        (None, None),
        (Some(Code::SchemaInvalid), Some("/data/lines_added")),
        (Some(Code::IdInvalid), Some("/id")),
        (Some(Code::TimeInvalid), Some("/occurred_at")),
        (Some(Code::NotAnObject), Some("")),
        (Some(Code::TypeUnknown), Some("/type")),
        (
            Some(Code::SchemaVersionUnsupported),
            Some("/schema_version"),
        ),
        (Some(Code::TimeImplausible), Some("/occurred_at")),
        (Some(Code::IdConflict), Some("/id")),
        (Some(Code::DuplicateId), None),
    ];
    assert_eq!(finding, expected);
    let counts = Counts {
        received: 10,
        accepted: 1,
        duplicate: 1,
        rejected: 4,
        quarantined: 4,
    };
    assert_eq!(header.counts, counts);
}

#[test]
fn a_batch_of_refused_events_only_is_still_admitted() {
    let text = body(
        &[],
        &[
            "null".to_owned(),
            "7".to_owned(),
            r#""text""#.to_owned(),
            "{}".to_owned(),
        ],
    );
    let counts = admitted(&text).header.counts;
    assert_eq!(
        counts,
        Counts {
            received: 4,
            rejected: 4,
            ..Counts::default()
        }
    );
}

#[test]
fn the_envelopes_version_holds_unless_an_event_names_its_own() {
    let flaky = r#"{"outcome":"passed","flaky":-1}"#;
    let events = [event(&[TEST[0], ("data", flaky)])];
    let code = |version| {
        admitted(&body(&[("schema_version", version)], &events))
            .header
            .events[0]
            .code
    };
    assert_eq!(code(r#""1.0""#), None, "1.0 knows no flaky");
    assert_eq!(code(r#""1.1""#), Some(Code::SchemaInvalid));
    assert_eq!(code(r#""2.0""#), Some(Code::SchemaVersionUnsupported));
    let own = [test_event(r#""1.0""#, flaky)];
    assert_eq!(
        admitted(&body(&[("schema_version", r#""2.0""#)], &own))
            .header
            .events[0]
            .code,
        None
    );
}

#[test]
fn a_type_unchanged_in_a_known_minor_uses_its_older_schema() {
    let version = ("schema_version", r#""1.1""#);
    assert_eq!(finding(&event(&[version])), ACCEPTED);
    let bad = event(&[version, ("data", r#"{"path":"a","undo":1}"#)]);
    assert_eq!(finding(&bad), refused(Code::SchemaInvalid, "/data/undo"));
}

#[test]
fn an_event_of_a_newer_minor_is_accepted_or_quarantined() {
    let good = test_event(
        r#""1.2""#,
        r#"{"outcome":"passed","flaky":1,"new_in_1_2":{"x":[]}}"#,
    );
    assert_eq!(finding(&good), ACCEPTED);
    let bad = test_event(r#""1.2""#, r#"{"outcome":"exploded"}"#);
    let [exception] = &exceptions(&[bad])[..] else {
        panic!("one exception")
    };
    assert_eq!(exception.id.as_deref(), Some("e1"));
    assert_eq!(
        (exception.verdict, exception.code),
        (Verdict::Quarantined, Code::SchemaVersionUnsupported)
    );
    assert_eq!(
        exception.supported.as_deref(),
        Some(&["1.0".to_owned(), "1.1".to_owned()][..])
    );
}

#[test]
fn other_majors_and_unknown_types_are_quarantined() {
    for version in ["2.0", "0.9", "99.1", "latest", "1", "1.0.0", "01.0", ""] {
        let event = event(&[("schema_version", &format!("{version:?}"))]);
        assert_eq!(
            finding(&event),
            refused(Code::SchemaVersionUnsupported, "/schema_version"),
            "{version}"
        );
    }
    for version in [r#""1.0""#, r#""1.1""#, r#""1.9""#] {
        let event = event(&[("type", r#""coffee.brewed""#), ("schema_version", version)]);
        assert_eq!(
            finding(&event),
            refused(Code::TypeUnknown, "/type"),
            "{version}"
        );
    }
    let list = exceptions(&[event(&[("type", r#""File.Edited""#)])]);
    assert_eq!(
        (list[0].code, &list[0].supported),
        (Code::TypeUnknown, &Some(SCHEMAS.supported()))
    );
}

#[test]
fn a_version_that_is_no_string_and_a_missing_type_are_rejected() {
    for version in ["1.0", "1", "[]", "{}", "true", "null"] {
        let event = event(&[("schema_version", version)]);
        assert_eq!(
            finding(&event),
            refused(Code::SchemaInvalid, "/schema_version"),
            "{version}"
        );
    }
    for kind in ["", "7", "null", r#"["file.edited"]"#] {
        assert_eq!(
            finding(&event(&[("type", kind)])),
            refused(Code::SchemaInvalid, "/type"),
            "{kind}"
        );
    }
}

#[test]
fn data_that_is_missing_or_misfits_is_named_by_its_place() {
    assert_eq!(
        finding(&event(&[("data", "")])),
        refused(Code::SchemaInvalid, "")
    );
    assert_eq!(
        finding(&event(&[("data", "[]")])),
        refused(Code::SchemaInvalid, "/data")
    );
    assert_eq!(
        finding(&event(&[("data", "{}")])),
        refused(Code::SchemaInvalid, "/data")
    );
    assert_eq!(
        finding(&event(&[("data", r#"{"path":""}"#)])),
        refused(Code::SchemaInvalid, "/data/path")
    );
}

#[test]
fn ids_have_1_to_128_printable_ascii_characters() {
    let id = |id: &str| finding(&event(&[("id", &format!("\"{id}\""))]));
    for good in ["x", "!~", &"x".repeat(128), r"\u0041", "#/:%", r#"\""#] {
        assert_eq!(id(good), ACCEPTED, "{good}");
    }
    let too_long = "x".repeat(129);
    for bad in [
        "",
        &too_long,
        "a b",
        " a",
        "a ",
        "é",
        "a\u{2028}",
        r"\u0000",
        r"\t",
        r"a\n",
        "\u{7f}",
    ] {
        assert_eq!(id(bad), refused(Code::IdInvalid, "/id"), "{bad}");
    }
    for bad in ["", "null", "7", "[]", "{}"] {
        assert_eq!(
            finding(&event(&[("id", bad)])),
            refused(Code::IdInvalid, "/id"),
            "{bad}"
        );
    }
    assert_eq!(
        exceptions(&[event(&[("id", r#""a b""#)])])[0].id,
        None,
        "an unusable id is null"
    );
}

/// What admission finds for the second of two events with the same id.
fn second(first: &str, second: &str) -> EventMetadata {
    notes(&[first.to_owned(), second.to_owned()]).remove(1)
}

#[test]
fn a_repeat_of_the_same_bytes_or_meaning_is_a_duplicate() {
    let first = event(&[("data", r#"{"path":"A","undo":true}"#)]);
    let other_order = r#"{ "data": {"undo":true, "path":"\u0041"}, "occurred_at":"2026-03-01T09:14:58.001+01:00",
        "type":"file.edited", "id":"e1" }"#;
    for again in [first.as_str(), other_order] {
        let note = second(&first, again);
        assert_eq!(
            (note.code, note.original),
            (Some(Code::DuplicateId), Some(0)),
            "{again}"
        );
    }
}

#[test]
fn a_repeat_with_other_content_is_a_conflict_with_its_original() {
    let first = event(&[]);
    for other in [
        event(&[("data", r#"{"path":"other.rs"}"#)]),
        event(&[("extra", "1")]),
        event(&[("occurred_at", r#""2026-03-01T09:14:58.002+01:00""#)]),
    ] {
        let note = second(&first, &other);
        assert_eq!(
            (note.code, note.original),
            (Some(Code::IdConflict), Some(0)),
            "{other}"
        );
    }
    let list = exceptions(&[event(&[("id", r#""e0""#)]), first, event(&[("extra", "1")])]);
    assert_eq!(
        (list[0].index, &list[0].original),
        (2, &Some(Original::SameBatch { index: 1 }))
    );
}

#[test]
fn integers_are_compared_exactly_and_other_numbers_as_doubles() {
    let code = |one, other| second(&event(&[("extra", one)]), &event(&[("extra", other)])).code;
    assert_eq!(code("1", "1.0"), Some(Code::DuplicateId));
    assert_eq!(code("0.1", "1e-1"), Some(Code::DuplicateId));
    assert_eq!(
        code("100000000000000000000001", "100000000000000000000002"),
        Some(Code::IdConflict)
    );
}

#[test]
fn an_array_that_looks_like_an_event_has_no_id() {
    let list =
        exceptions(&[r#"["x","file.edited","2026-03-01T09:14:58.001+01:00","1.0"]"#.to_owned()]);
    assert_eq!((list[0].code, &list[0].id), (Code::NotAnObject, &None));
}

#[test]
fn a_refused_event_holds_no_id() {
    let bad = event(&[("data", "{}")]);
    assert_eq!(notes(&[bad, event(&[])])[1].code, None);
}

//! Times: what is one, effective time, plausible times, the local day.

use types::admission::AdmissionContext;
use types::batch::EventMetadata;
use types::formats::Format;
use types::time::{SECOND, rfc3339};
use types::verdict::Code;

use super::{
    ACCEPTED, RECEIVED, admit_in, admitted, at, body, context, event, finding, note, refused,
};

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn happened(time: &str) -> String {
    event(&[("occurred_at", &quoted(time))])
}

/// The note of an event that happened at `time` in a batch sent at `sent_at`.
fn sent(sent_at: &str, time: &str) -> EventMetadata {
    admitted(&body(&[("sent_at", &quoted(sent_at))], &[happened(time)]))
        .header
        .events
        .remove(0)
}

#[test]
fn what_is_no_rfc_3339_time_with_an_offset_is_rejected() {
    let times = [
        "",
        "now",
        "2026-03-01",
        "2026-03-01T08:14:58",
        "2026-03-01 08:14:58Z",
        "2026-03-01T08:14:58+0100",
        "2026-03-01T08:14:58+24:00",
        "2026-02-30T08:14:58Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
    ];
    for time in times {
        assert_eq!(
            finding(&happened(time)),
            refused(Code::TimeInvalid, "/occurred_at"),
            "{time}"
        );
    }
    for value in ["", "null", "1772352898", "[]"] {
        let event = event(&[("occurred_at", value)]);
        assert_eq!(
            finding(&event),
            refused(Code::TimeInvalid, "/occurred_at"),
            "{value}"
        );
    }
}

#[test]
fn the_widest_offsets_and_a_leap_second_are_times() {
    let instant = |time: &str| note(&happened(time)).at.unwrap();
    assert_eq!(
        instant("2026-03-01T08:13:58+23:59"),
        at("2026-02-28T08:14:58Z")
    );
    assert_eq!(
        instant("2026-02-28T08:15:58-23:59"),
        at("2026-03-01T08:14:58Z")
    );
    assert_eq!(instant("2016-12-31T23:59:60Z"), at("2016-12-31T23:59:59Z"));
    assert_eq!(instant("2026-03-01t08:14:58z"), at("2026-03-01T08:14:58Z"));
}

#[test]
fn the_first_and_last_years_are_times_but_implausible_ones() {
    for time in [
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
    ] {
        assert_eq!(
            finding(&happened(time)),
            refused(Code::TimeImplausible, "/occurred_at"),
            "{time}"
        );
        assert_eq!(
            (note(&happened(time)).at, note(&happened(time)).day),
            (None, None),
            "{time}"
        );
    }
}

#[test]
fn plausible_is_from_2000_to_a_day_after_receipt() {
    let late = |after: i64| rfc3339(at(RECEIVED) + 24 * 3600 * SECOND + after);
    for time in [
        "2000-01-01T00:00:00Z",
        "2000-01-01T01:00:00+01:00",
        &late(0),
        &late(-1),
    ] {
        assert_eq!(finding(&happened(time)), ACCEPTED, "{time}");
    }
    for time in [
        "1999-12-31T23:59:59.999999Z",
        "2000-01-01T00:00:00+00:01",
        &late(1),
    ] {
        assert_eq!(
            finding(&happened(time)),
            refused(Code::TimeImplausible, "/occurred_at"),
            "{time}"
        );
    }
}

#[test]
fn a_fast_clock_is_moved_back_by_what_it_is_ahead() {
    let received = at(RECEIVED);
    let time = "2026-03-01T09:30:00+01:00";
    let effective = |sent_at: i64| sent(&rfc3339(sent_at), time).at.unwrap();
    assert_eq!(
        effective(received + 60 * SECOND),
        at(time),
        "a minute ahead is no fast clock"
    );
    assert_eq!(
        effective(received + 60 * SECOND + 1),
        at(time) - 60 * SECOND - 1
    );
    assert_eq!(
        effective(received + 3600 * SECOND),
        at(time) - 3600 * SECOND
    );
    let text = body(
        &[("sent_at", &quoted(&rfc3339(received + 3600 * SECOND)))],
        &[event(&[])],
    );
    let header = admitted(&text).header;
    assert_eq!(
        (header.skew, header.sent_at),
        (3600 * SECOND, rfc3339(received + 3600 * SECOND))
    );
}

#[test]
fn an_offline_clients_times_are_not_moved() {
    for sent_at in [
        "2025-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
    ] {
        let note = sent(sent_at, "2025-12-24T18:00:00+01:00");
        assert_eq!(note.at, Some(at("2025-12-24T17:00:00Z")), "{sent_at}");
    }
}

#[test]
fn what_is_plausible_goes_by_effective_time() {
    let note = sent("2026-03-11T08:15:03Z", "2026-03-11T08:00:00Z");
    assert_eq!(
        (note.code, note.at),
        (None, Some(at("2026-03-01T08:00:00Z")))
    );
    assert_eq!(
        sent("9999-12-01T00:00:00Z", RECEIVED).code,
        Some(Code::TimeImplausible)
    );
    // Later than any instant: still a time, and no reason to refuse the batch.
    assert_eq!(
        sent("9999-12-31T23:59:59-23:59", RECEIVED).code,
        Some(Code::TimeImplausible)
    );
}

/// The local day of an event at `time` from this `client`.
fn day(client: &str, time: &str) -> String {
    admitted(&body(&[("client", client)], &[happened(time)]))
        .header
        .events
        .remove(0)
        .day
        .expect("an event with a time has a day")
}

#[test]
fn the_local_day_is_the_client_zones() {
    let berlin = r#"{"time_zone":"Europe/Berlin"}"#;
    assert_eq!(day(berlin, "2026-02-27T23:30:00Z"), "2026-02-28");
    assert_eq!(
        day(berlin, "2025-07-01T22:30:00Z"),
        "2025-07-02",
        "summer time"
    );
    assert_eq!(day(berlin, "2026-02-27T23:30:00-10:00"), "2026-02-28");
    // Whatever else it holds is the client's own, and not read.
    assert_eq!(
        day(
            r#"{"x":[1e999],"time_zone":"Europe/Berlin"}"#,
            "2026-02-27T23:30:00Z"
        ),
        "2026-02-28"
    );
    assert_eq!(
        day(
            r#"{"time_zone":"Pacific/Kiritimati"}"#,
            "2026-02-27T10:00:00Z"
        ),
        "2026-02-28"
    );
}

#[test]
fn the_developers_zone_is_for_clients_that_name_none() {
    let found = |client: &str, setting: &str| {
        let body = body(
            &[("client", client)],
            &[happened("2026-02-27T23:30:00-03:00")],
        );
        let context = AdmissionContext {
            zone: Some(setting.to_owned()),
            ..context()
        };
        let admitted = admit_in(Format::Envelope, &[], body.as_bytes(), &context);
        let mut header = admitted.expect("an envelope").header;
        (header.events.remove(0).day.expect("a day"), header.zone)
    };
    let kiritimati = "Pacific/Kiritimati".to_owned();
    let honolulu = r#"{"time_zone":"Pacific/Honolulu"}"#;
    assert_eq!(
        found("", &kiritimati),
        ("2026-02-28".to_owned(), Some(kiritimati.clone()))
    );
    // The message says which zone it was, and only if it was the developer's.
    assert_eq!(
        found(honolulu, &kiritimati),
        ("2026-02-27".to_owned(), None)
    );
    // One that is not known counts as none, the client's and the developer's.
    assert_eq!(
        found(r#"{"time_zone":"Mars/Olympus"}"#, &kiritimati).1,
        Some(kiritimati)
    );
    assert_eq!(found("", "Mars/Olympus"), ("2026-02-27".to_owned(), None));
}

#[test]
fn without_a_known_zone_the_local_day_is_the_written_offsets() {
    let clients = [
        "",
        "{}",
        "null",
        "7",
        r#"["Europe/Berlin"]"#,
        r#"{"time_zone":"Mars/Olympus"}"#,
        r#"{"time_zone":""}"#,
        r#"{"time_zone":7}"#,
        r#"{"time_zone":"+01:00"}"#,
        r#"{"time_zone":"../etc/passwd"}"#,
        r#"{"time_zone":"Europe/Berlin\u0000"}"#,
    ];
    for client in clients {
        assert_eq!(
            day(client, "2026-02-27T23:30:00Z"),
            "2026-02-27",
            "{client}"
        );
        assert_eq!(
            day(client, "2026-02-27T23:30:00-05:00"),
            "2026-02-27",
            "{client}"
        );
        assert_eq!(
            day(client, "2026-02-28T00:30:00+14:00"),
            "2026-02-28",
            "{client}"
        );
    }
}

#[test]
fn the_local_day_goes_by_effective_time() {
    let note = sent("2026-03-02T08:15:03Z", "2026-03-02T00:30:00Z");
    assert_eq!(note.day.as_deref(), Some("2026-03-01"));
}

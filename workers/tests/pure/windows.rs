//! Metrics by example: pauses, zones, midnights, and what a job writes.

use serde_json::{Value, json};
use store::{Computed, PartialRow, StoredEvent};
use workers::aggregate::{self, Error};

use crate::build::{at, bodies, computed, days_of, event, metrics, rows, snapshot};

fn edit(id: &str, occurred_at: &str, language: &str) -> StoredEvent {
    event(
        id,
        "file.edited",
        occurred_at,
        None,
        &json!({"path": "a", "language": language, "lines_added": 2}),
    )
}

#[test]
fn a_pause_counts_up_to_15_minutes_for_the_language_before() {
    let days = metrics(&[
        edit("a", "2026-03-01T09:50:00Z", "rust"),
        edit("b", "2026-03-01T10:05:00Z", "go"),
        edit("c", "2026-03-01T10:20:00.000001Z", "go"),
        edit("d", "2026-03-01T10:20:30.000001Z", "rust"),
    ]);
    let day = &days["2026-03-01"];
    assert_eq!(
        (&day["active_seconds"], &day["active_minutes"]),
        (&json!(930), &json!(15))
    );
    let expected = json!([{"name": "rust", "seconds": 900, "commits": 0}, {"name": "go", "seconds": 30, "commits": 0}]);
    assert_eq!(
        (&day["languages"], &day["projects"][0]["name"]),
        (&expected, &json!("unknown"))
    );
    assert_eq!((&day["edits"], &day["lines_added"]), (&json!(4), &json!(8)));
    assert_eq!(day["first_at"], "2026-03-01T09:50:00.000000Z");
    assert_eq!(day["last_at"], "2026-03-01T10:20:30.000001Z");
}

#[test]
fn each_metric_counts_its_events() {
    let on =
        |id: &str, kind: &str, data: Value| event(id, kind, "2026-03-01T10:00:00Z", None, &data);
    let day = &metrics(&[
        on("1", "file.saved", json!({"path": "a"})),
        on("2", "heartbeat", json!({"entity": "a", "is_write": true})),
        on("3", "heartbeat", json!({"entity": "a"})),
        on(
            "4",
            "git.commit",
            json!({"commit": "c", "lines_added": 5, "lines_removed": 7}),
        ),
        on("5", "build.finished", json!({"outcome": "succeeded"})),
        on("6", "build.finished", json!({"outcome": "failed"})),
        on(
            "7",
            "test.finished",
            json!({"outcome": "failed", "passed": 9, "failed": 1, "skipped": 2}),
        ),
        on("8", "terminal.command", json!({"command": "make"})),
    ])["2026-03-01"];
    assert_eq!(
        (&day["events"], &day["saves"], &day["commits"]),
        (&json!(8), &json!(2), &json!(1))
    );
    assert_eq!(day["commands"], 1);
    assert_eq!(
        (&day["commit_lines_added"], &day["commit_lines_removed"]),
        (&json!(5), &json!(7))
    );
    assert_eq!(day["lines_added"], 0, "lines of commits are counted apart");
    assert_eq!(day["builds"], json!({"failed": 1, "succeeded": 1}));
    assert_eq!(day["test_runs"], json!({"failed": 1}));
    assert_eq!(
        day["tests"],
        json!({"passed": 9, "failed": 1, "skipped": 2, "flaky": 0})
    );
    assert_eq!(day["events_by_type"]["heartbeat"], 2);
    assert_eq!(day["active_seconds"], 0, "no time passed");
}

#[test]
fn a_commit_is_in_the_languages_of_its_paths() {
    let commit = |id: &str, occurred_at: &str, data: Value| {
        let mut data = data;
        data["commit"] = id.into();
        data["project"] = "demo".into();
        event(id, "git.commit", occurred_at, None, &data)
    };
    let paths = |paths: &[&str]| json!({"paths": paths});
    let days = metrics(&[
        commit(
            "a",
            "2026-03-01T10:00:00Z",
            paths(&["src/a.rs", "b.rs", "q.sql", "LICENSE"]),
        ),
        // As many of each: the first by name.
        commit("b", "2026-03-01T10:05:00Z", paths(&["q.sql", "main.go"])),
        // Nothing known, such as a merge.
        commit("c", "2026-03-01T10:06:00Z", paths(&[])),
        commit(
            "d",
            "2026-03-01T10:08:00Z",
            json!({"language": "C", "paths": ["a.rs"]}),
        ),
        commit("e", "2026-03-01T12:00:00Z", paths(&["q.sql"])),
    ]);
    let share = |name: &str, seconds: u64, commits: u64| json!({"name": name, "seconds": seconds, "commits": commits});
    let expected = [
        share("rust", 300, 1),
        share("unknown", 120, 0),
        share("go", 60, 1),
        share("sql", 0, 3),
        share("c", 0, 1),
    ];
    assert_eq!(days["2026-03-01"]["languages"], json!(expected));
    assert_eq!(
        days["2026-03-01"]["projects"],
        json!([{"name": "demo", "key": "demo", "seconds": 480, "commits": 5}])
    );
}

#[test]
fn local_midnight_inside_an_hour_divides_it() {
    // Kathmandu is 5:45 ahead: its midnight is 18:15 UTC.
    let zone = Some("Asia/Kathmandu");
    let on = |id: &str, time: &str| event(id, "editor.focused", time, zone, &json!({}));
    let events = [
        on("a", "2026-03-01T18:10:00Z"),
        on("b", "2026-03-01T18:14:00Z"),
        on("c", "2026-03-01T18:16:00Z"),
    ];
    let (partials, days) = computed(&days_of(&events), &snapshot(&events, &[], &[]));
    assert_eq!(
        (partials.len(), days.len()),
        (1, 2),
        "one UTC hour, two local days"
    );
    let days = bodies(&days);
    assert_eq!(
        (&days["2026-03-01"]["events"], &days["2026-03-02"]["events"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        days["2026-03-01"]["active_seconds"], 240,
        "no time is active across midnight"
    );
}

#[test]
fn the_day_a_clock_is_set_back_has_an_hour_more() {
    let on = |id: &str, time: &str| {
        event(
            id,
            "editor.focused",
            time,
            Some("Europe/Berlin"),
            &json!({}),
        )
    };
    // 02:55 summer time, then 02:05 winter time: ten minutes later, one local day.
    let events = [
        on("a", "2025-10-26T00:55:00Z"),
        on("b", "2025-10-26T01:05:00Z"),
        on("c", "2025-10-26T22:59:00Z"),
    ];
    let days = metrics(&events);
    assert_eq!(
        (days.len(), &days["2025-10-26"]["active_seconds"]),
        (1, &json!(600))
    );
}

#[test]
fn hours_before_1970_are_hours() {
    let events = [
        edit("a", "1969-12-31T23:59:00Z", "c"),
        edit("b", "1969-12-31T22:59:30Z", "c"),
    ];
    let (partials, days) = computed(&days_of(&events), &snapshot(&events, &[], &[]));
    assert_eq!(
        partials.iter().map(|row| row.hour).collect::<Vec<_>>(),
        [-2, -1]
    );
    assert_eq!(bodies(&days)["1969-12-31"]["events"], 2);
}

#[test]
fn only_stale_hours_get_a_partial() {
    let events = [
        edit("a", "2026-03-01T10:00:00Z", "c"),
        edit("b", "2026-03-01T11:00:00Z", "c"),
    ];
    let days = days_of(&events);
    let (partials, before) = computed(&days, &snapshot(&events, &[], &[]));
    let (none, again) = computed(&days, &snapshot(&events, &partials, &[]));
    assert_eq!((none.len(), &again), (0, &before), "nothing changed");

    // `b` moved to another day: its old hour has a new generation and no event.
    let moved = [events[0].clone(), edit("b", "2026-03-05T11:00:00Z", "c")];
    let hour = partials[1].hour;
    let touched = [
        "2026-03-01".to_owned(),
        "2026-03-05".to_owned(),
        "2026-03-09".to_owned(),
    ]
    .into();
    let (changed, after) = computed(&touched, &snapshot(&moved, &partials, &[(hour, 2)]));
    assert_eq!(
        changed.iter().map(|row| row.hour).collect::<Vec<_>>(),
        [hour, hour + 96]
    );
    assert_eq!(
        (
            changed[0].computed.generation,
            changed[0].computed.body.as_str()
        ),
        (2, "{}")
    );
    assert_eq!(
        after
            .iter()
            .map(|row| row.computed.generation)
            .collect::<Vec<_>>(),
        [3, 1, 0]
    );
    let bodies = bodies(&after);
    assert_eq!(
        (
            &bodies["2026-03-01"]["events"],
            &bodies["2026-03-09"]["events"]
        ),
        (&json!(1), &json!(0))
    );
    assert_eq!(bodies["2026-03-09"]["first_at"], Value::Null);
}

#[test]
fn an_unusable_partial_is_recomputed_from_all_events() {
    let events = [edit("a", "2026-03-01T10:00:00Z", "c")];
    let days = days_of(&events);
    let hour = at("2026-03-01T10:00:00Z") / 3_600_000_000;
    let stored = |version: i32, body: &str| PartialRow {
        developer: "ada".to_owned(),
        hour,
        computed: Computed {
            generation: 1,
            version,
            body: body.to_owned(),
        },
    };
    let now = aggregate::VERSION;
    for (version, body) in [
        (now, "{"),
        (now, r#"{"2026-03-01":{}}"#),
        (now, "[]"),
        (now + 1, "{}"),
    ] {
        let mut found = snapshot(&events, &[stored(version, body)], &[]);
        let refused = aggregate::windows("ada", &days, &found).unwrap_err();
        assert!(
            matches!(refused, Error::Unreadable { hour: named, .. } if named == hour),
            "{refused}"
        );
        found.events = events.to_vec();
        let (_, healed) = rows(aggregate::windows_from_events("ada", &days, &found).unwrap());
        assert_eq!(bodies(&healed)["2026-03-01"]["events"], 1);
    }
}

#[test]
fn a_snapshot_that_contradicts_itself_is_an_error() {
    let events = [edit("a", "2026-03-01T10:00:00Z", "c")];
    let mut found = snapshot(&events, &[], &[]);
    found.hours.clear();
    let refused = aggregate::windows("ada", &days_of(&events), &found).unwrap_err();
    assert!(matches!(refused, Error::NoHour { .. }), "{refused}");
    let bad = ["someday".to_owned()].into();
    assert!(matches!(
        aggregate::windows("ada", &bad, &snapshot(&[], &[], &[])),
        Err(Error::DayMetrics(_))
    ));
}

#[test]
fn sums_end_at_the_largest_integer_of_json() {
    let huge = json!({"path": "a", "lines_added": 9_007_199_254_740_991_u64});
    let on = |id: &str| event(id, "file.edited", "2026-03-01T10:00:00Z", None, &huge);
    assert_eq!(
        metrics(&[on("a"), on("b")])["2026-03-01"]["lines_added"],
        9_007_199_254_740_991_u64
    );
}

//! Metrics by example: pauses, zones, midnights, and what a job writes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use store::{Computed, ComputedAt, DayComputedAt, DayRow, Partial, StoredEvent};
use workers::aggregate::{self, Candidates, IdleTimeout, InvalidDate};

use crate::build::{Found, HOUR, MINUTE, at, bodies, computed, days_of, event, found, metrics};

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
        edit("c", "2026-03-01T10:20:00.001Z", "go"),
        edit("d", "2026-03-01T10:20:30.001Z", "rust"),
    ]);
    let day = &days["2026-03-01"];
    assert_eq!(
        (&day["active_seconds"], &day["active_minutes"]),
        (&json!(930), &json!(15))
    );
    let expected = json!([
        {"name": "rust", "seconds": 900, "ms": 900_000, "commits": 0},
        {"name": "go", "seconds": 30, "ms": 30_000, "commits": 0}
    ]);
    assert_eq!(
        (&day["languages"], &day["projects"][0]["name"]),
        (&expected, &json!("unknown"))
    );
    assert_eq!((&day["edits"], &day["lines_added"]), (&json!(4), &json!(8)));
    assert_eq!(day["first_at"], "2026-03-01T09:50:00.000000Z");
    assert_eq!(day["last_at"], "2026-03-01T10:20:30.001000Z");
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
    let share = |name: &str, seconds: u64, commits: u64| {
        let ms = 1000 * seconds;
        json!({"name": name, "seconds": seconds, "ms": ms, "commits": commits})
    };
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
        json!([{"name": "demo", "key": "demo", "seconds": 480, "ms": 480_000, "commits": 5}])
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
    let (partials, days) = computed(&days_of(&events), &found(&events));
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
    // From 18:14 to 18:15 it is still the first day.
    assert_eq!(days["2026-03-01"]["active_seconds"], 300);
    assert_eq!(days["2026-03-02"]["active_seconds"], 60);
    assert_eq!(
        days["2026-03-01"]["sessions"], 1,
        "counted on the day it began"
    );
    assert_eq!(days["2026-03-01"]["longest_session_seconds"], 360);
    assert_eq!(days["2026-03-02"]["sessions"], 0);
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
    let (partials, days) = computed(&days_of(&events), &found(&events));
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
    let mut there = found(&events);
    let (partials, before) = computed(&days, &there);
    there.keep(&partials);
    let (none, again) = computed(&days, &there);
    assert_eq!((none.len(), &again), (0, &before), "nothing changed");

    // `b` moved to another day: its old hour has a new generation and no event.
    there.supersede(&edit("b", "2026-03-05T11:00:00Z", "c"));
    let hour = partials[1].hour;
    let touched = [
        "2026-03-01".to_owned(),
        "2026-03-05".to_owned(),
        "2026-03-09".to_owned(),
    ]
    .into();
    let (changed, after) = computed(&touched, &there);
    assert_eq!(
        changed.iter().map(|row| row.hour).collect::<Vec<_>>(),
        [hour, hour + 96]
    );
    assert_eq!(
        (
            changed[0].computed.generation,
            changed[0].computed.body.as_str()
        ),
        (2, "[]")
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

/// Jobs of days that are apart read some hours for each other: a day is computed though its hours are up to date.
#[test]
fn a_day_is_computed_though_another_ones_job_read_its_hours() {
    let of = |id: &str, occurred_at: &str| edit(id, occurred_at, "c");
    let friday = of("friday", "2026-03-06T00:05:00Z");
    let (monday, thursday) = (
        of("monday", "2026-03-02T10:00:00Z"),
        of("thursday", "2026-03-05T23:55:00Z"),
    );
    let mut there = Found::empty();
    let job = |there: &mut Found, event: &StoredEvent| {
        let (partials, days) = computed(&days_of(std::slice::from_ref(event)), there);
        there.keep(&partials);
        there.keep_days(&days);
    };
    there.store(std::slice::from_ref(&friday));
    job(&mut there, &friday);
    there.store(&[monday.clone(), thursday.clone()]);
    job(&mut there, &monday);
    job(&mut there, &thursday);
    let body: Value = serde_json::from_str(&there.days["2026-03-06"].computed.body).unwrap();
    assert_eq!(body["active_seconds"], 300, "from midnight on");
}

/// The events that a job reads, in minutes of the hour.
fn read_minutes(there: &Found, days: &BTreeSet<String>) -> Vec<i64> {
    let (_, events) = there.read(days);
    let minute = |event: &StoredEvent| event.effective_at.rem_euclid(HOUR) / MINUTE;
    let mut minutes: Vec<i64> = events.iter().map(minute).collect();
    minutes.sort_unstable();
    minutes
}

/// A job reads what is new, not what the hour holds.
#[test]
fn of_an_hour_only_what_changed_is_read_again() {
    let minute = |minute: i64| {
        edit(
            &format!("e{minute:02}"),
            &format!("2026-03-01T10:{minute:02}:00Z"),
            "c",
        )
    };
    let events: Vec<StoredEvent> = (0..20).map(|n| minute(2 * n)).collect();
    let mut there = found(&events);
    let days = days_of(&events);
    let keep = |there: &mut Found| {
        let (partials, rows) = computed(&days, there);
        there.keep(&partials);
        rows
    };
    keep(&mut there);
    assert_eq!(read_minutes(&there, &days), [0; 0], "nothing changed");

    there.store(&[minute(50), minute(55)]);
    assert_eq!(
        read_minutes(&there, &days),
        [50, 55],
        "what came at the end"
    );
    keep(&mut there);
    there.store(&[minute(9)]);
    assert_eq!(
        read_minutes(&there, &days),
        [8, 9, 10, 12, 14],
        "the segment that a late event falls in"
    );
    keep(&mut there);
    there.forget("e30");
    let left = read_minutes(&there, &days);
    assert!(left.len() <= 5 && left.contains(&28), "{left:?}");
    let rows = keep(&mut there);
    assert_eq!(
        rows,
        computed(&days, &found(&there.events))
            .1
            .into_iter()
            .map(|row| DayRow {
                computed: Computed {
                    generation: rows[0].computed.generation,
                    ..row.computed
                },
                ..row
            })
            .collect::<Vec<_>>()
    );
}

/// What cannot be used is named, and made anew from all events of its hour.
#[test]
fn an_unusable_partial_is_recomputed_from_all_events() {
    let events = [edit("a", "2026-03-01T10:00:00Z", "c")];
    let days = days_of(&events);
    let hour = at("2026-03-01T10:00:00Z") / 3_600_000_000;
    let now = aggregate::VERSION;
    for (generation, version, body) in [
        (1, now, "{"),
        (1, now, r#"[{"first":0}]"#),
        (1, now, "{}"),
        (1, now + 1, "[]"),
        // Nothing tells what changed since.
        (0, now, "[]"),
    ] {
        let mut there = found(&events);
        let kept = Partial {
            computed: Computed {
                generation,
                version,
                body: body.to_owned(),
            },
            made_with: there.maker().made_with,
        };
        let stored = there.hours.get_mut(&hour).expect("its hour");
        stored.partial = Some(kept);
        stored.changes.clear();
        let (reads, _) = there.read(&days);
        let unusable: Vec<i64> = reads.hours.unusable.iter().map(|(at, _)| *at).collect();
        assert_eq!(unusable, [hour], "{body}");
        let (_, healed) = computed(&days, &there);
        assert_eq!(bodies(&healed)["2026-03-01"]["events"], 1);
    }
}

#[test]
fn a_snapshot_that_contradicts_itself_is_an_error() {
    let events = [edit("a", "2026-03-01T10:00:00Z", "c")];
    let mut there = found(&events);
    let (_, all) = there.read(&days_of(&events));
    there.hours.clear();
    let (reads, _) = there.read(&days_of(&events));
    let refused =
        aggregate::windows("ada", reads, all, IdleTimeout::DEFAULT, &there.maker()).unwrap_err();
    assert_eq!(refused.event, "a");
    let bad = ["someday".to_owned()].into();
    assert_eq!(
        Candidates::of(bad).unwrap_err(),
        InvalidDate("someday".to_owned())
    );
}

/// A day that stands at its generation is passed over, and its hours with it.
#[test]
fn a_day_that_did_not_move_is_not_computed_again() {
    let events = [edit("a", "2026-03-01T10:00:00Z", "c")];
    let there = found(&events);
    let days = Candidates::of(days_of(&events)).unwrap();
    let plan = |generation, version, idle_ms| {
        let at = DayComputedAt {
            at: ComputedAt {
                generation,
                version,
            },
            idle_ms,
        };
        let computed = [("2026-03-01".to_owned(), at)].into();
        let plan = aggregate::plan(
            &days,
            &computed,
            there.hours.clone(),
            &there.maker(),
            there.timeout,
        );
        let is_planned = plan.plan.days.iter().any(|read| read.day == "2026-03-01");
        (is_planned, plan.spans.len())
    };
    let now = aggregate::VERSION;
    assert!(!plan(1, now, 900_000).0);
    for moved in [
        plan(0, now, 900_000),
        plan(1, now - 1, 900_000),
        plan(1, now, 60_000),
    ] {
        assert_eq!(moved, (true, 1));
    }
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

//! Laws of the aggregator, for any events: the oracle agrees, and no way of getting there matters.

use jiff::tz::Offset;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use store::{DayRow, StoredEvent};
use types::query::Why;
use types::time::{self, Micros, SECOND};
use workers::aggregate::{self, IdleTimeout, explain};

use crate::build::{Found, HOUR, MINUTE, at, bodies, computed, days_of, event, found};
use crate::oracle;

/// Instants at which something happens to the day: DST changes, new year, 1970.
const AROUND: &[&str] = &[
    "2025-10-26T00:30:00Z",
    "2026-03-29T00:30:00Z",
    "2026-09-26T13:50:00Z",
    "2026-03-08T09:30:00Z",
    "1970-01-01T00:00:00Z",
    "2025-12-31T23:30:00Z",
    "2011-12-30T09:00:00Z",
];

/// Zones with odd offsets (:30, :45), with and without DST, and one that skipped a day; or none.
const ZONES: &[Option<&str>] = &[
    None,
    Some("Europe/Berlin"),
    Some("America/New_York"),
    Some("Asia/Kolkata"),
    Some("Asia/Kathmandu"),
    Some("Australia/Lord_Howe"),
    Some("Pacific/Apia"),
    Some("Pacific/Chatham"),
    Some("Mars/Olympus"),
];

const OFFSETS: &[&str] = &["Z", "+05:30", "-03:30", "+23:59", "-23:59", "+00:15"];

/// Times meet often: multiples of some steps, and seldom a microsecond off.
fn offsets() -> impl Strategy<Value = Micros> {
    let steps = select(vec![
        SECOND,
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        HOUR,
        4 * HOUR,
    ]);
    (steps, -40_i64..40, select(vec![0, 0, 0, 1, -1]))
        .prop_map(|(step, times, off)| step * times + off)
}

fn data() -> impl Strategy<Value = (&'static str, Value)> {
    let language = select(vec![
        Some("Rust"),
        Some("rs"),
        Some("go"),
        Some("unknown"),
        Some("<<LAST_LANGUAGE>>"),
        Some("<<LAST_LANGUAGE>>"),
        None,
    ]);
    let project = select(vec![
        Some("My App"),
        Some("my-app"),
        Some("MY_APP"),
        Some("Caf\u{e9}"),
        Some("CAFE\u{301}"),
        Some("other"),
        Some("<<LAST_PROJECT>>"),
        Some("<<LAST_PROJECT>>"),
        None,
    ]);
    let kind = select(vec![
        "file.edited",
        "file.saved",
        "heartbeat",
        "git.commit",
        "terminal.command",
        "build.finished",
        "test.finished",
        "debug.ended",
        "git.push",
        "git.branch_switched",
        "ai.suggestion",
    ]);
    (kind, language, project, 0..50_u64, any::<bool>()).prop_map(
        |(kind, language, project, number, flag)| {
            let mut data = json!({
                "lines_added": number, "lines_removed": 50 - number, "is_write": flag,
                "chars_added": number * 9, "chars_removed": number, "duration_ms": number * 100,
                "branch": (["main", "<<LAST_BRANCH>>", "fix", ""][number as usize % 4]),
                "editor": (["vim", "VS Code"][number as usize / 2 % 2]),
                "category": (["", "Debugging"][number as usize / 4 % 2]),
            });
            let more = match kind {
                "build.finished" => {
                    json!({"outcome": if flag { "succeeded" } else { "cancelled" }})
                }
                "test.finished" => {
                    json!({"outcome": "passed", "passed": number, "failed": 1, "skipped": 2})
                }
                "git.commit" => {
                    let paths = ["a.rs", "b.rs", "c.go", "d.go", "LICENSE", "e.py", "f.sql"];
                    json!({"commit": "c", "paths": paths[number as usize % 7..]})
                }
                "terminal.command" => json!({"command": "make"}),
                "ai.suggestion" => {
                    let outcomes = ["shown", "accepted", "rejected", "edited"];
                    json!({"outcome": outcomes[number as usize % 4], "lines": number, "chars": 8 * number})
                }
                "heartbeat" if flag => json!({"entity": (["", " ", "<<LAST_ENTITY>>"][number as usize % 3])}),
                _ => json!({"path": format!("src/{}.py", number % 5), "entity": "a"}),
            };
            for (name, value) in more.as_object().into_iter().flatten() {
                data[name] = value.clone();
            }
            for (name, value) in [("language", language), ("project", project)] {
                if let Some(value) = value {
                    data[name] = value.into();
                }
            }
            (kind, data)
        },
    )
}

/// Events around one instant, in zones and offsets of all kinds, with distinct ids in no order.
fn events() -> impl Strategy<Value = Vec<StoredEvent>> {
    let one = (
        offsets(),
        select(ZONES),
        select(OFFSETS),
        data(),
        any::<u16>(),
    );
    (select(AROUND), vec(one, 0..40)).prop_map(|(around, drawn)| {
        let make = |(number, (after, zone, offset, (kind, data), id)): (
            usize,
            (_, _, &str, (&str, Value), u16),
        )| {
            let mut made = event(
                &format!("{id:x}-{number}"),
                kind,
                &format!("2000-01-01T00:00:00{offset}"),
                zone,
                &data,
            );
            made.effective_at = at(around) + after;
            let written = time::parse_rfc3339(&format!("2000-01-01T00:00:00{offset}"))
                .expect("a time")
                .offset;
            made.local_day = time::local_day(
                made.effective_at,
                zone.and_then(time::zone).as_ref(),
                written,
            );
            made
        };
        drawn.into_iter().enumerate().map(make).collect()
    })
}

/// The same events in two orders.
fn twice() -> impl Strategy<Value = (Vec<StoredEvent>, Vec<StoredEvent>)> {
    events().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
}

/// What happens to the store, one after the other.
#[derive(Debug, Clone)]
enum Happens {
    /// A batch of some of the events is stored.
    Stored(usize),
    /// A job of the days of all events so far is computed, and finished later or never.
    Computed,
    /// A computed job is finished: the first or the last of those that wait.
    Finished(bool),
    /// An earlier submission of an event came: it is at another time now.
    Moved(Index, Micros),
    Forgotten(Index),
    /// The developer sets another timeout, in ms.
    Timeout(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (1_usize..8).prop_map(Happens::Stored),
        3 => Just(Happens::Computed),
        3 => any::<bool>().prop_map(Happens::Finished),
        1 => (any::<Index>(), offsets()).prop_map(|(which, after)| Happens::Moved(which, after)),
        1 => any::<Index>().prop_map(Happens::Forgotten),
        1 => select(vec![60_000, 300_000, 900_000, 3_600_000]).prop_map(Happens::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_metrics_are_what_the_oracle_counts(events in events()) {
        let (_, days) = computed(&days_of(&events), &found(&events));
        for (day, body) in bodies(&days) {
            prop_assert_eq!(body, oracle::day(&day, &events), "{}", day);
        }
    }

    /// docs/decisions/0012-an-hour-knows-what-changed.md: partials that were kept, appended to and read again in parts
    /// give what all events at once give, in whatever order the jobs end.
    #[test]
    fn whatever_happened_to_the_hours_the_days_are_those_of_all_events(
        events in events(),
        happened in vec(happens(), 0..24),
        segment in 1_usize..6,
    ) {
        let mut there = Found { segment, ..Found::empty() };
        let mut rest = events.as_slice();
        // A job for each batch, of the days that it touched.
        let mut touched = Vec::new();
        let mut computed_jobs = Vec::new();
        let finish = |there: &mut Found, (partials, days): (Vec<_>, Vec<_>)| {
            there.keep(&partials);
            there.keep_days(&days);
        };
        for happens in happened.into_iter().chain([Happens::Stored(usize::MAX)]) {
            match happens {
                Happens::Stored(count) => {
                    let (now, later) = rest.split_at(count.min(rest.len()));
                    there.store(now);
                    touched.push(days_of(now));
                    rest = later;
                }
                Happens::Computed => {
                    computed_jobs.extend(touched.drain(..).map(|days| computed(&days, &there)));
                }
                Happens::Finished(first) if !computed_jobs.is_empty() => {
                    let place = if first { 0 } else { computed_jobs.len() - 1 };
                    let job = computed_jobs.remove(place);
                    finish(&mut there, job);
                }
                Happens::Moved(which, after) if !there.events.is_empty() => {
                    let there_before = which.get(&there.events).clone();
                    let mut moved = there_before.clone();
                    moved.effective_at += after;
                    let zone = time::zone_of(moved.client.as_deref(), None);
                    moved.local_day = time::local_day(moved.effective_at, zone.as_ref(), Offset::UTC);
                    there.supersede(&moved);
                    touched.push([there_before.local_day, moved.local_day].into());
                }
                Happens::Forgotten(which) if !there.events.is_empty() => {
                    let gone = which.get(&there.events).clone();
                    there.forget(&gone.id);
                    touched.push([gone.local_day].into());
                }
                Happens::Timeout(ms) => {
                    there.timeout = IdleTimeout { ms };
                    // As the sweep does: every day is computed again.
                    touched.extend(there.days.keys().map(|day| [day.clone()].into()));
                    touched.push(days_of(&there.events));
                }
                Happens::Moved(..) | Happens::Forgotten(_) | Happens::Finished(_) => {}
            }
        }
        for days in touched {
            computed_jobs.push(computed(&days, &there));
            let job = computed_jobs.remove(computed_jobs.len() - 1);
            finish(&mut there, job);
        }
        // Those that were computed earlier come last: they are too late.
        for job in computed_jobs {
            finish(&mut there, job);
        }
        // The sweep: a job that began before the timeout changed may have ended after all others.
        let others: Vec<String> = there
            .days
            .values()
            .filter(|row| row.idle_ms != there.timeout.ms)
            .map(|row| row.day.clone())
            .collect();
        for day in others {
            let job = computed(&[day].into(), &there);
            finish(&mut there, job);
        }
        for (day, row) in &there.days {
            let body: Value = serde_json::from_str(&row.computed.body).expect("JSON");
            prop_assert_eq!(body, oracle::day_with(day, &there.events, there.timeout.ms), "{}", day);
        }
        for day in days_of(&there.events) {
            prop_assert!(there.days.contains_key(&day), "{} has no row", day);
        }
    }

    #[test]
    fn what_is_explained_adds_up_to_the_metric(events in events(), idle in select(vec![60_000, 900_000, 3_600_000])) {
        let there = Found { timeout: IdleTimeout { ms: idle }, ..found(&events) };
        for (day, body) in bodies(&computed(&days_of(&events), &there).1) {
            let range = aggregate::look_back(&day).expect("a day");
            let near = |event: &&StoredEvent| (range.first..=range.last).contains(&time::utc_hour(event.effective_at));
            let explained = explain(&day, events.iter().filter(near).cloned().collect(), idle);
            prop_assert_eq!(&body["active_ms"], &json!(explained.active_ms));
            let parts: i64 = explained.parts.iter().map(|part| part.counted_ms).sum();
            prop_assert_eq!(parts, explained.active_ms);
            for part in &explained.parts {
                prop_assert!(part.why != Why::LongerThanTimeout || part.counted_ms == 0);
            }
            for project in body["projects"].as_array().expect("a list") {
                let of_project = explained.parts.iter().filter(|part| {
                    part.place.as_ref().is_some_and(|place| place.project == project["key"])
                });
                let ms: i64 = of_project.map(|part| part.counted_ms).sum();
                prop_assert_eq!(&project["ms"], &json!(ms));
            }
        }
    }

    #[test]
    fn one_day_alone_is_the_same_as_all_at_once(events in events(), which in any::<Index>()) {
        prop_assume!(!events.is_empty());
        let days = days_of(&events);
        let day = days.iter().nth(which.index(days.len())).expect("within").clone();
        let (_, alone) = computed(&[day.clone()].into(), &found(&events));
        let (_, all) = computed(&days, &found(&events));
        let of_day = |rows: &[DayRow]| rows.iter().find(|row| row.day == day).cloned();
        prop_assert_eq!(of_day(&alone), of_day(&all));
    }

    #[test]
    fn the_order_of_arrival_is_irrelevant((one, other) in twice()) {
        let days = days_of(&one);
        prop_assert_eq!(computed(&days, &found(&one)).1, computed(&days, &found(&other)).1);
    }
}

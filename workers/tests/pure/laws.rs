//! Laws of the aggregator, for any events: the oracle agrees, and no way of getting there matters.

use jiff::tz::Offset;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use store::StoredEvent;
use types::time::{self, Micros, SECOND};
use workers::aggregate::Part;
use workers::normalize::CountedEvent;

use crate::build::{Found, HOUR, MINUTE, at, bodies, computed, days_of, event, found};
use crate::oracle;

/// Instants at which something happens to the day: DST changes, new year, 1970.
const AROUND: &[&str] = &[
    "2025-10-26T00:30:00Z",
    "2026-03-29T00:30:00Z",
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
    Some("Mars/Olympus"),
];

const OFFSETS: &[&str] = &["Z", "+05:30", "-03:30", "+23:59", "-23:59", "+00:15"];

/// Times meet often: multiples of some steps, and seldom a microsecond off.
fn offsets() -> impl Strategy<Value = Micros> {
    let steps = select(vec![SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR]);
    (steps, -40_i64..40, select(vec![0, 0, 0, 1, -1]))
        .prop_map(|(step, times, off)| step * times + off)
}

fn data() -> impl Strategy<Value = (&'static str, Value)> {
    let language = select(vec![
        Some("Rust"),
        Some("rs"),
        Some("go"),
        Some("unknown"),
        None,
    ]);
    let project = select(vec![
        Some("My App"),
        Some("my-app"),
        Some("MY_APP"),
        Some("Caf\u{e9}"),
        Some("CAFE\u{301}"),
        Some("other"),
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
    ]);
    (kind, language, project, 0..50_u64, any::<bool>()).prop_map(
        |(kind, language, project, number, flag)| {
            let mut data =
                json!({"lines_added": number, "lines_removed": 50 - number, "is_write": flag});
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
                _ => json!({"path": "src/a.py", "entity": "a"}),
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
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (1_usize..8).prop_map(Happens::Stored),
        3 => Just(Happens::Computed),
        3 => any::<bool>().prop_map(Happens::Finished),
        1 => (any::<Index>(), offsets()).prop_map(|(which, after)| Happens::Moved(which, after)),
        1 => any::<Index>().prop_map(Happens::Forgotten),
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
        let mut days = days_of(&events);
        let mut computed_jobs = Vec::new();
        for happens in happened.into_iter().chain([Happens::Stored(usize::MAX)]) {
            match happens {
                Happens::Stored(count) => {
                    let (now, later) = rest.split_at(count.min(rest.len()));
                    there.store(now);
                    rest = later;
                }
                Happens::Computed => computed_jobs.push(computed(&days, &there).0),
                Happens::Finished(first) if !computed_jobs.is_empty() => {
                    let place = if first { 0 } else { computed_jobs.len() - 1 };
                    there.keep(&computed_jobs.remove(place));
                }
                Happens::Moved(which, after) if !there.events.is_empty() => {
                    let mut moved = which.get(&there.events).clone();
                    moved.effective_at += after;
                    moved.local_day = time::local_day(moved.effective_at, None, Offset::UTC);
                    there.supersede(&moved);
                    days.insert(moved.local_day);
                }
                Happens::Forgotten(which) if !there.events.is_empty() => {
                    let id = which.get(&there.events).id.clone();
                    there.forget(&id);
                }
                Happens::Moved(..) | Happens::Forgotten(_) | Happens::Finished(_) => {}
            }
        }
        let (_, rows) = computed(&days, &there);
        let (_, fresh) = computed(&days, &found(&there.events));
        prop_assert_eq!(bodies(&rows), bodies(&fresh));
        for (day, body) in bodies(&rows) {
            prop_assert_eq!(body, oracle::day(&day, &there.events), "{}", day);
        }
    }

    #[test]
    fn one_day_alone_is_the_same_as_all_at_once(events in events(), which in any::<Index>()) {
        prop_assume!(!events.is_empty());
        let days = days_of(&events);
        let day = days.iter().nth(which.index(days.len())).expect("within").clone();
        let (_, alone) = computed(&[day.clone()].into(), &found(&events));
        let (_, all) = computed(&days, &found(&events));
        prop_assert_eq!(alone.first(), all.iter().find(|row| row.day == day));
    }

    #[test]
    fn the_order_of_arrival_is_irrelevant((one, other) in twice()) {
        let days = days_of(&one);
        prop_assert_eq!(computed(&days, &found(&one)).1, computed(&days, &found(&other)).1);
    }

    #[test]
    fn folding_is_associative_and_empty_parts_do_nothing(
        events in events(),
        cuts in (any::<Index>(), any::<Index>()),
    ) {
        let mut sorted: Vec<&StoredEvent> = events.iter().collect();
        sorted.sort_by_key(|event| (event.effective_at, &event.id));
        let parts: Vec<Part> = sorted.iter().map(|event| Part::of(&CountedEvent::of(event))).collect();
        let one = cuts.0.index(parts.len() + 1);
        let other = cuts.1.index(parts.len() + 1);
        let first = one.min(other);
        let second = one.max(other);
        let fold = |range: std::ops::Range<usize>| Part::fold(&parts[range]);
        let groups = [fold(0..first), Part::default(), fold(first..second), fold(second..parts.len())];
        let mut right = groups[2].clone();
        right.append(&groups[3]);
        prop_assert_eq!(&Part::fold(&groups), &Part::fold(&parts));
        prop_assert_eq!(&Part::fold([&groups[0], &right]), &Part::fold(&parts));
        let text = serde_json::to_string(&groups[2]).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Part>(&text).expect("a part"), &groups[2]);
    }
}

//! Laws of the aggregator, for any events: the oracle agrees, and no way of getting there matters.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use store::{PartialRow, StoredEvent};
use types::time::{self, Micros, SECOND};
use workers::aggregate::{self, Part};
use workers::normalize::normalize;

use crate::build::{HOUR, MINUTE, at, bodies, computed, days_of, event, snapshot};
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

/// The partials of another, earlier computation.
fn partials_of(events: &[StoredEvent]) -> Vec<PartialRow> {
    computed(&days_of(events), &snapshot(events, &[], &[])).0
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_metrics_are_what_the_oracle_counts(events in events()) {
        let (_, days) = computed(&days_of(&events), &snapshot(&events, &[], &[]));
        for (day, body) in bodies(&days) {
            prop_assert_eq!(body, oracle::day(&day, &events), "{}", day);
        }
    }

    #[test]
    fn any_mix_of_fresh_and_stale_hours_gives_the_same_days(
        events in events(),
        before in any::<Index>(),
        missing in vec(any::<Index>(), 0..4),
    ) {
        let days = days_of(&events);
        let whole = computed(&days, &snapshot(&events, &[], &[]));
        // Partials of when only some events were there, of which some hours still are fresh.
        let mut partials = partials_of(&events[..before.index(events.len() + 1)]);
        for index in missing {
            if !partials.is_empty() {
                partials.remove(index.index(partials.len()));
            }
        }
        let found = snapshot(&events, &partials, &[]);
        let (written, again) = computed(&days, &found);
        prop_assert_eq!(&again, &whole.1);
        let stale = found.hours.iter().filter(|(_, hour)| hour.is_stale(aggregate::VERSION));
        let stale: BTreeSet<i64> = stale.map(|(at, _)| *at).collect();
        prop_assert_eq!(written.iter().map(|row| row.hour).collect::<BTreeSet<_>>(), stale);
        prop_assert!(written.iter().all(|row| whole.0.contains(row)), "nor do partials");
    }

    #[test]
    fn one_day_alone_is_the_same_as_all_at_once(events in events(), which in any::<Index>()) {
        prop_assume!(!events.is_empty());
        let days = days_of(&events);
        let day = days.iter().nth(which.index(days.len())).expect("within").clone();
        // As the store would answer: only the hours of the look-back.
        let range = aggregate::look_back(&day).expect("a day");
        let mut found = snapshot(&events, &[], &[]);
        found.hours.retain(|hour, _| (range.first..=range.last).contains(hour));
        found.events.retain(|event| found.hours.contains_key(&time::utc_hour(event.effective_at)));
        let (_, alone) = computed(&[day.clone()].into(), &found);
        let (_, all) = computed(&days, &snapshot(&events, &[], &[]));
        prop_assert_eq!(alone.first(), all.iter().find(|row| row.day == day));
    }

    #[test]
    fn the_order_of_arrival_is_irrelevant((one, other) in twice()) {
        let days = days_of(&one);
        let mut found = snapshot(&one, &[], &[]);
        found.events = other;
        prop_assert_eq!(computed(&days, &found), computed(&days, &snapshot(&one, &[], &[])));
    }

    #[test]
    fn folding_is_associative_and_empty_parts_do_nothing(
        events in events(),
        cuts in (any::<Index>(), any::<Index>()),
    ) {
        let mut sorted: Vec<&StoredEvent> = events.iter().collect();
        sorted.sort_by_key(|event| (event.effective_at, &event.id));
        let parts: Vec<Part> = sorted.iter().map(|event| Part::of(&normalize(event))).collect();
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

//! Windows that slide, one bad rule among good ones, retraction, and the laws that hold for any input.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::Offset;
use proptest::prelude::*;
use serde_json::json;
use store::{Finding, Hour, StoredEvent};
use types::id::BatchRef;
use types::time::{SECOND, local_day, utc_hour};

use super::*;
use crate::alert::rules::tests::{rule_of_days, rule_when};
use crate::alert::{Measure, builtin, ranges};

const HOUR: Micros = 3600 * SECOND;
/// 2026-03-02T00:00:00Z
const MONDAY: Micros = 1_772_409_600 * SECOND;

fn event(number: u32, kind: &str, effective_at: Micros) -> StoredEvent {
    let id = format!("e{number:04}");
    let data = json!({"outcome": "failed", "entity": "x", "path": "x"});
    let body = json!({"id": id, "type": kind, "occurred_at": types::time::rfc3339(effective_at), "data": data});
    StoredEvent {
        at: BatchRef {
            src: 1,
            seq: u64::from(number) + 1,
        }
        .event(0),
        id,
        kind: kind.to_owned(),
        schema_version: "1.0".to_owned(),
        effective_at,
        local_day: local_day(effective_at, None, Offset::UTC),
        body: body.to_string().into_bytes(),
        client: None,
        zone: Some("UTC".to_owned()),
    }
}

/// What the store would give once these events are in.
fn snapshot(events: &[StoredEvent]) -> Snapshot {
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    for event in events {
        let hour = hours.entry(utc_hour(event.effective_at)).or_insert(Hour {
            generation: 0,
            partial: None,
        });
        hour.generation += 1;
    }
    Snapshot {
        hours,
        events: events.to_vec(),
    }
}

fn touched(events: &[StoredEvent]) -> TouchedDays {
    let origin = |event: &StoredEvent| TouchedBy {
        batch: event.at.batch(),
        correlation_id: "c".to_owned(),
        replay_id: None,
    };
    events
        .iter()
        .map(|event| (event.local_day.parse().unwrap(), origin(event)))
        .collect()
}

fn found(rules: &[Rule], events: &[StoredEvent]) -> Evaluation {
    evaluate(rules, "ada", &touched(events), &snapshot(events), MONDAY)
}

/// A streak, which a later event can disprove, beside counts over one and three days.
fn rules() -> Vec<Rule> {
    let streak = "[[when]]\nname = 'run'\nmeasure = 'streak'\nat_least = 3\nof = [{ types = ['heartbeat'] }]\n\
                  broken_by = [{ types = ['editor.blurred'] }]";
    let night = "[[when]]\nname = 'slots'\nmeasure = 'distinct-slots'\nat_least = 2\n\
                 of = [{ types = ['heartbeat'], local_time = '22:00-05:00' }]";
    let named = |id: &str, rule: Rule| Rule {
        id: id.to_owned(),
        ..rule
    };
    vec![
        named("one", rule_of_days(1)),
        named("three", rule_of_days(3)),
        named("streak", rule_when(streak)),
        named("night", rule_when(night)),
        named("whole-night", from_noon(rule_when(night))),
        named("three-nights", from_noon(rule_of_days(3))),
    ]
}

fn from_noon(rule: Rule) -> Rule {
    Rule {
        day_begins: "12:00".to_owned().try_into().unwrap(),
        ..rule
    }
}

#[test]
fn a_night_is_one_window_with_the_date_of_its_evening() {
    let rule = from_noon(rules().remove(3));
    let fired = |hours: &[i64]| {
        let events: Vec<StoredEvent> = (0..)
            .zip(hours)
            .map(|(number, hour)| event(number, "heartbeat", MONDAY + hour * HOUR))
            .collect();
        let windows = found(std::slice::from_ref(&rule), &events).windows;
        let fired = windows
            .into_iter()
            .filter(|window| window.finding.is_some());
        fired.map(|window| window.window_start).collect::<Vec<_>>()
    };
    assert_eq!(fired(&[23, 24 + 4]), ["2026-03-02"], "evening and morning");
    assert_eq!(fired(&[1, 4]), ["2026-03-01"], "the morning after Sunday");
    assert_eq!(fired(&[4, 23]), [""; 0], "two nights of one day");
}

/// What comes after midnight is read for the day before, and moves its generation.
#[test]
fn an_event_after_midnight_evaluates_the_night_before() {
    let rule = from_noon(rules().remove(3));
    let morning = event(0, "heartbeat", MONDAY + 26 * HOUR);
    let one = found(std::slice::from_ref(&rule), std::slice::from_ref(&morning));
    let windows: Vec<(&str, bool)> = one
        .windows
        .iter()
        .map(|window| (window.window_start.as_str(), window.generation > 0))
        .collect();
    assert_eq!(windows, [("2026-03-02", true), ("2026-03-03", true)]);
}

#[test]
fn a_window_of_three_days_fires_wherever_it_holds_three_events() {
    let events = [0, 24, 48].map(|hour| event(hour, "heartbeat", MONDAY + i64::from(hour) * HOUR));
    let evaluation = found(&[rule_of_days(3)], &events);
    let fired: Vec<(&str, bool)> = evaluation
        .windows
        .iter()
        .map(|window| (window.window_start.as_str(), window.finding.is_some()))
        .collect();
    let starts = [
        "2026-02-28",
        "2026-03-01",
        "2026-03-02",
        "2026-03-03",
        "2026-03-04",
    ];
    assert_eq!(fired, starts.map(|start| (start, start == "2026-03-02")));
    // Each look-back is the window's days and one more on either side.
    let generations: Vec<i64> = evaluation
        .windows
        .iter()
        .map(|window| window.generation)
        .collect();
    assert_eq!(generations, [2, 3, 3, 3, 2]);
}

#[test]
fn a_late_event_that_breaks_a_streak_takes_the_finding_back() {
    let mut events: Vec<StoredEvent> = (0..3)
        .map(|n| event(n, "heartbeat", MONDAY + i64::from(n) * HOUR))
        .collect();
    let streak = &rules()[2..3];
    assert!(found(streak, &events).windows[0].finding.is_some());
    events.push(event(9, "editor.blurred", MONDAY + HOUR + SECOND));
    let again = found(streak, &events);
    assert_eq!(again.windows.len(), 1);
    assert_eq!(again.windows[0].finding, None);
}

#[test]
fn events_of_the_day_before_are_read_but_do_not_count() {
    let mut events: Vec<StoredEvent> = (0..3)
        .map(|n| event(n, "heartbeat", MONDAY - SECOND))
        .collect();
    let monday = [event(7, "heartbeat", MONDAY)];
    events.extend(monday.clone());
    let evaluation = evaluate(
        &[rule_of_days(1)],
        "ada",
        &touched(&monday),
        &snapshot(&events),
        MONDAY,
    );
    assert_eq!(
        (
            evaluation.windows[0].generation,
            evaluation.windows[0].finding.clone()
        ),
        (4, None)
    );
}

#[test]
fn a_rule_that_panics_stops_no_other() {
    // A rule file cannot say this: slots of no length.
    let mut rules = rules();
    let three = rules.iter_mut().find(|rule| rule.id == "three").unwrap();
    three.when[0].measure = Measure::DistinctSlots;
    three.when[0].slot_minutes = Some(0);
    let events: Vec<StoredEvent> = (0..3).map(|n| event(n, "heartbeat", MONDAY)).collect();
    let evaluation = found(&rules, &events);
    let error = RuleError::Panicked("attempt to divide by zero".to_owned());
    assert_eq!(evaluation.failed, [("three".to_owned(), error)]);
    let complete: BTreeSet<&str> = evaluation
        .windows
        .iter()
        .map(|window| window.rule.as_str())
        .collect();
    assert_eq!(
        complete,
        BTreeSet::from(["one", "streak", "night", "whole-night", "three-nights"])
    );
}

/// What the store keeps of rule windows: only what is newer replaces (`protocol.md`, T3).
#[derive(Default)]
struct StoredWindows(BTreeMap<(String, String), (i64, Option<Finding>)>);

impl StoredWindows {
    /// The job of `batch`, when `stored` is in the store (and the batch with it).
    fn job(&mut self, batch: &[StoredEvent], stored: &[StoredEvent]) {
        let evaluation = evaluate(&rules(), "ada", &touched(batch), &snapshot(stored), MONDAY);
        for window in evaluation.windows {
            let key = (window.rule, window.window_start);
            if self
                .0
                .get(&key)
                .is_none_or(|(generation, _)| *generation < window.generation)
            {
                self.0.insert(key, (window.generation, window.finding));
            }
        }
    }

    fn alerts(&self) -> BTreeMap<&(String, String), &Finding> {
        self.0
            .iter()
            .filter_map(|(key, (_, finding))| Some((key, finding.as_ref()?)))
            .collect()
    }
}

prop_compose! {
    fn events()(
        times in prop::collection::vec((0_i64..5 * 24 * 6, prop::bool::weighted(0.85)), 1..40)
    ) -> Vec<StoredEvent> {
        let kind = |beat| if beat { "heartbeat" } else { "editor.blurred" };
        let numbered = (0..).zip(times);
        numbered.map(|(n, (slot, beat))| event(n, kind(beat), MONDAY + slot * 10 * 60 * SECOND)).collect()
    }
}

proptest! {
    #[test]
    fn the_order_of_a_snapshot_does_not_matter(
        (sorted, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        prop_assert_eq!(found(&rules(), &sorted), found(&rules(), &shuffled));
    }

    #[test]
    fn batches_one_after_another_come_to_what_all_at_once_gives(
        events in events().prop_shuffle(),
        cut in 0_usize..40,
        stale_first in any::<bool>(),
    ) {
        let cut = cut.min(events.len());
        let mut apart = StoredWindows::default();
        let mut together = StoredWindows::default();
        apart.job(&events[..cut], &events[..cut]);
        apart.job(&events[cut..], &events);
        if stale_first {
            // The first batch's job comes again, late, from an old snapshot: the guard refuses it.
            apart.job(&events[..cut], &events[..cut]);
        }
        together.job(&events, &events);
        prop_assert_eq!(apart.alerts(), together.alerts());
    }

    #[test]
    fn the_ranges_hold_all_that_the_windows_need(events in events(), pick in any::<prop::sample::Index>()) {
        let one = std::slice::from_ref(&events[pick.index(events.len())]);
        let ranges = ranges(&rules(), &touched(one));
        let inside = |hour: i64| ranges.iter().any(|range| (range.first..=range.last).contains(&hour));
        let mut part = snapshot(&events);
        part.hours.retain(|hour, _| inside(*hour));
        part.events.retain(|event| inside(utc_hour(event.effective_at)));
        let whole = evaluate(&rules(), "ada", &touched(one), &snapshot(&events), MONDAY);
        prop_assert_eq!(evaluate(&rules(), "ada", &touched(one), &part, MONDAY), whole);
    }

    #[test]
    fn nothing_that_may_be_stored_makes_a_rule_panic(
        raw in prop::collection::vec(
            (any::<i64>(), ".{0,12}", prop::collection::vec(any::<u8>(), 0..40), 0_usize..4),
            0..20,
        ),
        now in any::<i64>(),
    ) {
        let kinds = ["git.push", "build.finished", "heartbeat", "\u{0}"];
        let mut events = Vec::new();
        for (number, (effective_at, local_day, body, kind)) in (0..).zip(raw) {
            events.push(StoredEvent { effective_at, local_day, body, ..event(number, kinds[kind], MONDAY) });
        }
        let mut there = events.clone();
        there.extend((90..95).map(|number| event(number, "build.finished", MONDAY)));
        let all: Vec<Rule> = builtin().into_iter().chain(rules()).collect();
        let mut snapshot = snapshot(&[]);
        snapshot.events = there;
        let days = touched(&[event(0, "heartbeat", MONDAY)]);
        prop_assert_eq!(evaluate(&all, "ada", &days, &snapshot, now).failed, []);
    }
}

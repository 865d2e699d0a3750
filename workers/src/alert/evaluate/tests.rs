//! Windows that slide, one bad rule among good ones, retraction, and the laws that hold for any input.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::Offset;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use store::{ChangedSpan, Finding, Hour, HourChange, Partial, StoredEvent};
use types::id::BatchRef;
use types::time::{SECOND, local_day, utc_hour};

use super::*;
use crate::alert::rules::tests::{rule_of_days, rule_when};
use crate::alert::{Measure, Weekday, builtin, ranges};

const HOUR: Micros = 3600 * SECOND;
/// 2026-03-02T00:00:00Z
const MONDAY: Micros = 1_772_409_600 * SECOND;

fn event(number: u32, kind: &str, effective_at: Micros) -> StoredEvent {
    let id = format!("e{number:04}");
    let data = json!({"outcome": "failed", "entity": "x", "path": format!("p{}", number % 4)});
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
    found_on(rules, &touched(events), events)
}

/// With all these events stored.
fn found_on(rules: &[Rule], touched: &TouchedDays, events: &[StoredEvent]) -> Evaluation {
    evaluate_events(rules, "ada", touched, events.to_vec(), MONDAY).unwrap()
}

/// A streak, which a later event can disprove, beside counts over one and three days.
fn rules() -> Vec<Rule> {
    let streak = "[[when]]\nname = 'run'\nmeasure = 'streak'\nat_least = 3\nof = [{ types = ['heartbeat'] }]\n\
                  broken_by = [{ types = ['editor.blurred'] }]";
    let night = "[[when]]\nname = 'slots'\nmeasure = 'distinct-slots'\nat_least = 2\n\
                 of = [{ types = ['heartbeat'], local_time = '22:00-05:00' }]";
    let short = "[[when]]\nname = 'beats'\nmeasure = 'count'\nat_least = 2\nof = [{ types = ['heartbeat'] }]\n\
                 [[when]]\nname = 'run'\nmeasure = 'streak'\nat_most = 2\nof = [{ types = ['heartbeat'] }]\n\
                 broken_by = [{ types = ['editor.blurred'] }]";
    let thick = "[[when]]\nname = 'beats'\nmeasure = 'count'\nat_least = 2\nof = [{ types = ['heartbeat'] }]\n\
                 [[when]]\nname = 'share'\nmeasure = 'percent'\nat_least = 60\nof = [{ types = ['heartbeat'] }]\n\
                 among = [{ types = ['editor.blurred'] }]";
    let values = "[[when]]\nname = 'most'\nmeasure = 'repeats'\nfield = 'path'\nat_least = 2\n\
                  of = [{ types = ['heartbeat', 'editor.blurred'] }]\n\
                  [[when]]\nname = 'paths'\nmeasure = 'distinct'\nfield = 'path'\nat_most = 3\n\
                  of = [{ types = ['heartbeat'] }]\n\
                  [[when]]\nname = 'left'\nmeasure = 'unbroken'\nat_least = 1\npause_minutes = 60\n\
                  of = [{ types = ['heartbeat'] }]";
    let times = "[[when]]\nname = 'rest'\nmeasure = 'pause-minutes'\nat_most = 1200\n\
                 of = [{ types = ['heartbeat'] }]\n\
                 [[when]]\nname = 'span'\nmeasure = 'span-minutes'\nat_least = 30\n\
                 of = [{ types = ['heartbeat'] }]\n\
                 [[when]]\nname = 'days'\nmeasure = 'days'\nslots_a_day = 2\nat_least = 1\n\
                 of = [{ types = ['heartbeat', 'editor.blurred'] }]";
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
        named("short-runs", rule_when(short)),
        named(
            "folded",
            Rule {
                folded_under: Some("one".to_owned()),
                ..rule_when(night)
            },
        ),
        named("minutes", sliding(90, rule_when(thick))),
        named("night-minutes", from_noon(sliding(300, rule_when(streak)))),
        named(
            "week",
            Rule {
                window_begins: Some(Weekday::Monday),
                ..rule_of_days(7)
            },
        ),
        named("values", rule_when(values)),
        named(
            "times",
            from_noon(Rule {
                window_days: 2,
                ..rule_when(times)
            }),
        ),
    ]
}

/// What the rules were before somebody changed them: other bounds, and streaks of what breaks them now.
fn rules_before() -> Vec<Rule> {
    let before = |mut rule: Rule| {
        rule.version -= 1;
        for condition in &mut rule.when {
            condition.at_least = condition.at_least.map(|bound| bound - 1);
            if !condition.broken_by.is_empty() {
                std::mem::swap(&mut condition.of, &mut condition.broken_by);
            }
        }
        rule
    };
    rules().into_iter().map(before).collect()
}

fn sliding(minutes: u16, rule: Rule) -> Rule {
    Rule {
        window_minutes: Some(minutes),
        ..rule
    }
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
            .filter(|window| !window.findings.is_empty());
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
fn a_week_begins_on_monday() {
    let rule = Rule {
        window_begins: Some(Weekday::Monday),
        ..rule_of_days(7)
    };
    let fired = |days: [i64; 3]| {
        let events: Vec<StoredEvent> = (0..)
            .zip(days)
            .map(|(number, day)| event(number, "heartbeat", MONDAY + day * 24 * HOUR))
            .collect();
        let windows = found(std::slice::from_ref(&rule), &events).windows;
        let state = |window: RuleWindow| (window.window_start, window.findings.len());
        windows.into_iter().map(state).collect::<Vec<_>>()
    };
    let week = |start: &str, alerts: usize| (start.to_owned(), alerts);
    assert_eq!(fired([0, 3, 6]), [week("2026-03-02", 1)]);
    assert_eq!(
        fired([-1, 0, 1]),
        [week("2026-02-23", 0), week("2026-03-02", 0)]
    );
}

#[test]
fn of_two_rules_with_one_cause_the_upper_one_is_raised() {
    let named = |id: &str, bound: u64, above: Option<&str>| {
        let mut rule = rule_of_days(1);
        rule.id = id.to_owned();
        rule.when[0].at_least = Some(bound);
        rule.folded_under = above.map(str::to_owned);
        rule
    };
    let rules = [named("lower", 1, Some("upper")), named("upper", 3, None)];
    let beats = |count: u32| -> Vec<StoredEvent> {
        (0..count)
            .map(|n| event(n, "heartbeat", MONDAY + HOUR))
            .collect()
    };
    let raised = |events: &[StoredEvent]| {
        let found = found(&rules, events).windows.into_iter();
        let of_window = |window: RuleWindow| {
            let body = |finding: &Finding| {
                serde_json::from_str::<serde_json::Value>(&finding.body).unwrap()
            };
            let folded = window
                .findings
                .first()
                .map(|finding| body(finding)["folded"].clone());
            (window.rule, folded)
        };
        found.map(of_window).collect::<Vec<_>>()
    };
    let (lower, upper) = ("lower".to_owned(), "upper".to_owned());
    assert_eq!(
        raised(&beats(2)),
        [(lower.clone(), Some(json!(null))), (upper.clone(), None)]
    );
    assert_eq!(
        raised(&beats(3)),
        [(lower, None), (upper, Some(json!(["lower"])))]
    );
}

#[test]
fn each_run_of_minutes_is_an_alert_of_its_own() {
    let rule = sliding(30, rule_of_days(1));
    let at = |number: u32, minute: i64| event(number, "heartbeat", MONDAY + minute * 60 * SECOND);
    // The third of three within half an hour, and the same again in the afternoon.
    let mut events: Vec<StoredEvent> = (0..)
        .zip([60, 70, 80, 600, 605, 610])
        .map(|(n, minute)| at(n, minute))
        .collect();
    let alerts = |events: &[StoredEvent]| {
        let windows = found(std::slice::from_ref(&rule), events).windows;
        let findings = windows.into_iter().flat_map(|window| window.findings);
        let minute = |finding: &Finding| {
            let body: serde_json::Value = serde_json::from_str(&finding.body).unwrap();
            let first = body["window"]["first_minute"].as_str().unwrap()[11..16].to_owned();
            (first, finding.alert_id.clone())
        };
        findings.map(|finding| minute(&finding)).collect::<Vec<_>>()
    };
    let two = alerts(&events);
    assert_eq!([&two[0].0, &two[1].0], ["01:20", "10:10"]);
    assert_ne!(two[0].1, two[1].1);
    // A late event that makes the morning's begin earlier leaves the afternoon's as it is.
    events.push(at(9, 75));
    let moved = alerts(&events);
    assert_eq!((moved[0].0.as_str(), &moved[1]), ("01:15", &two[1]));
}

#[test]
fn a_window_of_three_days_fires_wherever_it_holds_three_events() {
    let events = [0, 24, 48].map(|hour| event(hour, "heartbeat", MONDAY + i64::from(hour) * HOUR));
    let evaluation = found(&[rule_of_days(3)], &events);
    let fired: Vec<(&str, bool)> = evaluation
        .windows
        .iter()
        .map(|window| (window.window_start.as_str(), !window.findings.is_empty()))
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
    assert_eq!(found(streak, &events).windows[0].findings.len(), 1);
    events.push(event(9, "editor.blurred", MONDAY + HOUR + SECOND));
    let again = found(streak, &events);
    assert_eq!(again.windows.len(), 1);
    assert_eq!(again.windows[0].findings, []);
}

#[test]
fn events_of_the_day_before_are_read_but_do_not_count() {
    let mut events: Vec<StoredEvent> = (0..3)
        .map(|n| event(n, "heartbeat", MONDAY - SECOND))
        .collect();
    let monday = [event(7, "heartbeat", MONDAY)];
    events.extend(monday.clone());
    let evaluation = found_on(&[rule_of_days(1)], &touched(&monday), &events);
    assert_eq!(
        (
            evaluation.windows[0].generation,
            evaluation.windows[0].findings.len()
        ),
        (4, 0)
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
    let ids = rules.iter().map(|rule| rule.id.as_str());
    assert_eq!(complete, ids.filter(|id| *id != "three").collect());
}

fn rule_set(segment: usize, rules: Vec<Rule>) -> RuleSet {
    let mut set = RuleSet::new(rules);
    set.maker.segment = segment;
    set
}

/// The store, of one developer: events, hours with what was kept of them, and windows.
struct Stored {
    set: RuleSet,
    events: Vec<StoredEvent>,
    hours: BTreeMap<i64, Hour>,
    windows: BTreeMap<WindowKey, (ComputedAt, Vec<Finding>)>,
}

impl Stored {
    /// `segment`: events of a full segment.
    fn empty(segment: usize, rules: Vec<Rule>) -> Self {
        Self {
            set: rule_set(segment, rules),
            events: Vec::new(),
            hours: BTreeMap::new(),
            windows: BTreeMap::new(),
        }
    }

    /// As T1 does: a generation for each event, and where it changed its hour.
    fn change(&mut self, at: Micros) {
        let hour = self.hours.entry(utc_hour(at)).or_insert(Hour {
            generation: 0,
            partial: None,
            changes: Vec::new(),
        });
        hour.generation += 1;
        let span = ChangedSpan {
            first: at,
            last: at,
        };
        hour.changes.push(HourChange {
            generation: hour.generation,
            span,
        });
    }

    fn store(&mut self, events: &[StoredEvent]) {
        for event in events {
            self.change(event.effective_at);
        }
        self.events.extend_from_slice(events);
    }

    /// The event is gone, or at another time: an earlier submission of it came.
    fn remove(&mut self, which: &Index) -> Option<StoredEvent> {
        if self.events.is_empty() {
            return None;
        }
        let gone = self.events.remove(which.index(self.events.len()));
        self.change(gone.effective_at);
        Some(gone)
    }

    /// What the job of a batch computes now. Only what the plan asks for is read.
    fn compute(&self, batch: &[StoredEvent]) -> Evaluation {
        let touched = touched(batch);
        let evaluated = self.windows.iter();
        let evaluated = evaluated.map(|(key, (at, _))| (key.clone(), *at)).collect();
        let ranges = ranges(&self.set.rules, &touched);
        let within = |hour: i64| {
            ranges
                .iter()
                .any(|range| (range.first..=range.last).contains(&hour))
        };
        let hours = self.hours.iter().filter(|(hour, _)| within(**hour));
        let hours = hours.map(|(at, hour)| (*at, as_read(hour))).collect();
        let ReadPlan { plan, spans } = plan(&self.set, &touched, &evaluated, hours);
        let wanted = |event: &&StoredEvent| {
            spans
                .iter()
                .any(|span| (span.start..span.end).contains(&event.effective_at))
        };
        let events = self.events.iter().filter(wanted).cloned().collect();
        evaluate(&self.set, "ada", &touched, plan, events, MONDAY).unwrap()
    }

    /// As T3 does (`insert_partials!` in `store/src/jobs.rs`): only what is newer replaces.
    fn finish(&mut self, evaluation: Evaluation) {
        for row in evaluation.partials {
            let hour = self.hours.get_mut(&row.hour).unwrap();
            let is_older = |there: &Partial| {
                let (old, new) = (&there.computed, &row.computed);
                let is_alike = old.generation == new.generation && old.version == new.version;
                old.generation < new.generation
                    || old.version < new.version
                    || (is_alike && there.made_with != row.made_with)
            };
            if hour.partial.as_ref().is_none_or(is_older) {
                hour.partial = Some(Partial {
                    computed: row.computed,
                    made_with: row.made_with,
                });
            }
        }
        for window in evaluation.windows {
            let key = WindowKey {
                rule: window.rule,
                start: window.window_start,
            };
            let at = ComputedAt {
                generation: window.generation,
                version: window.version,
            };
            let there = self.windows.get(&key);
            if there.is_none_or(|(there, _)| !there.is_current(at.generation, at.version)) {
                self.windows.insert(key, (at, window.findings));
            }
        }
    }

    fn job(&mut self, batch: &[StoredEvent]) {
        let evaluation = self.compute(batch);
        self.finish(evaluation);
    }

    fn alerts(&self) -> BTreeMap<WindowKey, Vec<Finding>> {
        let found = self.windows.iter();
        found
            .filter(|(_, (_, findings))| !findings.is_empty())
            .map(|(key, (_, findings))| (key.clone(), findings.clone()))
            .collect()
    }
}

/// The hour as a snapshot has it: with what changed since its partial was computed.
fn as_read(hour: &Hour) -> Hour {
    let mut hour = hour.clone();
    let computed = hour
        .partial
        .as_ref()
        .map(|partial| partial.computed.generation);
    let is_later = |change: &HourChange| computed.is_some_and(|at| change.generation > at);
    hour.changes.retain(is_later);
    hour
}

/// What happens to the store.
#[derive(Debug, Clone)]
enum Happens {
    Stored(usize),
    /// The job of the last batch is computed now, and finished later.
    Computed,
    /// A computed job is finished: the first or the last of those that wait.
    Finished(bool),
    Moved(Index, i64),
    Forgotten(Index),
    /// The worker starts again, with the rules of now.
    RulesChanged,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (1_usize..6).prop_map(Happens::Stored),
        1 => Just(Happens::RulesChanged),
        3 => Just(Happens::Computed),
        3 => any::<bool>().prop_map(Happens::Finished),
        1 => (any::<Index>(), -30_i64..30).prop_map(|(which, slots)| Happens::Moved(which, slots)),
        1 => any::<Index>().prop_map(Happens::Forgotten),
    ]
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

    /// docs/decisions/0012-an-hour-knows-what-changed.md. Each batch, and each event that moved or left, has a job that
    /// is computed after it; jobs end in any order, from snapshots of any age, and by the rules of before too.
    #[test]
    fn whatever_happened_the_alerts_are_those_of_all_events(
        events in events().prop_shuffle(),
        happened in prop::collection::vec(happens(), 0..30),
        segment in 1_usize..6,
    ) {
        let mut there = Stored::empty(segment, rules_before());
        let mut rest = events.as_slice();
        let mut open: Vec<StoredEvent> = Vec::new();
        let mut computed: Vec<Evaluation> = Vec::new();
        let mut ever = Vec::new();
        for happens in happened.into_iter().chain([Happens::Stored(usize::MAX)]) {
            match happens {
                Happens::Stored(count) => {
                    let (now, later) = rest.split_at(count.min(rest.len()));
                    there.store(now);
                    open.extend_from_slice(now);
                    rest = later;
                }
                Happens::Computed => computed.push(there.compute(&open)),
                Happens::Finished(first) if !computed.is_empty() => {
                    let place = if first { 0 } else { computed.len() - 1 };
                    there.finish(computed.remove(place));
                }
                Happens::Moved(which, slots) => {
                    if let Some(gone) = there.remove(&which) {
                        let mut moved = gone.clone();
                        moved.effective_at += slots * 10 * 60 * SECOND;
                        moved.local_day = local_day(moved.effective_at, None, Offset::UTC);
                        there.store(std::slice::from_ref(&moved));
                        open.extend([gone, moved]);
                    }
                }
                Happens::Forgotten(which) => open.extend(there.remove(&which)),
                Happens::RulesChanged => there.set = rule_set(segment, rules()),
                Happens::Finished(_) => {}
            }
            ever.extend(open.iter().cloned());
        }
        there.set = rule_set(segment, rules());
        there.job(&open);
        computed.into_iter().for_each(|late| there.finish(late));
        let whole = found_on(&rules(), &touched(&ever), &there.events);
        let key = |window: &RuleWindow| WindowKey {
            rule: window.rule.clone(),
            start: window.window_start.clone(),
        };
        let whole: BTreeMap<WindowKey, Vec<Finding>> = whole
            .windows
            .into_iter()
            .filter(|window| !window.findings.is_empty())
            .map(|window| (key(&window), window.findings))
            .collect();
        prop_assert_eq!(there.alerts(), whole);
    }

    #[test]
    fn the_ranges_hold_all_that_the_windows_need(events in events(), pick in any::<Index>()) {
        let one = std::slice::from_ref(&events[pick.index(events.len())]);
        let mut there = Stored::empty(4, rules());
        there.store(&events);
        let whole = found_on(&rules(), &touched(one), &events).windows;
        prop_assert_eq!(there.compute(one).windows, whole);
    }

    #[test]
    fn windows_that_did_not_move_are_not_evaluated_again(events in events()) {
        let mut there = Stored::empty(4, rules());
        there.store(&events);
        there.job(&events);
        prop_assert_eq!(there.compute(&events), Evaluation::default());
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
        let days = touched(&[event(0, "heartbeat", MONDAY)]);
        let found = evaluate_events(&all, "ada", &days, there, now).unwrap();
        prop_assert_eq!(found.failed, []);
    }
}

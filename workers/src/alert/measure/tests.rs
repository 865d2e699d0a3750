//! What conditions measure, and that stretches joined measure what all events do.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::alert::filter::tests::{ask, record};
use crate::alert::rules::tests::rule_when;
use crate::normalize::Record;

/// What the rule's conditions measure in these records, which are in order.
fn all(rule: &Rule, records: impl IntoIterator<Item = Record>) -> Measured {
    let mut measured = Measured::nothing(rule);
    for record in records {
        ask(record, |event| {
            if let Some(met) = MetConditions::by(rule, event) {
                measured.add(rule, event, "1970-01-01", &met);
            }
        });
    }
    measured
}

/// What the condition measures in builds at these minutes, `true` being a failed one.
fn measured(condition: &str, builds: &[(i64, bool)]) -> Option<(u64, Vec<String>)> {
    let outcome = |failed| json!({"outcome": if failed { "failed" } else { "succeeded" }});
    let records: Vec<Record> = builds
        .iter()
        .map(|(at, failed)| record("build.finished", *at, &outcome(*failed)))
        .collect();
    let firing = all(&rule_when(condition), records).firing(&rule_when(condition))?;
    let ids = firing
        .first
        .iter()
        .map(|hit| hit.event_id.clone())
        .collect();
    Some((firing.measured["n"], ids))
}

const FAILED: &str = "of = [{ types = ['build.finished'], data = { outcome = 'failed' } }]";
const SUCCEEDED: &str =
    "broken_by = [{ types = ['build.finished'], data = { outcome = 'succeeded' } }]";

#[test]
fn a_count_is_of_the_events_that_match() {
    let count = |bound: u32| {
        let text = format!("[[when]]\nname = 'n'\nmeasure = 'count'\nat_least = {bound}\n{FAILED}");
        measured(&text, &[(1, true), (2, false), (3, true)])
    };
    assert_eq!(
        count(2),
        Some((2, vec!["e00001".to_owned(), "e00003".to_owned()]))
    );
    assert_eq!(count(3), None);
}

#[test]
fn a_streak_ends_at_what_breaks_it_and_the_longest_counts() {
    let streak = |builds: &[(i64, bool)]| {
        let text = format!(
            "[[when]]\nname = 'n'\nmeasure = 'streak'\nat_least = 2\n{FAILED}\n{SUCCEEDED}"
        );
        measured(&text, builds)
    };
    assert_eq!(
        streak(&[(1, true), (2, false), (3, true), (4, false)]),
        None
    );
    let two_rows = [
        (1, true),
        (2, true),
        (3, false),
        (4, true),
        (5, true),
        (6, true),
        (7, false),
        (8, true),
    ];
    let (length, ids) = streak(&two_rows).unwrap();
    assert_eq!((length, ids[0].as_str(), ids.len()), (3, "e00004", 3));
}

#[test]
fn events_of_one_slot_count_once() {
    let slots = |minutes: &[i64]| {
        let text = format!(
            "[[when]]\nname = 'n'\nmeasure = 'distinct-slots'\nslot_minutes = 5\nat_least = 1\n{FAILED}"
        );
        measured(
            &text,
            &minutes.iter().map(|at| (*at, true)).collect::<Vec<_>>(),
        )
        .map(|(count, _)| count)
    };
    assert_eq!(slots(&[0, 1, 4]), Some(1));
    assert_eq!(slots(&[4, 5, 9, 10]), Some(3));
    assert_eq!(slots(&[]), None);
}

#[test]
fn all_conditions_must_hold_and_a_later_event_can_disprove() {
    let text = format!(
        "[[when]]\nname = 'n'\nmeasure = 'count'\nat_least = 2\n{FAILED}\n\
         [[when]]\nname = 'good'\nmeasure = 'count'\nat_most = 0\n\
         of = [{{ types = ['build.finished'], data = {{ outcome = 'succeeded' }} }}]"
    );
    assert_eq!(
        measured(&text, &[(1, true), (2, true)]).map(|(count, _)| count),
        Some(2)
    );
    assert_eq!(measured(&text, &[(1, true), (2, true), (3, false)]), None);
}

/// Conditions of every kind that need events of the same kinds.
const MIXED: &str = "[[when]]
name = 'run'
measure = 'streak'
at_least = 2
of = [{ types = ['build.finished'], data = { outcome = 'failed' } }]
broken_by = [{ types = ['build.finished'], data = { outcome = 'succeeded' } }]
[[when]]
name = 'failed'
measure = 'count'
at_least = 1
of = [{ types = ['build.finished'], data = { outcome = 'failed', heavy = true } }]
[[when]]
name = 'slots'
measure = 'distinct-slots'
slot_minutes = 5
at_least = 1
of = [{ types = ['build.finished'], data = { heavy = true } }]
[[when]]
name = 'few'
measure = 'count'
at_most = 30
of = [{ types = ['build.finished'] }]
";

/// The same from all records at once, by their indices.
fn naive(records: &[Record]) -> Option<Firing> {
    let outcome = |index: usize, of: &str| records[index].text("outcome") == Some(of);
    let heavy = |index: usize| records[index].flag("heavy");
    let indices = || 0..records.len();
    let (mut best, mut run) = (Vec::new(), Vec::new());
    for index in indices() {
        if outcome(index, "failed") {
            run.push(index);
        } else if outcome(index, "succeeded") {
            run.clear();
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    let failed: Vec<usize> = indices()
        .filter(|index| outcome(*index, "failed") && heavy(*index))
        .collect();
    let in_slots: Vec<usize> = indices().filter(|index| heavy(*index)).collect();
    let slots: BTreeSet<i64> = in_slots
        .iter()
        .map(|index| records[*index].at.div_euclid(5 * 60 * SECOND))
        .collect();
    let values = [best.len(), failed.len(), slots.len(), records.len()].map(|value| value as u64);
    if values[0] < 2 || values[1] < 1 || values[2] < 1 || values[3] > 30 {
        return None;
    }
    let evidence: BTreeSet<usize> = best.into_iter().chain(failed).chain(in_slots).collect();
    let hit = |index: &usize| Hit {
        at: records[*index].at,
        event_id: records[*index].event_id.clone(),
        offset: records[*index].offset,
    };
    let names = ["run", "failed", "slots", "few"].map(str::to_owned);
    Some(Firing {
        measured: names.into_iter().zip(values).collect(),
        repeated: BTreeMap::new(),
        events: evidence.len() as u64,
        first: evidence.iter().take(5).map(hit).collect(),
        last: hit(evidence.last()?),
    })
}

/// A condition of each other measure, of the builds' field `errors` or `target`.
const OTHERS: [(&str, &str); 12] = [
    ("sum", "field = 'errors'"),
    ("largest", "field = 'errors'"),
    ("distinct", "field = 'target'"),
    ("repeats", "field = 'target'"),
    ("changes", "field = 'target'"),
    ("increase", "field = 'errors'"),
    ("span-minutes", ""),
    ("pause-minutes", ""),
    ("percent", "among = [{ types = ['build.finished'] }]"),
    ("streak-sum", "field = 'errors'\npause_minutes = 3"),
    ("streak-minutes", "pause_minutes = 3"),
    ("unbroken-minutes", "pause_minutes = 3"),
];

/// A build at a minute.
#[derive(Debug, Clone)]
struct Build {
    minute: i64,
    failed: bool,
    errors: u64,
    target: &'static str,
}

/// What the measure comes to of all failed builds, by its definition.
fn by_definition(measure: &str, builds: &[Build]) -> u64 {
    let failed: Vec<&Build> = builds.iter().filter(|build| build.failed).collect();
    let errors = |builds: &[&Build]| builds.iter().map(|build| build.errors).sum::<u64>();
    let minutes = |builds: &[&Build]| match builds {
        [first, .., last] => (last.minute - first.minute).unsigned_abs(),
        _ => 0,
    };
    let times = |target: &str| failed.iter().filter(|build| build.target == target).count() as u64;
    let targets: BTreeSet<&str> = failed.iter().map(|build| build.target).collect();
    let runs: Vec<&[&Build]> = failed
        .chunk_by(|one, next| next.minute - one.minute <= 3)
        .collect();
    match measure {
        "sum" => errors(&failed),
        "largest" => failed.iter().map(|build| build.errors).max().unwrap_or(0),
        "distinct" => targets.len() as u64,
        "repeats" => targets
            .iter()
            .map(|target| times(target))
            .max()
            .unwrap_or(0),
        "changes" => failed
            .windows(2)
            .filter(|two| two[0].target != two[1].target)
            .count() as u64,
        "increase" => match failed.as_slice() {
            [first, .., last] => last.errors.saturating_sub(first.errors),
            _ => 0,
        },
        "span-minutes" => minutes(&failed),
        "pause-minutes" => failed.windows(2).map(minutes).max().unwrap_or(0),
        "percent" => (100 * failed.len()).checked_div(builds.len()).unwrap_or(0) as u64,
        "streak-sum" => runs.iter().map(|run| errors(run)).max().unwrap_or(0),
        "streak-minutes" => runs.iter().map(|run| minutes(run)).max().unwrap_or(0),
        "unbroken-minutes" => runs.last().map_or(0, |run| minutes(run)),
        other => panic!("{other}"),
    }
}

#[test]
fn the_value_that_repeats_most_is_named() {
    let rule = rule_when(
        "[[when]]\nname = 'n'\nmeasure = 'repeats'\nfield = 'failures'\nat_least = 2\n\
         of = [{ types = ['test.finished'] }]",
    );
    let run =
        |minute, failures: &[&str]| record("test.finished", minute, &json!({"failures": failures}));
    let firing = all(
        &rule,
        [run(1, &["b", "a"]), run(2, &["a", "b", "c"]), run(3, &[])],
    );
    let firing = firing.firing(&rule).unwrap();
    assert_eq!(
        (firing.measured["n"], firing.repeated["n"].as_str()),
        (2, "a"),
        "the first by its text"
    );
}

#[test]
fn days_count_that_have_enough_slots() {
    let rule = rule_when(
        "[[when]]\nname = 'n'\nmeasure = 'days'\nslot_minutes = 5\nslots_a_day = 2\nat_least = 1\n\
         of = [{ types = ['heartbeat'] }]",
    );
    let days = |beats: &[(&str, i64)]| {
        let mut measured = Measured::nothing(&rule);
        for (day, minute) in beats {
            ask(record("heartbeat", *minute, &json!({})), |event| {
                let met = MetConditions::by(&rule, event).unwrap();
                measured.add(&rule, event, day, &met);
            });
        }
        measured
            .firing(&rule)
            .map_or(0, |firing| firing.measured["n"])
    };
    assert_eq!(days(&[("a", 0), ("a", 4), ("b", 1440), ("b", 1445)]), 1);
    assert_eq!(days(&[("a", 0), ("a", 5), ("b", 1440), ("b", 1445)]), 2);
}

#[test]
fn of_very_many_values_some_are_told_apart() {
    let rule = rule_when(
        "[[when]]\nname = 'n'\nmeasure = 'distinct'\nfield = 'target'\nat_least = 1\n\
         of = [{ types = ['build.finished'] }]",
    );
    let builds = |from: i64, to: i64| {
        all(
            &rule,
            (from..to).map(|n| record("build.finished", n, &json!({"target": format!("t{n}")}))),
        )
    };
    let mut joined = builds(0, 300);
    joined.append(&rule, &builds(200, 500));
    assert_eq!(
        joined.firing(&rule).unwrap().measured["n"],
        values::MAX_VALUES as u64
    );
    let mut turned = builds(200, 500);
    turned.append(&rule, &builds(0, 300));
    assert_eq!(
        joined.conditions, turned.conditions,
        "which are kept does not depend on the order"
    );
}

proptest! {
    #[test]
    fn every_measure_is_what_its_definition_says_however_stretches_are_cut(
        builds in prop::collection::vec((0_i64..6, any::<bool>(), 0_u64..4, 0_usize..3), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut minute = 0;
        let builds: Vec<Build> = builds
            .into_iter()
            .map(|(after, failed, errors, target)| {
                minute += 1 + after;
                Build { minute, failed, errors, target: ["one", "two", "three"][target] }
            })
            .collect();
        let records: Vec<Record> = builds
            .iter()
            .map(|build| {
                let outcome = if build.failed { "failed" } else { "succeeded" };
                let data = json!({"outcome": outcome, "errors": build.errors, "target": build.target});
                record("build.finished", build.minute, &data)
            })
            .collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(records.len() + 1)).collect();
        cuts.extend([0, records.len()]);
        cuts.sort_unstable();
        for (measure, more) in OTHERS {
            // The second condition makes the rule fire whatever the first one comes to.
            let text = format!(
                "[[when]]\nname = 'n'\nmeasure = '{measure}'\nat_most = 1000000\n{more}\n{FAILED}\n\
                 [[when]]\nname = 'any'\nmeasure = 'count'\nat_least = 1\nof = [{{ types = ['build.finished'] }}]"
            );
            let rule = rule_when(&text);
            let mut joined = Measured::nothing(&rule);
            for cut in cuts.windows(2) {
                let stretch = serde_json::to_string(&all(&rule, records[cut[0]..cut[1]].to_vec())).unwrap();
                joined.append(&rule, &serde_json::from_str(&stretch).unwrap());
            }
            prop_assert_eq!(&joined, &all(&rule, records.clone()), "{}", measure);
            if let Some(firing) = joined.firing(&rule) {
                prop_assert_eq!(firing.measured["n"], by_definition(measure, &builds), "{}", measure);
            }
        }
    }

    #[test]
    fn stretches_joined_measure_what_all_events_do(
        builds in prop::collection::vec((0_i64..3, 0_usize..3, any::<bool>()), 0..36),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let rule = rule_when(MIXED);
        let mut minute = 0;
        let records: Vec<Record> = builds
            .into_iter()
            .map(|(after, outcome, heavy)| {
                minute += 1 + after;
                let outcome = ["failed", "succeeded", "cancelled"][outcome];
                record("build.finished", minute, &json!({"outcome": outcome, "heavy": heavy}))
            })
            .collect();
        let whole = all(&rule, records.clone());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(records.len() + 1)).collect();
        cuts.extend([0, records.len()]);
        cuts.sort_unstable();
        let mut stretches = cuts.windows(2).map(|cut| all(&rule, records[cut[0]..cut[1]].to_vec()));
        let text = |measured: &Measured| serde_json::to_string(measured).unwrap();
        let joined = stretches.try_fold(Measured::nothing(&rule), |mut joined, stretch| {
            joined.append(&rule, &serde_json::from_str(&text(&stretch))?);
            Ok::<_, serde_json::Error>(joined)
        });
        prop_assert_eq!(joined.unwrap(), whole.clone());
        prop_assert_eq!(whole.firing(&rule), naive(&records));
    }
}

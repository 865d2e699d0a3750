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
                measured.add(rule, event, &met);
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
        events: evidence.len() as u64,
        first: evidence.iter().take(5).map(hit).collect(),
        last: hit(evidence.last()?),
    })
}

proptest! {
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
            joined.append(&serde_json::from_str(&text(&stretch))?);
            Ok::<_, serde_json::Error>(joined)
        });
        prop_assert_eq!(joined.unwrap(), whole.clone());
        prop_assert_eq!(whole.firing(&rule), naive(&records));
    }
}

//! What a condition measures in the records of a window, and whether a rule fires.

use std::collections::{BTreeMap, BTreeSet};

use types::time::SECOND;

use super::filter::EventFilter;
use super::rules::{Measure, Rule, RuleCondition};
use crate::normalize::Record;

/// A rule that fires, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing<'a> {
    /// What each condition measured, by its name.
    pub measured: BTreeMap<String, u64>,
    /// The events that made it fire, in order.
    pub events: Vec<&'a Record>,
}

/// Returns why the rule fires on these records: those of one window, by (time, event id).
#[must_use]
pub fn firing<'a>(rule: &Rule, records: &[&'a Record]) -> Option<Firing<'a>> {
    let mut measured = BTreeMap::new();
    let mut evidence = BTreeSet::new();
    for when in &rule.when {
        let Measured { value, indices } = measure(when, records);
        let low = when.at_least.is_some_and(|bound| value < bound);
        let high = when.at_most.is_some_and(|bound| value > bound);
        if low || high {
            return None;
        }
        measured.insert(when.name.clone(), value);
        // Few events prove nothing: the evidence is the events that there had to be.
        if when.at_least.is_some() {
            evidence.extend(indices);
        }
    }
    Some(Firing {
        measured,
        events: evidence.into_iter().map(|index| records[index]).collect(),
    })
}

struct Measured {
    value: u64,
    /// The indices of the records that make it up, rising.
    indices: Vec<usize>,
}

fn measure(when: &RuleCondition, records: &[&Record]) -> Measured {
    let hits = || (0..records.len()).filter(|index| EventFilter::any(&when.of, records[*index]));
    match when.measure {
        Measure::Count => {
            let indices: Vec<usize> = hits().collect();
            let value = indices.len() as u64;
            Measured { value, indices }
        }
        Measure::DistinctSlots => {
            let width =
                i64::from(when.slot_minutes.unwrap_or(RuleCondition::SLOT_MINUTES)) * 60 * SECOND;
            // Slots of real time: an hour that a clock change repeats is not one hour but two.
            let slots: BTreeSet<i64> = hits()
                .map(|index| records[index].at.div_euclid(width))
                .collect();
            let value = slots.len() as u64;
            let indices = hits().collect();
            Measured { value, indices }
        }
        Measure::Streak => longest_run(when, records),
    }
}

/// The longest run of hits that nothing in `broken_by` interrupts; the first of equally long ones.
fn longest_run(when: &RuleCondition, records: &[&Record]) -> Measured {
    let mut best = Vec::new();
    let mut run = Vec::new();
    for (index, record) in records.iter().enumerate() {
        if EventFilter::any(&when.of, record) {
            run.push(index);
        } else if EventFilter::any(&when.broken_by, record) {
            run.clear();
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    let value = best.len() as u64;
    let indices = best;
    Measured { value, indices }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::filter::tests::record;
    use crate::alert::rules::tests::rule_when;
    use serde_json::json;

    /// What the condition measures in builds at these minutes, `true` being a failed one.
    fn measured(condition: &str, builds: &[(i64, bool)]) -> Option<(u64, Vec<String>)> {
        let outcome = |failed| json!({"outcome": if failed { "failed" } else { "succeeded" }});
        let records: Vec<Record> = builds
            .iter()
            .map(|(at, failed)| record("build.finished", *at, &outcome(*failed)))
            .collect();
        let firing = firing(&rule_when(condition), &records.iter().collect::<Vec<_>>())?;
        let ids = firing
            .events
            .iter()
            .map(|event| event.event_id.clone())
            .collect();
        Some((firing.measured["n"], ids))
    }

    const FAILED: &str = "of = [{ types = ['build.finished'], data = { outcome = 'failed' } }]";
    const SUCCEEDED: &str =
        "broken_by = [{ types = ['build.finished'], data = { outcome = 'succeeded' } }]";

    #[test]
    fn a_count_is_of_the_events_that_match() {
        let count = |bound: u32| {
            let text =
                format!("[[when]]\nname = 'n'\nmeasure = 'count'\nat_least = {bound}\n{FAILED}");
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
}

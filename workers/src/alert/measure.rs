//! What a rule's conditions measure in a stretch of events, kept so that stretches can be joined, and whether the rule
//! fires on what they measured.

mod hits;
mod streak;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use types::time::{Micros, SECOND};

pub use hits::Hit;
use hits::{Hits, MAX_NAMED};
use streak::{Run, RunLength, RunRule, Streak};
use values::{DistinctValues, FirstAndLast, RepeatedValues, Times, ValueChanges};

use super::filter::{self, EventFilter};
use super::rules::{Measure, Rule, RuleCondition};
use crate::normalize::LazyRecord;

/// A minute of time.
pub const MINUTE: Micros = 60 * SECOND;

/// What the conditions of one rule measured in a stretch of events, in the order (effective time, event id).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// One a condition, in the rule's order.
    conditions: Vec<MeasuredCondition>,
    /// The events that all conditions but streaks need: each once, however many conditions it meets.
    needed: Hits,
}

/// What one condition measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum MeasuredCondition {
    /// How many events.
    Count(u64),
    /// What their field comes to.
    Sum(u64),
    /// The largest value of their field.
    Largest(u64),
    /// How many of how many.
    Share {
        hits: u64,
        of: u64,
    },
    Distinct(DistinctValues),
    Repeated(RepeatedValues),
    Changes(Option<ValueChanges>),
    Numbers(Option<FirstAndLast>),
    /// The slots of time with an event, by their number since 1970.
    Slots(BTreeSet<i64>),
    /// The slots of each local day.
    Days(BTreeMap<String, BTreeSet<i64>>),
    Times(Option<Times>),
    Streak(Box<Streak>),
}

/// A rule that fires, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// What each condition measured, by its name.
    pub measured: BTreeMap<String, u64>,
    /// What came most often, by the name of the condition that counts repetitions.
    pub repeated: BTreeMap<String, String>,
    /// How many events made it fire.
    pub events: u64,
    /// The first few of them, in order; never empty.
    pub first: Vec<Hit>,
    /// The last of them.
    pub last: Hit,
}

/// What an event means to the conditions of a rule.
pub struct MetConditions {
    /// One a condition, in the rule's order.
    conditions: Vec<Met>,
    /// Whether a condition with a lower bound that is no streak needs it. Few events prove nothing: the evidence is the
    /// events that there had to be.
    is_needed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Nothing,
    /// It is one of the events that are meant.
    Hit,
    /// It ends a streak, or is one of those that a share is of.
    Other,
}

impl MetConditions {
    /// `None` if the event means nothing to the rule.
    #[must_use]
    pub fn by(rule: &Rule, event: &LazyRecord<'_>) -> Option<Self> {
        let met = |when: &RuleCondition| {
            if EventFilter::any(&when.of, event) {
                Met::Hit
            } else if EventFilter::any(&when.broken_by, event)
                || EventFilter::any(&when.among, event)
            {
                Met::Other
            } else {
                Met::Nothing
            }
        };
        let conditions: Vec<Met> = rule.when.iter().map(met).collect();
        let is_needed = rule.when.iter().zip(&conditions).any(|(when, met)| {
            *met == Met::Hit && when.at_least.is_some() && when.runs().is_none()
        });
        let matters = conditions.iter().any(|met| *met != Met::Nothing);
        matters.then_some(Self {
            conditions,
            is_needed,
        })
    }
}

impl RuleCondition {
    /// How its runs are told apart, if it is a streak.
    fn runs(&self) -> Option<RunRule> {
        let length = match self.measure {
            Measure::Streak | Measure::Unbroken => RunLength::Events,
            Measure::StreakSum | Measure::UnbrokenSum => RunLength::Sum,
            Measure::StreakMinutes | Measure::UnbrokenMinutes => RunLength::Minutes,
            _ => return None,
        };
        let pause = self
            .pause_minutes
            .map(|minutes| i64::from(minutes) * MINUTE);
        Some(RunRule { length, pause })
    }

    /// The run that counts.
    fn run<'s>(&self, streak: &'s Streak) -> &'s Run {
        match self.measure {
            Measure::Unbroken | Measure::UnbrokenSum | Measure::UnbrokenMinutes => streak.last(),
            _ => streak.longest(),
        }
    }

    fn field(&self) -> &str {
        self.field.as_deref().unwrap_or_default()
    }

    /// What it measures where nothing happened.
    fn nothing(&self) -> MeasuredCondition {
        match self.measure {
            Measure::Count => MeasuredCondition::Count(0),
            Measure::Sum => MeasuredCondition::Sum(0),
            Measure::Largest => MeasuredCondition::Largest(0),
            Measure::Percent => MeasuredCondition::Share { hits: 0, of: 0 },
            Measure::Distinct => MeasuredCondition::Distinct(DistinctValues::default()),
            Measure::Repeats => MeasuredCondition::Repeated(RepeatedValues::default()),
            Measure::Changes => MeasuredCondition::Changes(None),
            Measure::Increase => MeasuredCondition::Numbers(None),
            Measure::DistinctSlots => MeasuredCondition::Slots(BTreeSet::new()),
            Measure::Days => MeasuredCondition::Days(BTreeMap::new()),
            Measure::SpanMinutes | Measure::PauseMinutes => MeasuredCondition::Times(None),
            Measure::Streak
            | Measure::StreakSum
            | Measure::StreakMinutes
            | Measure::Unbroken
            | Measure::UnbrokenSum
            | Measure::UnbrokenMinutes => {
                MeasuredCondition::Streak(Box::new(Streak::Unbroken(Run::default())))
            }
        }
    }

    /// What it measures of one event that is meant.
    fn one(&self, event: &LazyRecord<'_>, day: &str, is_needed: bool) -> MeasuredCondition {
        let number = || filter::number(event.record(), self.field()).unwrap_or_default();
        match self.measure {
            Measure::Count => MeasuredCondition::Count(1),
            Measure::Sum => MeasuredCondition::Sum(number()),
            Measure::Largest => MeasuredCondition::Largest(number()),
            Measure::Percent => MeasuredCondition::Share { hits: 1, of: 1 },
            Measure::Distinct => {
                let mut values = DistinctValues::default();
                filter::each_text(event.record(), self.field(), |text| values.add(text));
                MeasuredCondition::Distinct(values)
            }
            Measure::Repeats => {
                let mut values = RepeatedValues::default();
                filter::each_text(event.record(), self.field(), |text| values.add(text));
                MeasuredCondition::Repeated(values)
            }
            Measure::Changes => {
                let mut changes = None;
                filter::each_text(event.record(), self.field(), |text| {
                    values::append(&mut changes, Some(ValueChanges::one(text)));
                });
                MeasuredCondition::Changes(changes)
            }
            Measure::Increase => MeasuredCondition::Numbers(
                filter::number(event.record(), self.field()).map(FirstAndLast::one),
            ),
            Measure::DistinctSlots => MeasuredCondition::Slots([self.slot(event.at())].into()),
            Measure::Days => {
                MeasuredCondition::Days([(day.to_owned(), [self.slot(event.at())].into())].into())
            }
            Measure::SpanMinutes | Measure::PauseMinutes => {
                MeasuredCondition::Times(Some(Times::one(event.at())))
            }
            Measure::Streak
            | Measure::StreakSum
            | Measure::StreakMinutes
            | Measure::Unbroken
            | Measure::UnbrokenSum
            | Measure::UnbrokenMinutes => {
                let sum = if self.field.is_some() { number() } else { 0 };
                MeasuredCondition::Streak(Box::new(Streak::Unbroken(Run {
                    hits: Hits::of(event),
                    shared: u64::from(is_needed),
                    sum,
                })))
            }
        }
    }

    /// What it measures of one event that is not meant, but named beside: `None` if nothing.
    fn other(&self) -> Option<MeasuredCondition> {
        if self.runs().is_some() {
            return Some(MeasuredCondition::Streak(Box::new(Streak::BREAK)));
        }
        (self.measure == Measure::Percent).then_some(MeasuredCondition::Share { hits: 0, of: 1 })
    }

    /// The slot of real time: an hour that a clock change repeats is not one hour but two.
    fn slot(&self, at: Micros) -> i64 {
        let minutes = self.slot_minutes.unwrap_or(Self::SLOT_MINUTES);
        at.div_euclid(i64::from(minutes) * MINUTE)
    }

    /// What was measured, as it is compared with the bounds.
    fn value(&self, measured: &MeasuredCondition) -> u64 {
        let minutes = |time: i64| u64::try_from(time / MINUTE).unwrap_or_default();
        match measured {
            MeasuredCondition::Count(value)
            | MeasuredCondition::Sum(value)
            | MeasuredCondition::Largest(value) => *value,
            MeasuredCondition::Share { hits, of } => (hits.saturating_mul(100))
                .checked_div(*of)
                .unwrap_or_default(),
            MeasuredCondition::Distinct(values) => values.count(),
            MeasuredCondition::Repeated(values) => values.most().map_or(0, |most| most.times),
            MeasuredCondition::Changes(changes) => changes.map_or(0, |changes| changes.changes),
            MeasuredCondition::Numbers(numbers) => numbers.map_or(0, |numbers| numbers.increase()),
            MeasuredCondition::Slots(slots) => slots.len() as u64,
            MeasuredCondition::Days(days) => {
                let each = self.slots_a_day.unwrap_or(1) as usize;
                days.values().filter(|slots| slots.len() >= each).count() as u64
            }
            MeasuredCondition::Times(times) => times.map_or(0, |times| match self.measure {
                Measure::PauseMinutes => minutes(times.longest_pause),
                _ => minutes(times.span()),
            }),
            MeasuredCondition::Streak(streak) => {
                (self.runs()).map_or(0, |runs| runs.length.of(self.run(streak)))
            }
        }
    }

    /// Adds what was measured in the stretch that follows.
    fn append(&self, here: &mut MeasuredCondition, next: &MeasuredCondition) {
        use MeasuredCondition as M;
        match (here, next) {
            (M::Count(here), M::Count(there)) | (M::Sum(here), M::Sum(there)) => {
                *here = here.saturating_add(*there);
            }
            (M::Largest(here), M::Largest(there)) => *here = (*here).max(*there),
            (
                M::Share { hits, of },
                M::Share {
                    hits: more,
                    of: more_of,
                },
            ) => {
                *hits = hits.saturating_add(*more);
                *of = of.saturating_add(*more_of);
            }
            (M::Distinct(here), M::Distinct(there)) => here.append(there),
            (M::Repeated(here), M::Repeated(there)) => here.append(there),
            (M::Changes(here), M::Changes(there)) => values::append(here, *there),
            (M::Numbers(here), M::Numbers(there)) => values::append(here, *there),
            (M::Slots(here), M::Slots(there)) => here.extend(there),
            (M::Days(here), M::Days(there)) => {
                for (day, slots) in there {
                    here.entry(day.clone()).or_default().extend(slots);
                }
            }
            (M::Times(here), M::Times(there)) => values::append(here, *there),
            (M::Streak(here), M::Streak(there)) => {
                if let Some(runs) = self.runs() {
                    here.append(there, runs);
                }
            }
            // Of another rule: what was kept of one rule is never joined to that of another.
            _ => {}
        }
    }
}

impl Measured {
    /// What the conditions measure where nothing happened.
    #[must_use]
    pub fn nothing(rule: &Rule) -> Self {
        Self {
            conditions: rule.when.iter().map(RuleCondition::nothing).collect(),
            needed: Hits::default(),
        }
    }

    /// Adds an event that follows all others, the rule's day that it is of, and what it meets.
    pub fn add(&mut self, rule: &Rule, event: &LazyRecord<'_>, day: &str, met: &MetConditions) {
        let conditions = self.conditions.iter_mut().zip(&rule.when);
        for ((measured, when), met_one) in conditions.zip(&met.conditions) {
            let one = match met_one {
                Met::Hit => Some(when.one(event, day, met.is_needed)),
                Met::Other => when.other(),
                Met::Nothing => None,
            };
            if let Some(one) = one {
                when.append(measured, &one);
            }
        }
        if met.is_needed {
            self.needed.append(&Hits::of(event));
        }
    }

    /// Adds what the same rule's conditions measured in the stretch that follows.
    pub fn append(&mut self, rule: &Rule, next: &Self) {
        let conditions = self.conditions.iter_mut().zip(&next.conditions);
        for ((here, there), when) in conditions.zip(&rule.when) {
            when.append(here, there);
        }
        self.needed.append(&next.needed);
    }

    /// Why the rule fires on what was measured in a window.
    #[must_use]
    pub fn firing(&self, rule: &Rule) -> Option<Firing> {
        let mut measured = BTreeMap::new();
        let mut repeated = BTreeMap::new();
        let mut evidence = vec![&self.needed];
        let mut shared = 0;
        for (condition, when) in self.conditions.iter().zip(&rule.when) {
            let value = when.value(condition);
            let low = when.at_least.is_some_and(|bound| value < bound);
            let high = when.at_most.is_some_and(|bound| value > bound);
            if low || high {
                return None;
            }
            measured.insert(when.name.clone(), value);
            match condition {
                MeasuredCondition::Streak(streak) if when.at_least.is_some() => {
                    let run = when.run(streak);
                    evidence.push(&run.hits);
                    shared += run.shared;
                }
                MeasuredCondition::Repeated(values) => {
                    let most = values.most().map(|most| most.value.clone());
                    repeated.extend(most.map(|value| (when.name.clone(), value)));
                }
                _ => {}
            }
        }
        let events = evidence.iter().map(|hits| hits.events).sum::<u64>() - shared;
        // An event that two conditions need is named once.
        let named: BTreeSet<&Hit> = evidence.iter().flat_map(|hits| &hits.first).collect();
        let last = evidence.iter().filter_map(|hits| hits.last()).max()?;
        Some(Firing {
            measured,
            repeated,
            events,
            first: named.into_iter().take(MAX_NAMED).cloned().collect(),
            last: last.clone(),
        })
    }
}

#[cfg(test)]
mod tests;

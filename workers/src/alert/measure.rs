//! What a rule's conditions measure in a stretch of events, kept so that stretches can be joined, and whether the rule
//! fires on what they measured.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use types::time::{Micros, SECOND};

use super::filter::EventFilter;
use super::rules::{Measure, Rule, RuleCondition};
use crate::normalize::LazyRecord;

/// Most events that are named as evidence.
const MAX_NAMED: usize = 5;

/// What the conditions of one rule measured in a stretch of events, in the order (effective time, event id).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// One a condition, in the rule's order.
    conditions: Vec<MeasuredCondition>,
    /// The events that counts and slots need: each once, however many conditions it meets.
    needed: Hits,
}

/// What one condition measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum MeasuredCondition {
    /// How many events.
    Count(u64),
    /// The slots of time with an event, by their number since 1970.
    Slots(BTreeSet<i64>),
    Streak(Box<Streak>),
}

/// The runs of a streak's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Streak {
    /// Nothing interrupted it.
    Unbroken(Run),
    Broken {
        /// Before the first break: it may go on from an earlier stretch.
        first: Run,
        /// The longest of all, the first of equally long ones.
        longest: Run,
        /// After the last break: it may go on in a later stretch.
        last: Run,
    },
}

/// Events of a streak with no break between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    hits: Hits,
    /// How many of them are among the events that counts and slots need.
    shared: u64,
}

/// Events that met conditions: how many, and the ones that are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hits {
    events: u64,
    /// The first few.
    first: Vec<Hit>,
    /// The last one, unless it is among the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Hit>,
}

/// An event that met a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// Effective time.
    pub at: Micros,
    pub event_id: String,
    /// The offset of local time from UTC, in seconds.
    pub offset: i32,
}

/// A rule that fires, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// What each condition measured, by its name.
    pub measured: BTreeMap<String, u64>,
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
    /// Whether a count or slots with a lower bound need it. Few events prove nothing: the evidence is the events that
    /// there had to be.
    is_needed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Nothing,
    /// It is one of the events that are meant.
    Hit,
    /// It ends a streak.
    Break,
}

impl MetConditions {
    /// `None` if the event means nothing to the rule.
    #[must_use]
    pub fn by(rule: &Rule, event: &LazyRecord<'_>) -> Option<Self> {
        let met = |when: &RuleCondition| {
            if EventFilter::any(&when.of, event) {
                Met::Hit
            } else if EventFilter::any(&when.broken_by, event) {
                Met::Break
            } else {
                Met::Nothing
            }
        };
        let conditions: Vec<Met> = rule.when.iter().map(met).collect();
        let is_needed = rule.when.iter().zip(&conditions).any(|(when, met)| {
            *met == Met::Hit && when.at_least.is_some() && when.measure != Measure::Streak
        });
        let matters = conditions.iter().any(|met| *met != Met::Nothing);
        matters.then_some(Self {
            conditions,
            is_needed,
        })
    }
}

impl Measured {
    /// What the conditions measure where nothing happened.
    #[must_use]
    pub fn nothing(rule: &Rule) -> Self {
        let nothing = |when: &RuleCondition| match when.measure {
            Measure::Count => MeasuredCondition::Count(0),
            Measure::DistinctSlots => MeasuredCondition::Slots(BTreeSet::new()),
            Measure::Streak => {
                MeasuredCondition::Streak(Box::new(Streak::Unbroken(Run::default())))
            }
        };
        Self {
            conditions: rule.when.iter().map(nothing).collect(),
            needed: Hits::default(),
        }
    }

    /// Adds an event that follows all others, and what it meets.
    pub fn add(&mut self, rule: &Rule, event: &LazyRecord<'_>, met: &MetConditions) {
        let conditions = self.conditions.iter_mut().zip(&rule.when);
        for ((measured, when), met_one) in conditions.zip(&met.conditions) {
            match (measured, met_one) {
                (MeasuredCondition::Count(count), Met::Hit) => *count += 1,
                (MeasuredCondition::Slots(slots), Met::Hit) => {
                    slots.insert(slot(when, event.at()));
                }
                (MeasuredCondition::Streak(streak), Met::Hit) => {
                    streak.append(&Streak::Unbroken(Run {
                        hits: Hits::of(event),
                        shared: u64::from(met.is_needed),
                    }));
                }
                (MeasuredCondition::Streak(streak), Met::Break) => streak.append(&Streak::BREAK),
                _ => {}
            }
        }
        if met.is_needed {
            self.needed.append(&Hits::of(event));
        }
    }

    /// Adds what the conditions measured in the stretch that follows.
    pub fn append(&mut self, next: &Self) {
        for (here, there) in self.conditions.iter_mut().zip(&next.conditions) {
            match (here, there) {
                (MeasuredCondition::Count(here), MeasuredCondition::Count(there)) => {
                    *here = here.saturating_add(*there);
                }
                (MeasuredCondition::Slots(here), MeasuredCondition::Slots(there)) => {
                    here.extend(there);
                }
                (MeasuredCondition::Streak(here), MeasuredCondition::Streak(there)) => {
                    here.append(there);
                }
                // Of another rule: what was kept of one rule is never joined to that of another.
                _ => {}
            }
        }
        self.needed.append(&next.needed);
    }

    /// Why the rule fires on what was measured in a window.
    #[must_use]
    pub fn firing(&self, rule: &Rule) -> Option<Firing> {
        let mut measured = BTreeMap::new();
        let mut evidence = vec![&self.needed];
        let mut shared = 0;
        for (condition, when) in self.conditions.iter().zip(&rule.when) {
            let value = condition.value();
            let low = when.at_least.is_some_and(|bound| value < bound);
            let high = when.at_most.is_some_and(|bound| value > bound);
            if low || high {
                return None;
            }
            measured.insert(when.name.clone(), value);
            if let (MeasuredCondition::Streak(streak), Some(_)) = (condition, when.at_least) {
                evidence.push(&streak.longest().hits);
                shared += streak.longest().shared;
            }
        }
        let events = evidence.iter().map(|hits| hits.events).sum::<u64>() - shared;
        // An event that two conditions need is named once.
        let named: BTreeSet<&Hit> = evidence.iter().flat_map(|hits| &hits.first).collect();
        let last = evidence.iter().filter_map(|hits| hits.last()).max()?;
        Some(Firing {
            measured,
            events,
            first: named.into_iter().take(MAX_NAMED).cloned().collect(),
            last: last.clone(),
        })
    }
}

/// The slot of real time: an hour that a clock change repeats is not one hour but two.
fn slot(when: &RuleCondition, at: Micros) -> i64 {
    let minutes = when.slot_minutes.unwrap_or(RuleCondition::SLOT_MINUTES);
    at.div_euclid(i64::from(minutes) * 60 * SECOND)
}

impl MeasuredCondition {
    fn value(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::Slots(slots) => slots.len() as u64,
            Self::Streak(streak) => streak.longest().hits.events,
        }
    }
}

impl Streak {
    /// What interrupts a run.
    const BREAK: Self = Self::Broken {
        first: Run::NONE,
        longest: Run::NONE,
        last: Run::NONE,
    };

    fn longest(&self) -> &Run {
        match self {
            Self::Unbroken(run) | Self::Broken { longest: run, .. } => run,
        }
    }

    fn append(&mut self, next: &Self) {
        match (&mut *self, next) {
            (Self::Unbroken(here), Self::Unbroken(there)) => here.append(there),
            (Self::Broken { longest, last, .. }, Self::Unbroken(there)) => {
                last.append(there);
                longest.keep_longer(last);
            }
            (
                Self::Unbroken(here),
                Self::Broken {
                    first,
                    longest,
                    last,
                },
            ) => {
                here.append(first);
                let mut best = here.clone();
                best.keep_longer(longest);
                *self = Self::Broken {
                    first: here.clone(),
                    longest: best,
                    last: last.clone(),
                };
            }
            (
                Self::Broken { longest, last, .. },
                Self::Broken {
                    first: next_first,
                    longest: next_longest,
                    last: next_last,
                },
            ) => {
                last.append(next_first);
                longest.keep_longer(last);
                longest.keep_longer(next_longest);
                last.clone_from(next_last);
            }
        }
    }
}

impl Run {
    const NONE: Self = Self {
        hits: Hits {
            events: 0,
            first: Vec::new(),
            last: None,
        },
        shared: 0,
    };

    fn append(&mut self, next: &Self) {
        self.hits.append(&next.hits);
        self.shared += next.shared;
    }

    /// `other` begins later or is this very run, grown: of equally long ones, the first stays.
    fn keep_longer(&mut self, other: &Self) {
        if other.hits.events > self.hits.events {
            self.clone_from(other);
        }
    }
}

impl Hits {
    fn of(event: &LazyRecord<'_>) -> Self {
        let hit = Hit {
            at: event.at(),
            event_id: event.event_id(),
            offset: event.clock().offset,
        };
        Self {
            events: 1,
            first: vec![hit],
            last: None,
        }
    }

    fn last(&self) -> Option<&Hit> {
        self.last.as_ref().or(self.first.last())
    }

    fn append(&mut self, next: &Self) {
        let room = MAX_NAMED.saturating_sub(self.first.len());
        if next.first.len() > room || next.last.is_some() {
            self.last = next.last().cloned();
        }
        self.first.extend(next.first.iter().take(room).cloned());
        self.events = self.events.saturating_add(next.events);
    }
}

#[cfg(test)]
mod tests;

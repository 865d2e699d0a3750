//! Runs of events: what interrupts them, and the longest and the last of them.

use serde::{Deserialize, Serialize};
use types::time::{Micros, SECOND};

use super::hits::Hits;

/// The runs of a streak's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Streak {
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
pub struct Run {
    /// Its events.
    pub hits: Hits,
    /// How many of them are among the events that the rule's other conditions need.
    pub shared: u64,
    /// What their field comes to, if the condition names one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sum: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(sum: &u64) -> bool {
    *sum == 0
}

/// How the runs of a condition are told apart and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRule {
    /// What makes a run longer than another one.
    pub length: RunLength,
    /// A longer time between two events interrupts a run.
    pub pause: Option<Micros>,
}

/// What the length of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLength {
    /// How many events it has.
    Events,
    /// The sum of their field.
    Sum,
    /// Whole minutes from the first to the last.
    Minutes,
}

impl RunLength {
    /// The length of a run.
    pub fn of(self, run: &Run) -> u64 {
        match self {
            Self::Events => run.hits.events,
            Self::Sum => run.sum,
            Self::Minutes => u64::try_from(run.hits.span() / (60 * SECOND)).unwrap_or_default(),
        }
    }
}

impl Streak {
    /// What interrupts a run.
    pub const BREAK: Self = Self::Broken {
        first: Run::NONE,
        longest: Run::NONE,
        last: Run::NONE,
    };

    /// The longest run, the first of equally long ones.
    pub fn longest(&self) -> &Run {
        match self {
            Self::Unbroken(run) | Self::Broken { longest: run, .. } => run,
        }
    }

    /// The run that nothing has interrupted yet.
    pub fn last(&self) -> &Run {
        match self {
            Self::Unbroken(run) | Self::Broken { last: run, .. } => run,
        }
    }

    fn first(&self) -> &Run {
        match self {
            Self::Unbroken(run) | Self::Broken { first: run, .. } => run,
        }
    }

    /// Adds what follows.
    pub fn append(&mut self, next: &Self, rule: RunRule) {
        let pause = match (self.last().hits.last(), next.first().hits.first.first()) {
            (Some(here), Some(there)) => there.at.saturating_sub(here.at),
            _ => 0,
        };
        if rule.pause.is_some_and(|longest| pause > longest) {
            self.join(&Self::BREAK, rule.length);
        }
        self.join(next, rule.length);
    }

    fn join(&mut self, next: &Self, length: RunLength) {
        match (&mut *self, next) {
            (Self::Unbroken(here), Self::Unbroken(there)) => here.append(there),
            (Self::Broken { longest, last, .. }, Self::Unbroken(there)) => {
                last.append(there);
                longest.keep_longer(last, length);
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
                best.keep_longer(longest, length);
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
                longest.keep_longer(last, length);
                longest.keep_longer(next_longest, length);
                last.clone_from(next_last);
            }
        }
    }
}

impl Run {
    const NONE: Self = Self {
        hits: Hits::NONE,
        shared: 0,
        sum: 0,
    };

    fn append(&mut self, next: &Self) {
        self.hits.append(&next.hits);
        self.shared += next.shared;
        self.sum = self.sum.saturating_add(next.sum);
    }

    /// `other` begins later or is this very run, grown: of equally long ones, the first stays.
    fn keep_longer(&mut self, other: &Self, length: RunLength) {
        let (here, there) = (length.of(self), length.of(other));
        let is_grown = self.hits.first.first() == other.hits.first.first()
            && other.hits.events > self.hits.events;
        if there > here || (there == here && is_grown) || self.hits.events == 0 {
            self.clone_from(other);
        }
    }
}

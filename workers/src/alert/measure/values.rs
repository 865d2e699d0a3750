//! What events say in one of their fields: how many values, the most frequent one, and how they change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Most values that are told apart. Of more, those with the least hashes are kept: what is kept of two stretches joined
/// is then what is kept of all their events, and a count of distinct values says "this many, or more".
pub const MAX_VALUES: usize = 256;
/// Longest value that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// Stands for a value: 64 bits of its BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueHash(u64);

impl ValueHash {
    /// That of a value.
    pub fn of(value: &str) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(value.as_bytes()).as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// Different values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctValues(BTreeSet<ValueHash>);

impl DistinctValues {
    /// Adds the value of an event.
    pub fn add(&mut self, value: &str) {
        self.0.insert(ValueHash::of(value));
        self.trim();
    }

    /// Adds what follows.
    pub fn append(&mut self, next: &Self) {
        self.0.extend(&next.0);
        self.trim();
    }

    /// How many there are: [`MAX_VALUES`] stands for that many or more.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn trim(&mut self) {
        while self.0.len() > MAX_VALUES {
            self.0.pop_last();
        }
    }
}

/// How often each value came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatedValues(BTreeMap<ValueHash, Repeated>);

/// A value, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeated {
    /// As it is shown.
    pub value: String,
    /// How often it came.
    pub times: u64,
}

impl RepeatedValues {
    /// Adds the value of an event.
    pub fn add(&mut self, value: &str) {
        let shown = || value.chars().take(MAX_SHOWN).collect();
        let repeated = self.0.entry(ValueHash::of(value));
        repeated
            .or_insert_with(|| Repeated {
                value: shown(),
                times: 0,
            })
            .times += 1;
        self.trim();
    }

    /// Adds what follows.
    pub fn append(&mut self, next: &Self) {
        for (hash, there) in &next.0 {
            match self.0.get_mut(hash) {
                Some(here) => here.times = here.times.saturating_add(there.times),
                None => drop(self.0.insert(*hash, there.clone())),
            }
        }
        self.trim();
    }

    /// The one that came most often; of equally frequent ones, the first by its text.
    pub fn most(&self) -> Option<&Repeated> {
        self.0
            .values()
            .min_by(|one, other| (other.times, &one.value).cmp(&(one.times, &other.value)))
    }

    fn trim(&mut self) {
        while self.0.len() > MAX_VALUES {
            self.0.pop_last();
        }
    }
}

/// What two stretches measured, of which one follows the other, joined.
pub trait Join: Copy {
    /// What both measured.
    fn join(self, next: Self) -> Self;
}

/// Adds what a stretch that follows measured, if it measured anything.
pub fn append<T: Join>(here: &mut Option<T>, next: Option<T>) {
    *here = match (*here, next) {
        (Some(here), Some(next)) => Some(here.join(next)),
        (here, next) => here.or(next),
    };
}

/// How often the value became another one from event to event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueChanges {
    first: ValueHash,
    last: ValueHash,
    /// How often it became another one.
    pub changes: u64,
}

impl ValueChanges {
    /// The value of one event.
    pub fn one(value: &str) -> Self {
        let value = ValueHash::of(value);
        Self {
            first: value,
            last: value,
            changes: 0,
        }
    }
}

impl Join for ValueChanges {
    fn join(self, next: Self) -> Self {
        Self {
            first: self.first,
            last: next.last,
            changes: self.changes + next.changes + u64::from(self.last != next.first),
        }
    }
}

/// The first and the last number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstAndLast {
    first: u64,
    last: u64,
}

impl FirstAndLast {
    /// The number of one event.
    pub fn one(value: u64) -> Self {
        Self {
            first: value,
            last: value,
        }
    }

    /// How much more the last is; 0 if it is less.
    pub fn increase(&self) -> u64 {
        self.last.saturating_sub(self.first)
    }
}

impl Join for FirstAndLast {
    fn join(self, next: Self) -> Self {
        Self {
            first: self.first,
            last: next.last,
        }
    }
}

/// When events came: the first, the last, and the longest time between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    first: i64,
    last: i64,
    /// In microseconds, as the others.
    pub longest_pause: i64,
}

impl Times {
    /// The time of one event, in microseconds since 1970.
    pub fn one(at: i64) -> Self {
        Self {
            first: at,
            last: at,
            longest_pause: 0,
        }
    }

    /// From the first to the last.
    pub fn span(&self) -> i64 {
        self.last.saturating_sub(self.first)
    }
}

impl Join for Times {
    fn join(self, next: Self) -> Self {
        let between = next.first.saturating_sub(self.last);
        Self {
            first: self.first,
            last: next.last,
            longest_pause: (self.longest_pause).max(next.longest_pause).max(between),
        }
    }
}

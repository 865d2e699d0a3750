//! What is counted of the events of one project, language and editor. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sums::{add, add_each, count, entry};
use crate::normalize::CountedEvent;

/// Counts of events of one project, language and editor. Integers only; times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tally {
    /// Active time: the pauses after these events.
    #[serde(skip_serializing_if = "is_default")]
    pub active: i64,
    /// Events by type.
    #[serde(skip_serializing_if = "is_default")]
    pub events: BTreeMap<String, u64>,
    /// `file.saved` events, and heartbeats that are due to a save (`is_write`).
    #[serde(skip_serializing_if = "is_default")]
    pub saves: u64,
    /// Of `file.edited`.
    #[serde(skip_serializing_if = "is_default")]
    pub edited: Change,
    /// Of `git.commit`; without characters.
    #[serde(skip_serializing_if = "is_default")]
    pub committed: Change,
    /// `git.commit` events by language of their paths: a commit counts once in each.
    #[serde(skip_serializing_if = "is_default")]
    pub commit_languages: BTreeMap<String, u64>,
    /// `build.finished` events by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub builds: BTreeMap<String, Runs>,
    /// `test.finished` events by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub test_runs: BTreeMap<String, Runs>,
    /// Tests in these runs.
    #[serde(skip_serializing_if = "is_default")]
    pub tests: Tests,
    /// `debug.ended` events.
    #[serde(skip_serializing_if = "is_default")]
    pub debugging: Runs,
    #[serde(skip_serializing_if = "is_default")]
    pub ai: Suggestions,
    /// Lines that a person wrote, by WakaTime's count.
    #[serde(skip_serializing_if = "is_default")]
    pub human_lines: u64,
    /// How often work came here from another project on the same day.
    #[serde(skip_serializing_if = "is_default")]
    pub project_switches: u64,
    /// Files that events are about.
    #[serde(skip_serializing_if = "is_default")]
    pub files: DistinctFiles,
}

/// Lines and characters, added and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    #[serde(skip_serializing_if = "is_default")]
    pub lines_added: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub lines_removed: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub chars_added: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub chars_removed: u64,
}

/// Things that ran: how many, and for how long in all, as far as their events tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runs {
    #[serde(skip_serializing_if = "is_default")]
    pub count: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub ms: u64,
}

/// Tests of all runs, summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Tests that passed only when tried again.
    pub flaky: u64,
}

/// What an AI suggested, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Suggestions {
    /// `ai.suggestion` events by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub outcomes: BTreeMap<String, u64>,
    /// Lines of those that were accepted or edited.
    #[serde(skip_serializing_if = "is_default")]
    pub lines: u64,
    /// Characters of those that were accepted or edited.
    #[serde(skip_serializing_if = "is_default")]
    pub chars: u64,
    /// Lines that an AI wrote, by WakaTime's count.
    #[serde(skip_serializing_if = "is_default")]
    pub wakatime_lines: u64,
}

/// What is not there is not written: an hour's segments are read and written with each batch.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Tally {
    /// Counts an event, whose languages are these.
    pub fn count(&mut self, event: &CountedEvent, languages: &BTreeMap<String, u64>) {
        count(&mut self.events, &event.kind);
        match event.kind.as_str() {
            "file.edited" => self.edited.add(&Change::of(event)),
            "file.saved" => add(&mut self.saves, 1),
            "heartbeat" => add(&mut self.saves, u64::from(event.flag("is_write"))),
            "git.commit" => {
                let change = Change::of(event);
                self.committed.add(&Change {
                    chars_added: 0,
                    chars_removed: 0,
                    ..change
                });
                for language in languages.keys() {
                    count(&mut self.commit_languages, language);
                }
            }
            "build.finished" => {
                entry(&mut self.builds, outcome(event, "succeeded")).add(Runs::of(event));
            }
            "test.finished" => {
                entry(&mut self.test_runs, outcome(event, "passed")).add(Runs::of(event));
                self.tests.add(Tests {
                    passed: event.count("passed"),
                    failed: event.count("failed"),
                    skipped: event.count("skipped"),
                    flaky: event.count("flaky"),
                });
            }
            "debug.ended" => self.debugging.add(Runs::of(event)),
            "ai.suggestion" => self.ai.count(event),
            _ => {}
        }
        add(&mut self.ai.wakatime_lines, event.ai_lines);
        add(&mut self.human_lines, event.human_lines);
        if let Some(path) = &event.path {
            self.files.count(path);
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.active += other.active;
        add_each(&mut self.events, &other.events);
        add(&mut self.saves, other.saves);
        self.edited.add(&other.edited);
        self.committed.add(&other.committed);
        add_each(&mut self.commit_languages, &other.commit_languages);
        add_runs(&mut self.builds, &other.builds);
        add_runs(&mut self.test_runs, &other.test_runs);
        self.tests.add(other.tests);
        self.debugging.add(other.debugging);
        add_each(&mut self.ai.outcomes, &other.ai.outcomes);
        add(&mut self.ai.lines, other.ai.lines);
        add(&mut self.ai.chars, other.ai.chars);
        add(&mut self.ai.wakatime_lines, other.ai.wakatime_lines);
        add(&mut self.human_lines, other.human_lines);
        add(&mut self.project_switches, other.project_switches);
        self.files.add(&other.files);
    }

    /// Events of this type.
    #[must_use]
    pub fn of_type(&self, kind: &str) -> u64 {
        self.events.get(kind).copied().unwrap_or_default()
    }
}

fn add_runs(sums: &mut BTreeMap<String, Runs>, more: &BTreeMap<String, Runs>) {
    for (outcome, runs) in more {
        entry(sums, outcome).add(*runs);
    }
}

/// The outcome of a build or a test run; `success` is what the type calls a good one.
fn outcome<'a>(event: &'a CountedEvent, success: &str) -> &'a str {
    let known = |outcome: &&str| *outcome == success || matches!(*outcome, "failed" | "cancelled");
    event.text("outcome").filter(known).unwrap_or("unknown")
}

impl Change {
    fn of(event: &CountedEvent) -> Self {
        Self {
            lines_added: event.count("lines_added"),
            lines_removed: event.count("lines_removed"),
            chars_added: event.count("chars_added"),
            chars_removed: event.count("chars_removed"),
        }
    }

    fn add(&mut self, other: &Self) {
        add(&mut self.lines_added, other.lines_added);
        add(&mut self.lines_removed, other.lines_removed);
        add(&mut self.chars_added, other.chars_added);
        add(&mut self.chars_removed, other.chars_removed);
    }
}

impl Runs {
    fn of(event: &CountedEvent) -> Self {
        Self {
            count: 1,
            ms: event.count("duration_ms"),
        }
    }

    fn add(&mut self, other: Self) {
        add(&mut self.count, other.count);
        add(&mut self.ms, other.ms);
    }
}

impl Tests {
    fn add(&mut self, other: Self) {
        add(&mut self.passed, other.passed);
        add(&mut self.failed, other.failed);
        add(&mut self.skipped, other.skipped);
        add(&mut self.flaky, other.flaky);
    }
}

impl Suggestions {
    fn count(&mut self, event: &CountedEvent) {
        let known =
            |outcome: &&str| matches!(*outcome, "shown" | "accepted" | "rejected" | "edited");
        let outcome = event.text("outcome").filter(known).unwrap_or("unknown");
        count(&mut self.outcomes, outcome);
        if matches!(outcome, "accepted" | "edited") {
            add(&mut self.lines, event.count("lines"));
            add(&mut self.chars, event.count("chars"));
        }
    }
}

/// Distinct files, without keeping their names: exact up to [`Self::EXACT`], from there on estimated from the smallest
/// hashes, with an error of some 3 % (k minimum values: Bar-Yossef et al., "Counting Distinct Elements in a Data
/// Stream", RANDOM 2002, algorithm 2). So an hour is bounded, whatever is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DistinctFiles {
    /// The smallest hashes of their paths, each below 2^53.
    smallest: BTreeSet<u64>,
}

impl DistinctFiles {
    /// So many are counted exactly.
    pub const EXACT: usize = 1024;
    const HASH_BITS: u32 = 53;

    fn count(&mut self, path: &str) {
        let hash = types::event::hash(path.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        self.insert(u64::from_be_bytes(first) >> (64 - Self::HASH_BITS));
    }

    fn insert(&mut self, hash: u64) {
        self.smallest.insert(hash);
        if self.smallest.len() > Self::EXACT {
            self.smallest.pop_last();
        }
    }

    fn add(&mut self, other: &Self) {
        other.smallest.iter().for_each(|hash| self.insert(*hash));
    }

    /// How many there are.
    #[must_use]
    pub fn number(&self) -> u64 {
        let kept = self.smallest.len();
        match self.smallest.last() {
            Some(largest) if kept == Self::EXACT => {
                let share = *largest as f64 / 2_f64.powi(Self::HASH_BITS as i32);
                (((kept - 1) as f64 / share).round() as u64).max(kept as u64)
            }
            _ => kept as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_counted_exactly_and_many_nearly() {
        let mut few = DistinctFiles::default();
        for _ in 0..2 {
            (0..1000).for_each(|n| few.count(&format!("src/{n}.rs")));
        }
        assert_eq!(few.number(), 1000);
        let mut many = few.clone();
        let mut others = DistinctFiles::default();
        (500..100_000).for_each(|n| others.count(&format!("src/{n}.rs")));
        many.add(&others);
        let number = many.number();
        assert!((90_000..110_000).contains(&number), "{number}");
        assert_eq!(many.smallest.len(), DistinctFiles::EXACT);
        // In whatever order they come.
        others.add(&few);
        assert_eq!(others, many);
    }
}

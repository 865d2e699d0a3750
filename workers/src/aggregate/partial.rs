//! What one UTC hour holds of one local day, and how each event counts in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::time::{Micros, SECOND};

use super::commit_languages::{languages_of, main_language};
use super::sums::{add, count};
use crate::normalize::CountedEvent;

/// The longest pause that still counts as active time: 15 minutes, as WakaTime's default keystroke
/// timeout (<https://wakatime.com/developers#durations>, `timeout`).
pub const IDLE: Micros = 15 * 60 * SECOND;

/// The name of a language or project that is not known.
pub const UNKNOWN: &str = "unknown";

/// The part of a local day that lies in one UTC hour; or several neighbouring ones, folded.
///
/// Everything in it follows from its events in the order (effective time, event id), so that parts
/// folded in the order of their hours are the part of the whole day. Integers only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Part {
    /// Events by type.
    #[serde(skip_serializing_if = "is_default")]
    pub events: BTreeMap<String, u64>,
    /// `file.edited` events.
    #[serde(skip_serializing_if = "is_default")]
    pub edits: u64,
    /// `file.saved` events, and heartbeats that are due to a save (`is_write`).
    #[serde(skip_serializing_if = "is_default")]
    pub saves: u64,
    /// `git.commit` events.
    #[serde(skip_serializing_if = "is_default")]
    pub commits: u64,
    /// Lines of `file.edited`.
    #[serde(skip_serializing_if = "is_default")]
    pub edited: Lines,
    /// Lines of `git.commit`.
    #[serde(skip_serializing_if = "is_default")]
    pub committed: Lines,
    #[serde(skip_serializing_if = "is_default")]
    pub commits_by: CommitsBy,
    /// `build.finished` events by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub builds: BTreeMap<String, u64>,
    /// `test.finished` events by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub test_runs: BTreeMap<String, u64>,
    /// Tests in these runs.
    #[serde(skip_serializing_if = "is_default")]
    pub tests: Tests,
    #[serde(skip_serializing_if = "is_default")]
    pub active: Active,
    /// Projects by key, as their owner wrote them: the spelling of the last event of each.
    #[serde(skip_serializing_if = "is_default")]
    pub project_names: BTreeMap<String, String>,
    /// The first and the last event; `None` if there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub span: Option<Span>,
}

/// Lines added and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lines {
    #[serde(skip_serializing_if = "is_default")]
    pub added: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub removed: u64,
}

/// `git.commit` events by what they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommitsBy {
    /// By language of their paths: a commit counts once in each.
    #[serde(skip_serializing_if = "is_default")]
    pub languages: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub projects: BTreeMap<String, u64>,
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

/// Active time in microseconds: the pauses of at most [`IDLE`] between neighbouring events. Each
/// counts for the language and project of the event *before* it (WakaTime: a heartbeat lasts until
/// the next one).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Active {
    #[serde(skip_serializing_if = "is_default")]
    pub total: Micros,
    #[serde(skip_serializing_if = "is_default")]
    pub languages: BTreeMap<String, Micros>,
    #[serde(skip_serializing_if = "is_default")]
    pub projects: BTreeMap<String, Micros>,
}

/// The events that a neighbouring part may be active time away from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub first: EdgeEvent,
    pub last: EdgeEvent,
}

/// The first or last event of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeEvent {
    /// The effective time.
    pub at: Micros,
    pub language: String,
    pub project: String,
}

/// What is not there is not written: an hour's segments are read and written with each batch.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Part {
    /// The part that a single event makes up.
    #[must_use]
    pub fn of(event: &CountedEvent) -> Self {
        let mut part = Self::default();
        part.add(event);
        part
    }

    /// Adds the event that comes next: the same as appending the part that it makes up.
    pub fn add(&mut self, event: &CountedEvent) {
        let languages = match event.kind.as_str() {
            "git.commit" => languages_of(event),
            _ => BTreeMap::new(),
        };
        let language = event.language.as_deref().or(main_language(&languages));
        let project = event.project.as_deref().unwrap_or(UNKNOWN);
        count(&mut self.events, &event.kind);
        match event.kind.as_str() {
            "file.edited" => {
                add(&mut self.edits, 1);
                self.edited.add(Lines::of(event));
            }
            "file.saved" => add(&mut self.saves, 1),
            "heartbeat" => add(&mut self.saves, u64::from(event.flag("is_write"))),
            "git.commit" => {
                add(&mut self.commits, 1);
                self.committed.add(Lines::of(event));
                for language in languages.keys() {
                    count(&mut self.commits_by.languages, language);
                }
                count(&mut self.commits_by.projects, project);
            }
            "build.finished" => count(&mut self.builds, outcome(event, "succeeded")),
            "test.finished" => {
                count(&mut self.test_runs, outcome(event, "passed"));
                self.tests.add(Tests::of(event));
            }
            _ => {}
        }
        if let (Some(key), Some(name)) = (&event.project, &event.project_name)
            && self.project_names.get(key) != Some(name)
        {
            self.project_names.insert(key.clone(), name.clone());
        }
        let edge = EdgeEvent {
            at: event.at,
            language: language.unwrap_or(UNKNOWN).to_owned(),
            project: project.to_owned(),
        };
        match &mut self.span {
            Some(span) => {
                self.active.pause(&span.last, edge.at);
                span.last = edge;
            }
            None => {
                self.span = Some(Span {
                    first: edge.clone(),
                    last: edge,
                });
            }
        }
    }
}

impl Lines {
    fn of(event: &CountedEvent) -> Self {
        Self {
            added: event.count("lines_added"),
            removed: event.count("lines_removed"),
        }
    }
}

impl Tests {
    fn of(event: &CountedEvent) -> Self {
        Self {
            passed: event.count("passed"),
            failed: event.count("failed"),
            skipped: event.count("skipped"),
            flaky: event.count("flaky"),
        }
    }
}

/// The outcome of a build or a test run; `success` is what the type calls a good one.
fn outcome<'a>(event: &'a CountedEvent, success: &str) -> &'a str {
    let known = |outcome: &&str| *outcome == success || matches!(*outcome, "failed" | "cancelled");
    event.text("outcome").filter(known).unwrap_or(UNKNOWN)
}

//! What one UTC hour holds of one local day, and how each event counts in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::time::{Micros, SECOND};

use super::commit_languages::{languages_of, main_language};
use crate::normalize::Record;

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
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Events by type.
    pub events: BTreeMap<String, u64>,
    /// `file.edited` events.
    pub edits: u64,
    /// `file.saved` events, and heartbeats that are due to a save (`is_write`).
    pub saves: u64,
    /// `git.commit` events.
    pub commits: u64,
    /// Lines of `file.edited`.
    pub edited: Lines,
    /// Lines of `git.commit`.
    pub committed: Lines,
    pub commits_by: CommitsBy,
    /// `build.finished` events by outcome.
    pub builds: BTreeMap<String, u64>,
    /// `test.finished` events by outcome.
    pub test_runs: BTreeMap<String, u64>,
    /// Tests in these runs.
    pub tests: Tests,
    pub active: Active,
    /// Projects by key, as their owner wrote them: the spelling of the last event of each.
    pub project_names: BTreeMap<String, String>,
    /// The first and the last event; `None` if there is none.
    pub span: Option<Span>,
}

/// Lines added and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    pub added: u64,
    pub removed: u64,
}

/// `git.commit` events by what they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitsBy {
    /// By language of their paths: a commit counts once in each.
    pub languages: BTreeMap<String, u64>,
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
#[serde(deny_unknown_fields)]
pub struct Active {
    pub total: Micros,
    pub languages: BTreeMap<String, Micros>,
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

impl Part {
    /// The part that a single event makes up.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let languages = languages_of(record);
        let mut part = Self {
            events: once(&record.kind),
            ..Self::default()
        };
        match record.kind.as_str() {
            "file.edited" => {
                part.edits = 1;
                part.edited = Lines::of(record);
            }
            "file.saved" => part.saves = 1,
            "heartbeat" => part.saves = u64::from(record.flag("is_write")),
            "git.commit" => {
                part.commits = 1;
                part.committed = Lines::of(record);
                part.commits_by = CommitsBy {
                    languages: languages.keys().map(|name| (name.clone(), 1)).collect(),
                    projects: once(record.project.as_deref().unwrap_or(UNKNOWN)),
                };
            }
            "build.finished" => part.builds = once(outcome(record, "succeeded")),
            "test.finished" => {
                part.test_runs = once(outcome(record, "passed"));
                part.tests = Tests::of(record);
            }
            _ => {}
        }
        if let (Some(key), Some(name)) = (&record.project, &record.project_name) {
            part.project_names.insert(key.clone(), name.clone());
        }
        let named = |name: Option<&str>| name.unwrap_or(UNKNOWN).to_owned();
        let event = EdgeEvent {
            at: record.at,
            language: named(main_language(&languages)),
            project: named(record.project.as_deref()),
        };
        part.span = Some(Span {
            first: event.clone(),
            last: event,
        });
        part
    }
}

impl Lines {
    fn of(record: &Record) -> Self {
        Self {
            added: record.count("lines_added"),
            removed: record.count("lines_removed"),
        }
    }
}

impl Tests {
    fn of(record: &Record) -> Self {
        Self {
            passed: record.count("passed"),
            failed: record.count("failed"),
            skipped: record.count("skipped"),
            flaky: record.count("flaky"),
        }
    }
}

fn once(name: &str) -> BTreeMap<String, u64> {
    BTreeMap::from([(name.to_owned(), 1)])
}

/// The outcome of a build or a test run; `success` is what the type calls a good one.
fn outcome<'a>(record: &'a Record, success: &str) -> &'a str {
    let known = |outcome: &&str| *outcome == success || matches!(*outcome, "failed" | "cancelled");
    record.text("outcome").filter(known).unwrap_or(UNKNOWN)
}

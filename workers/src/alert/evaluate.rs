//! Rules on the windows that new events touch: pure, the same for every worker and in every order.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use store::{RuleWindow, Snapshot, StoredEvent};
use types::time::Micros;

use super::finding::finding;
use super::measure::{Firing, judge};
use super::rules::Rule;
use super::windows::{Day, Origin, Touched, generation};
use crate::normalize::{self, Record, normalize};

/// Rises with every change of what conditions measure or findings say.
pub const ENGINE: i32 = 1;

/// What all rules found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// One a rule and window that holds a touched day; a finding of `None` retracts.
    pub windows: Vec<RuleWindow>,
    /// The rules that gave nothing, and why: to be logged and counted. The others are whole.
    pub failed: Vec<(String, RuleError)>,
}

/// Why a rule gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its evaluation panicked: a defect.
    #[error("the rule panicked: {0}")]
    Panicked(String),
}

/// Evaluates `rules` on every window of `developer` that holds a touched day.
///
/// `snapshot` brings all events and generations of [`super::ranges`], in any order; more of them
/// change nothing. `now` only decides whether an alert is still news.
#[must_use]
pub fn evaluate(
    rules: &[Rule],
    developer: &str,
    touched: &Touched,
    snapshot: &Snapshot,
    now: Micros,
) -> Evaluation {
    Engine::default().evaluate(rules, developer, touched, snapshot, now)
}

/// The two steps that a test may replace: how events become records, and how a rule is judged.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Stored event → record.
    pub read: fn(&StoredEvent) -> Record,
    /// Rule and the records of a window, by (time, event id) → why it fires.
    pub judge: for<'a> fn(&Rule, &[&'a Record]) -> Option<Firing<'a>>,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            read: normalize,
            judge,
        }
    }
}

/// One developer's records by local day, and the rest of what windows are made from.
struct Input<'a> {
    developer: &'a str,
    days: BTreeMap<&'a str, Vec<&'a Record>>,
    snapshot: &'a Snapshot,
    now: Micros,
}

impl Engine {
    /// [`evaluate`] with this engine's steps.
    #[must_use]
    pub fn evaluate(
        &self,
        rules: &[Rule],
        developer: &str,
        touched: &Touched,
        snapshot: &Snapshot,
        now: Micros,
    ) -> Evaluation {
        let records: Vec<Record> = snapshot.events.iter().map(self.read).collect();
        let mut days: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in &records {
            days.entry(&record.local_day).or_default().push(record);
        }
        let input = Input {
            developer,
            days,
            snapshot,
            now,
        };
        let mut evaluation = Evaluation::default();
        for rule in rules {
            let windows = touched.windows(rule).into_iter();
            let found = isolated(|| {
                windows
                    .map(|(start, origin)| self.window(rule, start, origin, &input))
                    .collect()
            });
            match found {
                Ok::<Vec<RuleWindow>, _>(windows) => evaluation.windows.extend(windows),
                Err(error) => evaluation.failed.push((rule.id.clone(), error)),
            }
        }
        evaluation
    }

    fn window(&self, rule: &Rule, start: Day, origin: &Origin, input: &Input<'_>) -> RuleWindow {
        let end = start.plus(i32::from(rule.window_days) - 1);
        let days = (0..i32::from(rule.window_days)).map(|later| start.plus(later).to_string());
        let mut records: Vec<&Record> = days
            .filter_map(|day| input.days.get(day.as_str()))
            .flatten()
            .copied()
            .collect();
        // Across days too: who travels west lives an hour of one day after hours of the next.
        records.sort_by(|one, other| (one.at, &one.event_id).cmp(&(other.at, &other.event_id)));
        let offset = records.last().map_or(0, |record| record.offset);
        let found = (self.judge)(rule, &records).map(|firing| {
            finding(
                rule,
                (input.developer, start, end),
                &firing,
                origin,
                (input.now, offset),
            )
        });
        RuleWindow {
            developer: input.developer.to_owned(),
            rule: rule.id.clone(),
            window_start: start.to_string(),
            generation: generation(input.snapshot, start, end),
            version: version(rule),
            finding: found,
            batch: origin.batch,
            correlation_id: origin.correlation_id.clone(),
            replay_id: origin.replay_id.clone(),
        }
    }
}

/// What a finding depends on beside the events: rule, conditions and normalizer. The sum rises when
/// one of the three does, and none of them ever falls.
fn version(rule: &Rule) -> i32 {
    rule.version.saturating_add(ENGINE + normalize::VERSION)
}

/// Runs one rule so that its panic is an error and no other rule's end.
fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, RuleError> {
    // Nothing of a half-done evaluation outlives the closure: its results are dropped whole.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| RuleError::Panicked(message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;

//! Rules on the windows that new events touch: pure, the same for every worker and in every order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use runtime::panic_text;
use store::{RuleWindow, Snapshot};
use types::time::Micros;

use super::finding::{FindingWindow, finding};
use super::measure::firing;
use super::rules::{DayBegins, Rule};
use super::windows::{LocalDay, TouchedBy, TouchedDays, generation};
use crate::normalize::{self, Record, normalize};

/// Rises with every change of what conditions measure or findings say.
pub const ENGINE_VERSION: i32 = 2;

/// The findings of all rules for one developer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// One for each rule and window that holds a touched day; a finding of `None` retracts.
    pub windows: Vec<RuleWindow>,
    /// The rules that have no result, and why: to be logged and counted. The others are complete.
    pub failed: Vec<(String, RuleError)>,
}

/// Why a rule has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its evaluation panicked: a defect.
    #[error("the rule panicked: {0}")]
    Panicked(String),
}

/// Evaluates `rules` on every window of `developer` that holds a touched day.
///
/// `snapshot` brings all events and generations of [`super::windows::ranges`], in any order; more of them
/// change nothing. `now` only decides whether an alert is still news.
#[must_use]
pub fn evaluate(
    rules: &[Rule],
    developer: &str,
    touched: &TouchedDays,
    snapshot: &Snapshot,
    now: Micros,
) -> Evaluation {
    let records: Vec<Record> = snapshot.events.iter().map(normalize).collect();
    let mut days: BTreeMap<DayBegins, BTreeMap<String, Vec<&Record>>> = BTreeMap::new();
    let mut evaluation = Evaluation::default();
    for rule in rules {
        let days = days
            .entry(rule.day_begins)
            .or_insert_with_key(|begins| by_day(&records, *begins));
        let input = Input {
            developer,
            days,
            snapshot,
            now,
        };
        let windows = touched.windows(rule).into_iter();
        let found = isolated(|| {
            windows
                .map(|(start, origin)| input.evaluate(rule, start, origin))
                .collect()
        });
        match found {
            Ok::<Vec<RuleWindow>, _>(windows) => evaluation.windows.extend(windows),
            Err(error) => evaluation.failed.push((rule.id.clone(), error)),
        }
    }
    evaluation
}

/// The records by the day they belong to, if days begin at that time.
fn by_day(records: &[Record], begins: DayBegins) -> BTreeMap<String, Vec<&Record>> {
    let mut days: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let day = match begins.after_midnight() {
            0 => record.local_day.clone(),
            later => record.local_day_before(later),
        };
        days.entry(day).or_default().push(record);
    }
    days
}

/// What the windows of one developer are evaluated on.
struct Input<'a> {
    developer: &'a str,
    /// By the rule's day.
    days: &'a BTreeMap<String, Vec<&'a Record>>,
    snapshot: &'a Snapshot,
    now: Micros,
}

impl Input<'_> {
    fn evaluate(&self, rule: &Rule, start: LocalDay, origin: &TouchedBy) -> RuleWindow {
        let end = start.plus(i32::from(rule.window_days) - 1);
        let days = (0..i32::from(rule.window_days)).map(|later| start.plus(later).to_string());
        let mut records: Vec<&Record> = days
            .filter_map(|day| self.days.get(day.as_str()))
            .flatten()
            .copied()
            .collect();
        // Across days too: who travels west lives an hour of one day after hours of the next.
        records.sort_by(|one, other| (one.at, &one.event_id).cmp(&(other.at, &other.event_id)));
        let window = FindingWindow {
            developer: self.developer,
            start,
            end,
            offset: records.last().map_or(0, |record| record.offset),
        };
        let found =
            firing(rule, &records).map(|firing| finding(rule, &window, &firing, origin, self.now));
        RuleWindow {
            developer: self.developer.to_owned(),
            rule: rule.id.clone(),
            window_start: start.to_string(),
            generation: generation(self.snapshot, start, start.plus(rule.days_read() - 1)),
            version: version(rule),
            finding: found,
            batch: origin.batch,
            correlation_id: origin.correlation_id.clone(),
            replay_id: origin.replay_id.clone(),
        }
    }
}

/// The version of all that a finding depends on besides the events: rule, conditions and normalizer. The sum rises when
/// one of the three does, and none of them ever falls.
fn version(rule: &Rule) -> i32 {
    rule.version
        .saturating_add(ENGINE_VERSION + normalize::VERSION)
}

/// Runs one rule so that its panic is an error and does not stop other rules.
fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, RuleError> {
    // Nothing of a half-done evaluation outlives the closure: its results are dropped whole.
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| RuleError::Panicked(panic_text(&*panic).to_owned()))
}

#[cfg(test)]
mod tests;

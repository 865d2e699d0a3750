//! The metrics of a local day, as replies to queries contain them.

use std::collections::BTreeMap;

use serde::Serialize;
use types::time::{Micros, SECOND, rfc3339};

use super::partial::{Part, Tests};

/// The body of a day's row. Defined for users in `docs/metrics.md`.
#[derive(Serialize)]
pub struct DayMetrics<'a> {
    active_seconds: i64,
    active_minutes: i64,
    events: u64,
    events_by_type: &'a BTreeMap<String, u64>,
    edits: u64,
    saves: u64,
    commits: u64,
    lines_added: u64,
    lines_removed: u64,
    commit_lines_added: u64,
    commit_lines_removed: u64,
    builds: &'a BTreeMap<String, u64>,
    test_runs: &'a BTreeMap<String, u64>,
    tests: Tests,
    languages: Vec<Time<'a>>,
    projects: Vec<Time<'a>>,
    first_at: Option<String>,
    last_at: Option<String>,
}

/// Active time by name.
#[derive(Serialize)]
struct Time<'a> {
    name: &'a str,
    seconds: i64,
}

impl<'a> DayMetrics<'a> {
    /// The metrics of the day that is folded in `whole`; zeros if it has no event (any more).
    pub fn of(whole: &'a Part) -> Self {
        Self {
            active_seconds: whole.active.total / SECOND,
            active_minutes: whole.active.total / (60 * SECOND),
            events: whole.events.values().sum(),
            events_by_type: &whole.events,
            edits: whole.edits,
            saves: whole.saves,
            commits: whole.commits,
            lines_added: whole.edited.added,
            lines_removed: whole.edited.removed,
            commit_lines_added: whole.committed.added,
            commit_lines_removed: whole.committed.removed,
            builds: &whole.builds,
            test_runs: &whole.test_runs,
            tests: whole.tests,
            languages: times(&whole.active.languages),
            projects: times(&whole.active.projects),
            first_at: whole.span.as_ref().map(|span| rfc3339(span.first.at)),
            last_at: whole.span.as_ref().map(|span| rfc3339(span.last.at)),
        }
    }
}

/// The longest first, then by name; what is less than a second is left out.
fn times(by_name: &BTreeMap<String, Micros>) -> Vec<Time<'_>> {
    let times = by_name.iter().map(|(name, time)| Time {
        name,
        seconds: time / SECOND,
    });
    let mut times: Vec<Time<'_>> = times.filter(|time| time.seconds > 0).collect();
    // Stable, and the map's order is that of names.
    times.sort_by_key(|time| std::cmp::Reverse(time.seconds));
    times
}

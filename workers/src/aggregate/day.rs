//! The metrics of a local day, as replies to queries contain them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

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
    commands: u64,
    lines_added: u64,
    lines_removed: u64,
    commit_lines_added: u64,
    commit_lines_removed: u64,
    builds: &'a BTreeMap<String, u64>,
    test_runs: &'a BTreeMap<String, u64>,
    tests: Tests,
    languages: Vec<Share<'a>>,
    projects: Vec<Share<'a>>,
    first_at: Option<String>,
    last_at: Option<String>,
}

/// What a language or project had of the day.
#[derive(Serialize)]
struct Share<'a> {
    /// The language, or the project as its owner wrote it.
    name: &'a str,
    /// What filters and sums know a project by.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// Active time.
    seconds: i64,
    commits: u64,
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
            commands: whole
                .events
                .get("terminal.command")
                .copied()
                .unwrap_or_default(),
            lines_added: whole.edited.added,
            lines_removed: whole.edited.removed,
            commit_lines_added: whole.committed.added,
            commit_lines_removed: whole.committed.removed,
            builds: &whole.builds,
            test_runs: &whole.test_runs,
            tests: whole.tests,
            languages: shares(&whole.active.languages, &whole.commits_by.languages),
            projects: project_shares(whole),
            first_at: whole.span.as_ref().map(|span| rfc3339(span.first.at)),
            last_at: whole.span.as_ref().map(|span| rfc3339(span.last.at)),
        }
    }
}

/// The most active time first, then the most commits, then by name. What has neither a second nor a commit is left out.
fn shares<'a>(
    active: &'a BTreeMap<String, Micros>,
    commits: &'a BTreeMap<String, u64>,
) -> Vec<Share<'a>> {
    let names: BTreeSet<&String> = active.keys().chain(commits.keys()).collect();
    let shares = names.into_iter().map(|name| Share {
        name,
        key: None,
        seconds: active.get(name).copied().unwrap_or_default() / SECOND,
        commits: commits.get(name).copied().unwrap_or_default(),
    });
    let mut shares: Vec<Share<'_>> = shares
        .filter(|share| share.seconds > 0 || share.commits > 0)
        .collect();
    // Stable, and the set's order is that of names.
    shares.sort_by_key(|share| Reverse((share.seconds, share.commits)));
    shares
}

/// The same of projects, under the names to show.
fn project_shares(whole: &Part) -> Vec<Share<'_>> {
    let mut shares = shares(&whole.active.projects, &whole.commits_by.projects);
    for share in &mut shares {
        share.key = Some(share.name);
        share.name = whole
            .project_names
            .get(share.name)
            .map_or(share.name, String::as_str);
    }
    shares
}

//! Metrics as replies contain them, of whatever hours and sessions: an hour's, a day's, a week's. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday};
use serde::Serialize;
use types::time::rfc3339;

use super::day::DayCounts;
use super::local_hour::LocalHour;
use super::place::{CountedPlace, shown_name};
use super::sums::{add, entry};
use super::tally::{Runs, Tally, Tests};
use super::timeline::{ActiveBy, HourCounts, Session};

/// Milliseconds of a second.
const SECOND: i64 = types::time::SECOND / types::time::MILLISECOND;

/// Which part of the counts is asked for. The default takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsFilter {
    /// The project's key.
    pub project: Option<String>,
    /// The canonical language.
    pub language: Option<String>,
    pub editor: Option<String>,
}

/// What metrics are made of: some hours, or some days.
#[derive(Debug, Clone, Default)]
pub struct Counted<'a> {
    pub hours: Vec<(&'a LocalHour, &'a HourCounts)>,
    /// Projects by key, as their owner wrote them.
    pub project_names: BTreeMap<&'a str, &'a str>,
    /// `None` of an hour: sessions are counted by day.
    pub sessions: Option<Vec<&'a Session>>,
}

impl<'a> Counted<'a> {
    /// Of these days, in their order.
    pub fn days(days: impl IntoIterator<Item = &'a DayCounts>) -> Self {
        let mut counted = Self::default();
        let sessions = counted.sessions.insert(Vec::new());
        for day in days {
            counted.hours.extend(&day.hours);
            sessions.extend(&day.sessions);
            let names = day.project_names.iter();
            let names = names.map(|(key, name)| (key.as_str(), name.as_str()));
            counted.project_names.extend(names);
        }
        counted
    }

    /// Of one hour of a day.
    #[must_use]
    pub fn hour(day: &'a DayCounts, hour: &'a LocalHour, counts: &'a HourCounts) -> Self {
        Self {
            hours: vec![(hour, counts)],
            sessions: None,
            ..Self::days([day])
        }
    }
}

/// The metrics of some hours. Defined for users in `docs/metrics.md`.
#[derive(Debug, Serialize)]
pub struct Metrics {
    pub(crate) active_seconds: i64,
    pub(crate) active_minutes: i64,
    pub(crate) active_ms: i64,
    pub(crate) events: u64,
    pub(crate) events_by_type: BTreeMap<String, u64>,
    pub(crate) edits: u64,
    pub(crate) saves: u64,
    pub(crate) files: u64,
    pub(crate) commits: u64,
    pub(crate) pushes: u64,
    pub(crate) branch_switches: u64,
    pub(crate) project_switches: u64,
    pub(crate) commands: u64,
    pub(crate) lines_added: u64,
    pub(crate) lines_removed: u64,
    pub(crate) chars_added: u64,
    pub(crate) chars_removed: u64,
    pub(crate) commit_lines_added: u64,
    pub(crate) commit_lines_removed: u64,
    pub(crate) builds: BTreeMap<String, u64>,
    pub(crate) build_ms: u64,
    pub(crate) test_runs: BTreeMap<String, u64>,
    pub(crate) test_ms: u64,
    pub(crate) tests: Tests,
    pub(crate) debugging: Debugging,
    pub(crate) ai: Ai,
    pub(crate) human: Written,
    pub(crate) late_night_seconds: i64,
    pub(crate) weekend_seconds: i64,
    pub(crate) languages: Vec<Share>,
    pub(crate) projects: Vec<Share>,
    pub(crate) editors: Vec<Share>,
    /// What is not kept by project, language and editor: left out when one of them is asked for.
    #[serde(flatten)]
    pub(crate) whole: Option<Whole>,
}

/// Metrics of all of a developer's work only.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    pub(crate) machines: Vec<Share>,
    pub(crate) operating_systems: Vec<Share>,
    pub(crate) categories: Vec<Share>,
    pub(crate) branches: Vec<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) longest_session_seconds: Option<i64>,
    pub(crate) first_at: Option<String>,
    pub(crate) last_at: Option<String>,
}

/// Runs of a debugger that ended.
#[derive(Debug, Serialize)]
pub(crate) struct Debugging {
    pub(crate) count: u64,
    /// For how long, as far as their events tell.
    pub(crate) ms: u64,
}

/// What an AI suggested, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Ai {
    pub(crate) suggestions: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub(crate) written: Written,
}

/// Lines and characters written.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    pub(crate) chars: u64,
}

/// What a language, project or the like had of the time.
#[derive(Debug, Serialize)]
pub(crate) struct Share {
    /// The name to show; a project's is as its owner wrote it.
    pub(crate) name: String,
    /// What filters and sums know a project by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Active time, rounded down.
    pub(crate) seconds: i64,
    /// Active time: these add up to the whole.
    pub(crate) ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commits: Option<u64>,
}

impl MetricsFilter {
    /// Whether it takes everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, place: &CountedPlace<'_>) -> bool {
        let matches = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == name)
        };
        matches(&self.project, place.project)
            && matches(&self.language, place.language)
            && matches(&self.editor, place.editor)
    }

    /// A commit is in each language of its paths, not in its main one alone.
    fn takes_commits(&self, place: &CountedPlace<'_>) -> bool {
        let others = Self {
            language: None,
            ..self.clone()
        };
        others.takes(place)
    }
}

impl Metrics {
    /// Of what was counted, as far as the filter takes it.
    #[must_use]
    pub fn of(counted: &Counted<'_>, filter: &MetricsFilter) -> Self {
        let mut sum = Tally::default();
        let mut languages = Shares::default();
        let mut projects = Shares::default();
        let mut editors = Shares::default();
        let mut commits = 0;
        let mut late_night = 0;
        let mut weekend = 0;
        for (hour, counts) in &counted.hours {
            let (is_late, is_weekend) = (is_late_night(hour), is_weekend(&hour.day));
            for (place, tally) in counts.tallies() {
                if filter.takes_commits(&place) {
                    let in_languages = tally.commit_languages.iter();
                    let wanted =
                        |name: &String| filter.language.as_ref().is_none_or(|of| of == name);
                    for (language, number) in in_languages.filter(|(name, _)| wanted(name)) {
                        languages.commits(language, *number);
                        if filter.language.is_some() {
                            add(&mut commits, *number);
                            projects.commits(place.project, *number);
                            editors.commits(place.editor, *number);
                        }
                    }
                }
                if !filter.takes(&place) {
                    continue;
                }
                if filter.language.is_none() {
                    let own = tally.of_type("git.commit");
                    add(&mut commits, own);
                    projects.commits(place.project, own);
                    editors.commits(place.editor, own);
                }
                languages.active(place.language, tally.active);
                projects.active(place.project, tally.active);
                editors.active(place.editor, tally.active);
                late_night += if is_late { tally.active } else { 0 };
                weekend += if is_weekend { tally.active } else { 0 };
                sum.add(tally);
            }
        }
        let ai_lines = sum.ai.lines.saturating_add(sum.ai.wakatime_lines);
        let typed = sum.edited.lines_added.saturating_sub(sum.ai.lines);
        Self {
            active_seconds: sum.active / SECOND,
            active_minutes: sum.active / (60 * SECOND),
            active_ms: sum.active,
            events: sum.events.values().sum(),
            edits: sum.of_type("file.edited"),
            saves: sum.saves,
            files: sum.files.number(),
            commits,
            pushes: sum.of_type("git.push"),
            branch_switches: sum.of_type("git.branch_switched"),
            project_switches: sum.project_switches,
            commands: sum.of_type("terminal.command"),
            lines_added: sum.edited.lines_added,
            lines_removed: sum.edited.lines_removed,
            chars_added: sum.edited.chars_added,
            chars_removed: sum.edited.chars_removed,
            commit_lines_added: sum.committed.lines_added,
            commit_lines_removed: sum.committed.lines_removed,
            builds: numbers(&sum.builds),
            build_ms: sum.builds.values().map(|runs| runs.ms).sum(),
            test_runs: numbers(&sum.test_runs),
            test_ms: sum.test_runs.values().map(|runs| runs.ms).sum(),
            tests: sum.tests,
            debugging: Debugging {
                count: sum.debugging.count,
                ms: sum.debugging.ms,
            },
            ai: Ai {
                suggestions: sum.ai.outcomes,
                written: Written {
                    lines: ai_lines,
                    chars: sum.ai.chars,
                },
            },
            human: Written {
                lines: sum.human_lines.saturating_add(typed),
                chars: sum.edited.chars_added.saturating_sub(sum.ai.chars),
            },
            late_night_seconds: late_night / SECOND,
            weekend_seconds: weekend / SECOND,
            languages: languages.list(),
            projects: projects.named(&counted.project_names),
            editors: editors.list(),
            whole: filter.is_all().then(|| Whole::of(counted)),
            events_by_type: sum.events,
        }
    }

    /// Whether anything was counted: a day keeps its row when all its events have moved to others.
    #[must_use]
    pub fn has_anything(&self) -> bool {
        self.events > 0 || self.active_ms > 0 || self.commits > 0
    }
}

impl Whole {
    fn of(counted: &Counted<'_>) -> Self {
        let mut active_by = ActiveBy::default();
        for (_, counts) in &counted.hours {
            active_by.add(&counts.active_by);
        }
        let ActiveBy {
            machines,
            systems,
            categories,
            branches,
        } = active_by;
        let length = |session: &&Session| session.end - session.start;
        let first = counted.hours.iter().filter_map(|(_, counts)| counts.first);
        let last = counted.hours.iter().filter_map(|(_, counts)| counts.last);
        Self {
            machines: Shares::of_active(machines),
            operating_systems: Shares::of_active(systems),
            categories: Shares::of_active(categories),
            branches: Shares::of_active(branches),
            sessions: counted.sessions.as_ref().map(Vec::len),
            longest_session_seconds: (counted.sessions.as_ref())
                .map(|sessions| sessions.iter().map(length).max().unwrap_or(0) / SECOND),
            first_at: first.min().map(rfc3339),
            last_at: last.max().map(rfc3339),
        }
    }
}

/// Active time and commits by name.
#[derive(Debug, Default)]
struct Shares(BTreeMap<String, (i64, u64)>);

impl Shares {
    fn active(&mut self, name: &str, ms: i64) {
        entry(&mut self.0, name).0 += ms;
    }

    fn commits(&mut self, name: &str, commits: u64) {
        add(&mut entry(&mut self.0, name).1, commits);
    }

    /// The most active time first, then the most commits, then by name. What has neither is left out.
    fn list(self) -> Vec<Share> {
        let has_any = |(_, (ms, commits)): &(String, (i64, u64))| *ms > 0 || *commits > 0;
        let share = |(name, (ms, commits)): (String, (i64, u64))| Share {
            name: shown_name(&name).to_owned(),
            key: None,
            seconds: ms / SECOND,
            ms,
            commits: Some(commits),
        };
        let mut shares: Vec<Share> = self.0.into_iter().filter(has_any).map(share).collect();
        shares.sort_by(|one, other| {
            let order = |share: &Share| (Reverse(share.ms), Reverse(share.commits));
            (order(one), &one.name).cmp(&(order(other), &other.name))
        });
        shares
    }

    /// The same of projects, under the names to show.
    fn named(self, names: &BTreeMap<&str, &str>) -> Vec<Share> {
        let mut shares = self.list();
        for share in &mut shares {
            let shown = names.get(share.name.as_str());
            let shown = shown.map_or_else(|| share.name.clone(), |name| (*name).to_owned());
            share.key = Some(std::mem::replace(&mut share.name, shown));
        }
        shares
    }

    fn of_active(times: BTreeMap<String, i64>) -> Vec<Share> {
        let times = times.into_iter().map(|(name, ms)| (name, (ms, 0)));
        let mut shares = Self(times.collect()).list();
        for share in &mut shares {
            share.commits = None;
        }
        shares
    }
}

fn numbers(runs: &BTreeMap<String, Runs>) -> BTreeMap<String, u64> {
    let number = |(outcome, runs): (&String, &Runs)| (outcome.clone(), runs.count);
    runs.iter().map(number).collect()
}

/// From ten in the evening to five in the morning.
fn is_late_night(hour: &LocalHour) -> bool {
    !(5..22).contains(&hour.of_day())
}

/// Saturday and Sunday.
fn is_weekend(day: &str) -> bool {
    let date: Option<Date> = day.parse().ok();
    date.is_some_and(|date| matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday))
}

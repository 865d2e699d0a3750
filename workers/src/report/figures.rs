//! The figures at the top of the page, and the table of all of them. Pure.

use maud::{Markup, html};

use super::heat_map::day_columns;
use super::table::{DataRow, DataTable, NOTHING};
use super::week_counts::WeekCounts;
use super::words::{counted, duration, number};
use crate::aggregate::Metrics;

/// A figure at the top.
struct Figure {
    name: &'static str,
    value: String,
    /// What belongs to it, in smaller letters.
    more: Option<String>,
}

/// The figures at the top; what the week has nothing of is left out.
pub fn summary(week: &WeekCounts) -> Markup {
    html! {
        dl class="figures" {
            @for figure in figures(week) {
                div {
                    dt { (figure.name) }
                    dd { (figure.value) }
                    @if let Some(more) = &figure.more { dd class="more" { (more) } }
                }
            }
        }
    }
}

fn figures(week: &WeekCounts) -> Vec<Figure> {
    let of = &week.metrics;
    let count = |name, count: u64, more: Option<String>| {
        (count > 0).then(|| Figure {
            name,
            value: number(count),
            more,
        })
    };
    let sessions = of
        .whole
        .as_ref()
        .and_then(|whole| whole.sessions)
        .unwrap_or_default();
    let longest = of
        .whole
        .as_ref()
        .and_then(|whole| whole.longest_session_seconds)
        .unwrap_or_default();
    let days = counted(week.days_with_events() as u64, "day");
    let active = Figure {
        name: "Active time",
        value: duration(of.active_ms),
        more: Some(format!("events on {days}")),
    };
    let failed = |runs: &std::collections::BTreeMap<String, u64>| {
        runs.get("failed")
            .map(|failed| format!("{} failed", number(*failed)))
    };
    let lines = |added, removed| (added > 0 || removed > 0).then(|| changed(added, removed));
    let others = [
        count(
            "Sessions",
            sessions as u64,
            Some(format!("longest {}", duration(longest * 1000))),
        ),
        count("Edits", of.edits, lines(of.lines_added, of.lines_removed)),
        count("Files", of.files, None),
        count(
            "Commits",
            of.commits,
            lines(of.commit_lines_added, of.commit_lines_removed),
        ),
        count("Builds", of.builds.values().sum(), failed(&of.builds)),
        count(
            "Test runs",
            of.test_runs.values().sum(),
            failed(&of.test_runs),
        ),
        count(
            "Lines by an AI",
            of.ai.written.lines,
            Some(format!("{} by people", number(of.human.lines))),
        ),
        count("Terminal commands", of.commands, None),
    ];
    [Some(active)].into_iter().chain(others).flatten().collect()
}

fn changed(added: u64, removed: u64) -> String {
    format!("+{} \u{2212}{} lines", number(added), number(removed))
}

/// How a metric is written.
#[derive(Clone, Copy)]
enum Value {
    Count(u64),
    /// In milliseconds.
    Time(i64),
}

impl Value {
    fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Time(..=0))
    }

    fn text(self) -> String {
        match self {
            Self::Count(count) => number(count),
            Self::Time(ms) => duration(ms),
        }
    }
}

/// A metric under the name that the page gives it.
type Row = (&'static str, fn(&Metrics) -> Value);

const ROWS: [Row; 24] = [
    ("Active time", |of| Value::Time(of.active_ms)),
    ("of it from 22:00 to 05:00", |of| {
        Value::Time(of.late_night_seconds * 1000)
    }),
    ("of it at the weekend", |of| {
        Value::Time(of.weekend_seconds * 1000)
    }),
    ("Sessions", |of| {
        let sessions = of.whole.as_ref().and_then(|whole| whole.sessions);
        Value::Count(sessions.unwrap_or_default() as u64)
    }),
    ("Longest session", |of| {
        let longest = of
            .whole
            .as_ref()
            .and_then(|whole| whole.longest_session_seconds);
        Value::Time(longest.unwrap_or_default() * 1000)
    }),
    ("Events", |of| Value::Count(of.events)),
    ("Edits", |of| Value::Count(of.edits)),
    ("Saves", |of| Value::Count(of.saves)),
    ("Files", |of| Value::Count(of.files)),
    ("Lines added", |of| Value::Count(of.lines_added)),
    ("Lines removed", |of| Value::Count(of.lines_removed)),
    ("Characters added", |of| Value::Count(of.chars_added)),
    ("Characters removed", |of| Value::Count(of.chars_removed)),
    ("Commits", |of| Value::Count(of.commits)),
    ("Lines added by commits", |of| {
        Value::Count(of.commit_lines_added)
    }),
    ("Lines removed by commits", |of| {
        Value::Count(of.commit_lines_removed)
    }),
    ("Pushes", |of| Value::Count(of.pushes)),
    ("Switches of the project", |of| {
        Value::Count(of.project_switches)
    }),
    ("Switches of the branch", |of| {
        Value::Count(of.branch_switches)
    }),
    ("Terminal commands", |of| Value::Count(of.commands)),
    ("Builds", |of| Value::Count(of.builds.values().sum())),
    ("Test runs", |of| Value::Count(of.test_runs.values().sum())),
    ("Debugging runs", |of| Value::Count(of.debugging.count)),
    ("Time of debugging runs", |of| {
        Value::Time(i64::try_from(of.debugging.ms).unwrap_or(i64::MAX))
    }),
];

/// A row for each metric that the week has, by day.
pub fn table(week: &WeekCounts) -> DataTable {
    let there = ROWS
        .into_iter()
        .filter(|(_, of)| !of(&week.metrics).is_zero());
    let row = |(name, of): Row| {
        let days = week.days.iter().map(|day| match &day.metrics {
            Some(metrics) => of(metrics).text(),
            None => NOTHING.to_owned(),
        });
        DataRow {
            header: name.to_owned(),
            cells: days.chain([of(&week.metrics).text()]).collect(),
        }
    };
    let mut columns = day_columns("Metric", week);
    columns.push("Week".to_owned());
    DataTable {
        caption: "all figures by day".to_owned(),
        columns,
        rows: there.map(row).collect(),
        last: None,
        note: Some(
            "A file counts once on each day, and once in the week. Times are rounded down, so the days may add up to \
             less than the week."
                .to_owned(),
        ),
    }
}

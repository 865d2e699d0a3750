//! Counts of each day beside each other: AI beside people, builds and runs of tests by outcome. Pure.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::heat_map::{LEFT, day_columns, percent, swatch};
use super::table::{DataRow, DataTable, NOTHING};
use super::week_counts::WeekCounts;
use super::words::{counted, duration, long_day, number, short_day};
use crate::aggregate::Metrics;

/// Width of the bars, in percent of the plot's; the rest is for the days and the numbers.
const BARS: f64 = 60.0;
/// Height of a day's row, in pixels, and of its bars together.
const ROW: u32 = 30;
const BAR: u32 = 20;
/// The outcomes of builds and runs of tests, the good ones first, each with the class of its bars.
const OUTCOMES: [(&str, &str); 5] = [
    ("succeeded", "good"),
    ("passed", "good"),
    ("failed", "bad"),
    ("cancelled", "neutral"),
    ("unknown", "faint"),
];

/// Something that is counted on each day.
#[derive(Debug)]
struct Series {
    name: String,
    /// The class of its bars. Patterns tell them apart as well as colours do.
    class: &'static str,
    days: [u64; 7],
    week: u64,
}

/// A bar of a day.
struct Bar<'a> {
    series: &'a Series,
    count: u64,
    /// In percent of the plot's width.
    x: f64,
    width: f64,
    /// In pixels.
    y: u32,
    height: u32,
}

/// What the bars of a day are: one above the other, or one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Beside,
    Stacked,
}

/// A plot by day with its table.
#[derive(Debug)]
pub struct ByDay<'a> {
    week: &'a WeekCounts,
    /// The beginning of the plot's ids.
    pub id: &'static str,
    title: &'static str,
    layout: Layout,
    /// What one of what is counted is called.
    unit: &'static str,
    drawn: Vec<Series>,
    /// Rows of the table that have no bars.
    listed: Vec<Series>,
    says: String,
    note: Option<String>,
}

impl<'a> ByDay<'a> {
    /// Lines that an AI wrote beside those that people wrote; `None` of a week without an AI.
    pub fn ai(week: &'a WeekCounts) -> Option<Self> {
        let ai = &week.metrics.ai;
        if ai.suggestions.is_empty() && ai.written.lines == 0 && ai.written.chars == 0 {
            return None;
        }
        let outcomes = ai.suggestions.keys();
        let suggestions = outcomes.map(|outcome| {
            let name = format!("Suggestions {outcome}");
            series(week, name, "", |of| at(&of.ai.suggestions, outcome))
        });
        let accepted = at(&ai.suggestions, "accepted") + at(&ai.suggestions, "edited");
        let all: u64 = ai.suggestions.values().sum();
        let mut says = format!(
            "People wrote {}, an AI {}.",
            counted(week.metrics.human.lines, "line"),
            number(ai.written.lines)
        );
        if all > 0 {
            let of_all = format!(
                " {} of {} were accepted, with or without changes.",
                number(accepted),
                counted(all, "suggestion")
            );
            says.push_str(&of_all);
        }
        Some(Self {
            week,
            id: "ai",
            title: "Lines by people and by an AI",
            layout: Layout::Beside,
            unit: "line",
            drawn: vec![
                series(week, "By people".to_owned(), "solid", |of| of.human.lines),
                series(week, "By an AI".to_owned(), "hatched", |of| of.ai.written.lines),
            ],
            listed: suggestions.collect(),
            says,
            note: Some(
                "Lines of people are those that were added, less those of accepted suggestions, and never below 0: so \
                 the days may add up to more than the week."
                    .to_owned(),
            ),
        })
    }

    /// Builds by outcome; `None` of a week without any.
    pub fn builds(week: &'a WeekCounts) -> Option<Self> {
        let metrics = &week.metrics;
        let outcomes = &metrics.builds;
        let drawn = by_outcome(week, outcomes, |of| &of.builds);
        let all: u64 = outcomes.values().sum();
        (all > 0).then(|| Self {
            week,
            id: "builds",
            title: "Builds by outcome",
            layout: Layout::Stacked,
            unit: "build",
            drawn,
            listed: Vec::new(),
            says: format!(
                "{}: {}.{}",
                counted(all, "build"),
                parts(outcomes),
                took(metrics.build_ms)
            ),
            note: None,
        })
    }

    /// Runs of tests by outcome; `None` of a week without any.
    pub fn tests(week: &'a WeekCounts) -> Option<Self> {
        let metrics = &week.metrics;
        let outcomes = &metrics.test_runs;
        let drawn = by_outcome(week, outcomes, |of| &of.test_runs);
        let all: u64 = outcomes.values().sum();
        type Of = fn(&Metrics) -> u64;
        let tests: [(&str, Of); 4] = [
            ("Tests passed", |of| of.tests.passed),
            ("Tests failed", |of| of.tests.failed),
            ("Tests skipped", |of| of.tests.skipped),
            ("Tests flaky", |of| of.tests.flaky),
        ];
        let listed = tests
            .into_iter()
            .map(|(name, of)| series(week, name.to_owned(), "", of));
        (all > 0).then(|| Self {
            week,
            id: "tests",
            title: "Runs of tests by outcome",
            layout: Layout::Stacked,
            unit: "run",
            drawn,
            listed: listed.filter(|tests| tests.week > 0).collect(),
            says: format!(
                "{} of tests: {}.{}",
                counted(all, "run"),
                parts(outcomes),
                took(metrics.test_ms)
            ),
            note: Some("A test counts in each run.".to_owned()),
        })
    }

    /// The plot.
    pub fn plot(&self) -> Markup {
        let id = self.id;
        html! {
            svg class="plot" width="100%" height=(7 * ROW) role="img"
                aria-labelledby={ (id) "-title" } aria-describedby={ (id) "-says" } {
                title id={ (id) "-title" } { (self.title) }
                @for (row, day) in (0..7).zip(&self.week.days) {
                    @let y = u32::try_from(row).unwrap_or_default() * ROW;
                    text class="label end" x=(percent(LEFT - 1.0)) y=(y + 15) { (short_day(day.date)) }
                    rect class="tile" x=(percent(LEFT)) y=(y) width=(percent(BARS)) height=(BAR) rx="3" {}
                    @for bar in self.bars(row, y) {
                        rect class=(bar.series.class) x=(percent(bar.x)) y=(bar.y) width=(percent(bar.width))
                            height=(bar.height) {
                            title {
                                (long_day(day.date)) ", " (bar.series.name) ": " (counted(bar.count, self.unit))
                            }
                        }
                    }
                    text class="value end" x="99.5%" y=(y + 15) { (self.value(row)) }
                }
            }
            ul class="legend" {
                @for series in &self.drawn {
                    li { (swatch(series.class)) (series.name) }
                }
                @if self.drawn.len() > 1 { li { "(numbers in this order)" } }
            }
        }
    }

    /// The bars of a day, whose row begins at this height.
    fn bars(&self, day: usize, y: u32) -> Vec<Bar<'_>> {
        let most = (0..7).map(|day| self.longest(day)).max();
        let most = most.unwrap_or_default().max(1) as f64;
        let height = match self.layout {
            Layout::Stacked => BAR,
            Layout::Beside => BAR / 2,
        };
        let mut bars: Vec<Bar<'_>> = Vec::new();
        for (index, series) in (0..).zip(&self.drawn) {
            let (x, y) = match (self.layout, bars.last()) {
                (Layout::Beside, _) => (LEFT, y + index * height),
                (Layout::Stacked, Some(before)) => (before.x + before.width, y),
                (Layout::Stacked, None) => (LEFT, y),
            };
            let count = series.days[day];
            if count > 0 {
                let width = (count as f64 * BARS / most).max(0.5);
                bars.push(Bar {
                    series,
                    count,
                    x,
                    y,
                    width,
                    height,
                });
            }
        }
        bars
    }

    /// How much the longest line of bars of a day stands for.
    fn longest(&self, day: usize) -> u64 {
        let counts = self.drawn.iter().map(|series| series.days[day]);
        match self.layout {
            Layout::Stacked => counts.fold(0, u64::saturating_add),
            Layout::Beside => counts.max().unwrap_or_default(),
        }
    }

    /// The numbers of a day, in the order of the legend.
    fn value(&self, day: usize) -> String {
        let there = self.drawn.iter().any(|series| series.days[day] > 0);
        if !there {
            return NOTHING.to_owned();
        }
        let numbers: Vec<String> = self
            .drawn
            .iter()
            .map(|series| number(series.days[day]))
            .collect();
        numbers.join(" · ")
    }

    /// What the plot shows, in a sentence or two.
    pub fn says(&self) -> &str {
        &self.says
    }

    /// A row for each series.
    pub fn table(&self) -> DataTable {
        let row = |series: &Series| DataRow {
            header: series.name.clone(),
            cells: cells(self.week, &series.days, series.week),
        };
        let mut columns = day_columns("What", self.week);
        columns.push("Week".to_owned());
        DataTable {
            caption: self.title.to_lowercase().replace(" an ai", " an AI"),
            columns,
            rows: self.drawn.iter().chain(&self.listed).map(row).collect(),
            last: None,
            note: self.note.clone(),
        }
    }
}

/// The counts of the days and the week. A day on which nothing at all was counted has none.
fn cells(week: &WeekCounts, days: &[u64; 7], whole: u64) -> Vec<String> {
    let of_days = week
        .days
        .iter()
        .zip(days)
        .map(|(day, count)| match day.metrics {
            Some(_) => number(*count),
            None => NOTHING.to_owned(),
        });
    of_days.chain([number(whole)]).collect()
}

fn series(
    week: &WeekCounts,
    name: String,
    class: &'static str,
    of: impl Fn(&Metrics) -> u64,
) -> Series {
    Series {
        name,
        class,
        days: week
            .days
            .each_ref()
            .map(|day| day.metrics.as_ref().map_or(0, &of)),
        week: of(&week.metrics),
    }
}

/// The outcomes that were counted, in the order of [`OUTCOMES`], each with the class of its bars.
fn outcomes_of(
    counts: &BTreeMap<String, u64>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    OUTCOMES
        .into_iter()
        .filter(|(outcome, _)| counts.contains_key(*outcome))
}

/// A series for each outcome that there is, the good one first.
fn by_outcome(
    week: &WeekCounts,
    outcomes: &BTreeMap<String, u64>,
    of: impl Fn(&Metrics) -> &BTreeMap<String, u64>,
) -> Vec<Series> {
    outcomes_of(outcomes)
        .map(|(outcome, class)| {
            series(week, outcome.to_owned(), class, |metrics| {
                at(of(metrics), outcome)
            })
        })
        .collect()
}

/// `19 succeeded and 2 failed`.
fn parts(outcomes: &BTreeMap<String, u64>) -> String {
    let parts: Vec<String> = outcomes_of(outcomes)
        .map(|(outcome, _)| {
            format!(
                "{} {}",
                number(at(outcomes, outcome)),
                outcome.replace("unknown", "with an unknown outcome")
            )
        })
        .collect();
    super::words::list(&parts)
}

fn took(ms: u64) -> String {
    match i64::try_from(ms) {
        Ok(ms) if ms > 0 => format!(" They took {}.", duration(ms)),
        _ => String::new(),
    }
}

fn at(counts: &BTreeMap<String, u64>, name: &str) -> u64 {
    counts.get(name).copied().unwrap_or_default()
}

/// The stripes of what must not be told by its colour alone. The page has them once.
pub fn patterns() -> Markup {
    html! {
        svg class="patterns" width="0" height="0" aria-hidden="true" {
            defs {
                @for class in ["hatched", "bad"] {
                    pattern id=(class) width="6" height="6" patternUnits="userSpaceOnUse"
                        patternTransform="rotate(45)" {
                        rect class={ (class) "-ground" } width="6" height="6" {}
                        rect class={ (class) "-stripe" } width="3" height="6" {}
                    }
                }
            }
        }
    }
}

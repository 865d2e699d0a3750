//! The page as a whole. Pure.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::by_day::{self, ByDay};
use super::by_name::ByName;
use super::ribbon::Ribbon;
use super::table::DataTable;
use super::week_counts::WeekCounts;
use super::words::{list, long_day, number, offset};
use super::{figures, heat_map};

const STYLE: &str = include_str!("page.css");
/// What the page may load: nothing. Its style is in itself.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// What every page holds, and no other file: it tells a report from other files.
pub const MARK: &str = r#"<meta name="generator" content="Devtrail, report of a week">"#;
/// Offsets of local time that are named.
const OFFSETS: usize = 4;

/// A part of the page.
struct Section {
    id: &'static str,
    heading: &'static str,
    says: String,
    plot: Markup,
    table: DataTable,
    /// Takes half of a wide page.
    is_half: bool,
}

/// The page of a week. `note` is shown at its top.
#[must_use]
pub fn page(developer: &str, week: &WeekCounts, note: Option<&str>) -> String {
    let title = format!("{developer}, week {}", week.week);
    let sections = sections(week);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                (PreEscaped(MARK))
                meta name="color-scheme" content="light dark";
                title { (title) " · Devtrail" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the figures" }
                (by_day::patterns())
                header {
                    p class="above" { "Devtrail, report of a week" }
                    h1 { bdi { (developer) } ", week " span class="whole" { (week.week) } }
                    p { (dates(week)) }
                    @if let Some(note) = note { p class="notice" { strong { "Note: " } (note) } }
                }
                (contents(&sections))
                main id="main" tabindex="-1" {
                    (summary(week))
                    @for section in &sections { (section.markup()) }
                }
                footer {
                    p {
                        "Made by Devtrail " (env!("CARGO_PKG_VERSION")) " from " (number(week.metrics.events))
                        " events. The numbers are those of " code { "GET /v1/metrics/weekly" } " for this week; "
                        code { "docs/metrics.md" } " defines each."
                    }
                }
            }
        }
    };
    markup.into_string()
}

/// The days, and on which clock they are.
fn dates(week: &WeekCounts) -> String {
    let (monday, sunday) = (week.week.monday(), week.week.sunday());
    let mut offsets: Vec<String> = week.offsets().into_iter().map(offset).collect();
    let more = offsets.len().saturating_sub(OFFSETS);
    offsets.truncate(OFFSETS);
    offsets.extend((more > 0).then(|| format!("{more} more")));
    format!(
        "{} to {} {}. Days and hours are those of the local clock: {}.",
        long_day(monday),
        long_day(sunday),
        sunday.year(),
        list(&offsets),
    )
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Parts of the page" {
            ul {
                li { a href="#summary" { "Summary" } }
                @for section in sections {
                    li { a href={ "#" (section.id) } { (section.heading) } }
                }
            }
        }
    }
}

fn summary(week: &WeekCounts) -> Markup {
    html! {
        section id="summary" aria-labelledby="summary-heading" {
            h2 id="summary-heading" { "Summary" }
            (figures::summary(week))
            (figures::table(week).behind("summary"))
        }
    }
}

/// The parts that this week has.
fn sections(week: &WeekCounts) -> Vec<Section> {
    let hours = (week.metrics.active_ms > 0).then(|| Section {
        id: "hours",
        heading: "Hours",
        says: heat_map::says(week),
        plot: html! {
            (heat_map::plot(week))
            @for change in heat_map::clock_changes(week) { p class="note" { (change) } }
        },
        table: heat_map::table(week),
        is_half: false,
    });
    let sessions = Ribbon::of(week);
    let sessions = (!sessions.is_empty()).then(|| Section {
        id: "sessions",
        heading: "Sessions",
        says: sessions.says(),
        plot: sessions.plot(),
        table: sessions.table(),
        is_half: false,
    });
    let names = [
        (
            "projects",
            "Projects",
            ByName::of("project", &week.metrics.projects),
        ),
        (
            "languages",
            "Languages",
            ByName::of("language", &week.metrics.languages),
        ),
    ];
    let names = names.into_iter().filter(|(.., names)| !names.is_empty());
    let names = names.map(|(id, heading, names)| Section {
        id,
        heading,
        says: names.says(),
        plot: names.plot(),
        table: names.table(),
        is_half: true,
    });
    let by_day = [
        ("AI and people", ByDay::ai(week)),
        ("Builds", ByDay::builds(week)),
        ("Tests", ByDay::tests(week)),
    ];
    let by_day = by_day
        .into_iter()
        .filter_map(|(heading, plot)| Some((heading, plot?)));
    let by_day = by_day.map(|(heading, by_day)| Section {
        id: by_day.id,
        heading,
        says: by_day.says().to_owned(),
        plot: by_day.plot(),
        table: by_day.table(),
        is_half: by_day.id != "ai",
    });
    let first = [hours, sessions].into_iter().flatten();
    first.chain(names).chain(by_day).collect()
}

impl Section {
    fn markup(&self) -> Markup {
        let id = self.id;
        html! {
            section id=(id) class=[self.is_half.then_some("half")] aria-labelledby={ (id) "-heading" } {
                h2 id={ (id) "-heading" } { (self.heading) }
                figure {
                    figcaption id={ (id) "-says" } { (self.says) }
                    (self.plot)
                }
                (self.table.behind(id))
            }
        }
    }
}

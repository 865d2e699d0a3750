//! Active time by project or language, as bars. Pure.

use maud::{Markup, html};

use super::heat_map::percent;
use super::table::{DataRow, DataTable};
use super::words::{self, duration, number, share, shorten};
use crate::aggregate::Share;

/// Names that have a bar of their own.
const TOP: usize = 10;
/// Columns of a name above its bar, and in the table.
const NAME: usize = 26;
const FULL_NAME: usize = 60;
/// Height of a name with its bar, in pixels.
const ROW: u32 = 44;

/// Time by name.
#[derive(Debug)]
pub struct ByName<'a> {
    /// What has the names, such as `project`.
    what: &'static str,
    shares: Vec<&'a Share>,
    /// The others together, if there are any.
    others: Option<Others>,
    /// All active time, in ms.
    whole: i64,
}

/// What is not shown by name.
#[derive(Debug)]
struct Others {
    names: usize,
    ms: i64,
    commits: u64,
}

impl<'a> ByName<'a> {
    /// Of these shares, the longest first.
    pub fn of(what: &'static str, shares: &'a [Share]) -> Self {
        let (shown, others) = shares.split_at(shares.len().min(TOP));
        Self {
            what,
            shares: shown.iter().collect(),
            others: (!others.is_empty()).then(|| Others {
                names: others.len(),
                ms: others.iter().map(|other| other.ms).sum(),
                commits: others.iter().filter_map(|other| other.commits).sum(),
            }),
            whole: shares.iter().map(|share| share.ms).sum(),
        }
    }

    /// Whether there is nothing to show: no time, and no commit.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// The plot: a bar for each name.
    pub fn plot(&self) -> Markup {
        let bars: Vec<Bar> = self.bars();
        let rows = u32::try_from(bars.len()).unwrap_or_default();
        let id = self.id();
        html! {
            svg class="plot" width="100%" height=(rows * ROW) role="img"
                aria-labelledby={ (id) "-title" } aria-describedby={ (id) "-says" } {
                title id={ (id) "-title" } { "Active time by " (self.what) }
                @for (row, bar) in (0..).zip(&bars) {
                    @let y = row * ROW;
                    text class="name" x="0" y=(y + 15) { (shorten(&bar.name, NAME)) }
                    text class="value end" x="100%" y=(y + 15) { (bar.value) }
                    rect class="tile" x="0" y=(y + 22) width="100%" height="12" rx="3" {}
                    @if bar.part > 0.0 {
                        rect class="bar" x="0" y=(y + 22) width=(percent(bar.part.max(0.5))) height="12" rx="3" {
                            title { (shorten(&bar.name, FULL_NAME)) ": " (bar.value) }
                        }
                    }
                }
            }
        }
    }

    /// The beginning of the plot's ids.
    pub fn id(&self) -> String {
        format!("{}s", self.what)
    }

    fn bars(&self) -> Vec<Bar> {
        let bar = |name: String, ms: i64| Bar {
            name,
            value: format!("{} · {}", duration(ms), share(ms, self.whole)),
            part: words::percent(ms, self.whole),
        };
        let shown = self
            .shares
            .iter()
            .map(|share| bar(share.name.clone(), share.ms));
        let others = self
            .others
            .iter()
            .map(|others| bar(others.name(), others.ms));
        shown.chain(others).collect()
    }

    /// What the plot shows, in a sentence.
    pub fn says(&self) -> String {
        let all = self.shares.len() + self.others.as_ref().map_or(0, |others| others.names);
        let all = words::counted(all as u64, self.what);
        match self.shares.first() {
            Some(first) if first.ms > 0 => format!(
                "{all}. Most time went to {}: {}, {} of the week.",
                shorten(&first.name, FULL_NAME),
                duration(first.ms),
                share(first.ms, self.whole),
            ),
            _ => format!("{all}, with commits and no active time."),
        }
    }

    /// A row for each name, with commits if there are any.
    pub fn table(&self) -> DataTable {
        let has_commits = self
            .shares
            .iter()
            .any(|share| share.commits.unwrap_or_default() > 0)
            || self
                .others
                .as_ref()
                .is_some_and(|others| others.commits > 0);
        let row = |name: String, ms: i64, commits: u64| {
            let mut cells = vec![duration(ms), share(ms, self.whole)];
            cells.extend(has_commits.then(|| number(commits)));
            DataRow {
                header: name,
                cells,
            }
        };
        let rows = self.shares.iter().map(|share| {
            let name = shorten(&share.name, FULL_NAME);
            row(name, share.ms, share.commits.unwrap_or_default())
        });
        let others = self
            .others
            .iter()
            .map(|others| row(others.name(), others.ms, others.commits));
        let mut columns = vec![
            capital(self.what),
            "Active time".to_owned(),
            "Of the week".to_owned(),
        ];
        columns.extend(has_commits.then(|| "Commits".to_owned()));
        DataTable {
            caption: format!("active time by {}", self.what),
            columns,
            rows: rows.chain(others).collect(),
            last: None,
            note: None,
        }
    }
}

/// A bar with its texts.
struct Bar {
    name: String,
    value: String,
    /// Of the whole, in percent.
    part: f64,
}

impl Others {
    fn name(&self) -> String {
        words::counted(self.names as u64, "other")
    }
}

fn capital(word: &str) -> String {
    let mut rest = word.chars();
    let first = rest.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(rest)
        .collect()
}

//! The rows so far: printed as they come.

use std::io::Write as _;

use serde::{Deserialize, Serialize};
use types::time::rfc3339;

use crate::family::Family;
use crate::plot::Plot;
use crate::row::{BenchRow, spread};

/// Prints a line to stderr: progress, not result.
pub fn say(text: &str) {
    // The reader may have closed the pipe; what was measured is written anyway.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Rows that were measured together, under one heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    pub family: Family,
    pub title: String,
    pub measured_at: String,
    pub rows: Vec<BenchRow>,
    /// Why there are no rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
}

/// How much of a family is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of its rows.
    Whole,
    /// The rows of one of the stores.
    Part,
}

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Report {
    family: Option<Family>,
    whole: Vec<Family>,
    pub sections: Vec<Section>,
    pub plots: Vec<Plot>,
}

impl Report {
    /// What is added from here on belongs to this family.
    pub fn begin(&mut self, family: Family, coverage: Coverage) {
        self.family = Some(family);
        if coverage == Coverage::Whole {
            self.whole.push(family);
        }
    }

    /// Whether all rows of this family were measured.
    #[must_use]
    pub fn is_whole(&self, family: Family) -> bool {
        self.whole.contains(&family)
    }

    /// Adds rows under a heading, and shows them.
    pub fn add(&mut self, title: &str, rows: Vec<BenchRow>) {
        say(&format!("\n{title}"));
        for row in &rows {
            say(&line(row));
        }
        say("");
        self.push(title, rows, None);
    }

    /// Adds a heading whose rows cannot be measured here, and says why.
    pub fn skip(&mut self, title: &str, reason: &str) {
        say(&format!("\n{title}: not measured, {reason}\n"));
        self.push(title, Vec::new(), Some(reason.to_owned()));
    }

    /// Adds a plot, if there is anything in it. Of a part of the rows there is none: it would lack the other store's
    /// line.
    pub fn plot(&mut self, plot: Plot) {
        let is_whole = self.family.is_some_and(|family| self.is_whole(family));
        if is_whole && !plot.is_empty() {
            self.plots.push(plot);
        }
    }

    fn push(&mut self, title: &str, rows: Vec<BenchRow>, skipped: Option<String>) {
        // Rows come from families only; those of none would have no place in the table.
        let Some(family) = self.family else { return };
        self.sections.push(Section {
            family,
            title: title.to_owned(),
            measured_at: rfc3339(runtime::clock::now()),
            rows,
            skipped,
        });
    }
}

/// A row on the terminal.
fn line(row: &BenchRow) -> String {
    let mut text = format!("  {:<48} {} {}", row.what, spread(row.ours), row.unit);
    if let (Some(ceiling), Some(ratio)) = (row.ceiling, row.ratio) {
        text += &format!(" | beside {} | ratio {}", spread(ceiling), spread(ratio));
    }
    if let (Some(reach), Some(reached)) = (row.reach, row.is_reached()) {
        let mark = if reached { "reached" } else { "MISSED" };
        text += &format!(" | {} {mark}", reach.text());
    }
    text
}

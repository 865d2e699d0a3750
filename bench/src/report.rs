//! The rows so far: printed as they come, and at last written beside the docs.

use std::io::Write as _;

use crate::row::{BenchRow, spread};

/// Prints a line to stderr: progress, not result.
pub fn say(text: &str) {
    // The reader may have closed the pipe; what was measured is written anyway.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Rows that were measured together, under one heading.
#[derive(Debug)]
pub struct Section {
    pub title: String,
    pub rows: Vec<BenchRow>,
}

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
}

impl Report {
    /// Adds rows under a heading, and shows them.
    pub fn add(&mut self, title: &str, rows: Vec<BenchRow>) {
        say(&format!("\n{title}"));
        for row in &rows {
            say(&line(row));
        }
        self.sections.push(Section {
            title: title.to_owned(),
            rows,
        });
    }
}

/// A row on the terminal.
fn line(row: &BenchRow) -> String {
    let mut text = format!("  {:<44} {} {}", row.what, spread(row.ours), row.unit);
    if let (Some(ceiling), Some(ratio)) = (row.ceiling, row.ratio) {
        text += &format!(" | ceiling {} | ratio {}", spread(ceiling), spread(ratio));
    }
    if let (Some(reach), Some(reached)) = (row.reach, row.is_reached()) {
        let mark = if reached { "reached" } else { "MISSED" };
        text += &format!(" | {} {mark}", reach.text());
    }
    text
}

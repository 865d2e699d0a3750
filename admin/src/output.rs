//! What commands print: lines and tables for people, JSON for programs.

use std::io;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use runtime::stdout;
use serde::Serialize;

/// Prints a line to stdout.
///
/// # Errors
/// Returns the `io::Error` if stdout cannot be written, such as on a full disk; a reader that has gone is no error.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    still_read(text.as_ref()).map(drop)
}

/// Prints a line to stdout and flushes it; returns whether anything still reads there.
///
/// # Errors
/// Returns the `io::Error` if stdout cannot be written, such as on a full disk.
pub fn still_read(text: &str) -> io::Result<bool> {
    stdout::print(&format!("{text}\n"))
}

/// Prints a value as JSON.
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints a table with aligned columns and no borders.
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
    line(as_table(head, rows))
}

/// A table with aligned columns and no borders, without an end of line.
#[must_use]
pub fn as_table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| plain(&cell))));
    table.trim_fmt()
}

/// The first entries of a list, at most as many as `--limit` allows.
#[derive(Debug)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// Whether the list has more entries than these.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Cuts a list that was read to one entry beyond the limit, or further.
    #[must_use]
    pub fn new(mut entries: Vec<T>, limit: u32) -> Self {
        let has_more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        Self { entries, has_more }
    }

    /// Prints the entries as a table, and whether there are more; `what` names one of them.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print_table<const N: usize>(
        &self,
        what: &str,
        head: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        if self.entries.is_empty() {
            return line(format!("No {what} fits."));
        }
        table(head, self.entries.iter().map(row).collect())?;
        if self.has_more {
            let limit = self.entries.len();
            line(format!(
                "\nThere are more than {limit} {what}s; --limit or a filter chooses others."
            ))?;
        }
        Ok(())
    }
}

/// The text without control characters but line ends: what clients sent must not steer a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// A time span in its two largest units, such as `1h 02m`; tenths of a second below a minute.
#[must_use]
pub fn span(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, micros % 1_000_000 / 100_000),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A progress bar on a terminal, nothing elsewhere and if `quiet`. Templates are those of `indicatif`.
#[must_use]
pub fn progress_bar(length: u64, template: &str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

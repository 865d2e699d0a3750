//! What commands print: lines and tables for people, JSON for programs.

mod table;
mod words;

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use runtime::stdout;
use serde::Serialize;

pub use table::{SHORTEST, as_table, fit_table, shorten, terminal_width};
pub use words::{count, plain, plural, span, time, written_time};

/// The heading of flags that say how results are printed.
pub const OUTPUT: &str = "Output";
/// The heading of flags that choose what is shown or done.
pub const SELECTION: &str = "Selection";

/// Prints a line to stdout.
///
/// # Errors
/// Returns the `io::Error` if stdout cannot be written, such as on a full disk; a reader that has gone is no error.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    still_read(text.as_ref()).map(drop)
}

/// Prints a line to stderr for people. Where nobody can read it, it is lost.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
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

/// Prints lines of comma-separated values (RFC 4180), the first being the head.
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn csv(lines: &[Vec<String>]) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    for line in lines {
        writer.write_record(line)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    let text = String::from_utf8_lossy(&bytes);
    line(text.trim_end_matches('\n'))
}

/// Prints a table as wide as the terminal ([`as_table`]).
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
    line(as_table(head, rows, terminal_width()))
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
            line(format!(
                "\nThere are more than {}; --limit shows more, filters narrow them.",
                count(self.entries.len(), what)
            ))?;
        }
        Ok(())
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

//! What commands print: lines and tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints a line to stdout.
///
/// # Errors
/// Where stdout cannot be written, such as a full disk; a reader that has gone is no error.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    still_read(text.as_ref()).map(drop)
}

/// Prints a line to stdout, at once; gives whether anyone still reads there.
///
/// # Errors
/// Where stdout cannot be written, such as a full disk.
pub fn still_read(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("stdout cannot be written: {error}"),
        )),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// Where stdout cannot be written.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints a table with aligned columns and no borders.
///
/// # Errors
/// Where stdout cannot be written.
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

//! What commands print: lines and tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// Prints a line to stdout.
///
/// # Errors
/// Where stdout cannot be written, such as a full disk; a reader that has gone is no error.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    let written = writeln!(io::stdout().lock(), "{}", text.as_ref());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
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
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(rows);
    line(table.trim_fmt())
}

//! Tables for people: aligned columns without borders, as wide as the terminal. Pure but for [`terminal_width`].

use std::io::IsTerminal as _;

use comfy_table::{ColumnConstraint, Row, Table, Width, presets};

use super::plain;

/// Texts are shortened to no less than this: a time of that length stays whole.
pub const SHORTEST: u16 = 20;
/// The blanks around a cell.
const PADDING: u16 = 2;

/// The columns of the terminal that stdout is, else of `COLUMNS`; `None` if there is no bound.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    let stdout = std::io::stdout();
    let terminal = stdout
        .is_terminal()
        .then(|| terminal_size::terminal_size_of(&stdout));
    let given = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = terminal.flatten().map(|(width, _)| width.0).or_else(given);
    width.filter(|width| *width > 0)
}

/// A table without an end of line, at most `width` wide. Columns that are empty in all rows are left out. Long texts
/// are shortened with `…`; if that is not enough, each row becomes lines of `HEAD  value`.
#[must_use]
pub fn as_table<const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    width: Option<u16>,
) -> String {
    let cells = Cells::new(head, rows);
    cells
        .fit(width, SHORTEST)
        .unwrap_or_else(|| cells.as_lines(width))
}

/// The same; `None` if the table does not fit when texts longer than `shortest` are shortened.
#[must_use]
pub fn fit_table<const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    width: Option<u16>,
    shortest: u16,
) -> Option<String> {
    Cells::new(head, rows).fit(width, shortest)
}

/// The text on one line, shortened with `…` to `width` columns of a terminal.
#[must_use]
pub fn shorten(text: &str, width: u16) -> String {
    let mut table = table(&[], &[vec![one_line(text)]]);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0));
        let widest = table.column_max_content_widths()[0];
        constrain(&mut table, &[widest], &[widest.min(width.max(1))], 0);
    }
    table.trim_fmt()
}

/// What a table shows, without the columns that are empty.
struct Cells {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    fn new<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Self {
        let is_empty = |cell: &String| matches!(cell.as_str(), "" | "-");
        let shown =
            |column: &usize| rows.is_empty() || rows.iter().any(|row| !is_empty(&row[*column]));
        let shown: Vec<usize> = (0..N).filter(shown).collect();
        let head = shown
            .iter()
            .map(|column| head[*column].to_owned())
            .collect();
        let row = |row: [String; N]| {
            let cells = row.into_iter().enumerate();
            let cells = cells.filter(|(column, _)| shown.contains(column));
            cells.map(|(_, cell)| one_line(&cell)).collect()
        };
        Self {
            head,
            rows: rows.into_iter().map(row).collect(),
        }
    }

    fn fit(&self, width: Option<u16>, shortest: u16) -> Option<String> {
        let mut table = table(&self.head, &self.rows);
        if let Some(width) = width {
            let natural = table.column_max_content_widths();
            let widths = widths(&natural, width, shortest)?;
            constrain(&mut table, &natural, &widths, PADDING);
        }
        Some(table.trim_fmt())
    }

    fn as_lines(&self, width: Option<u16>) -> String {
        let of_row = |row: &Vec<String>| {
            let pairs: Vec<Vec<String>> = self
                .head
                .iter()
                .zip(row)
                .filter(|(_, cell)| !matches!(cell.as_str(), "" | "-"))
                .map(|(head, cell)| vec![head.clone(), cell.clone()])
                .collect();
            let mut table = table(&[], &pairs);
            let natural = table.column_max_content_widths();
            if let (Some(width), &[head, _]) = (width, &natural[..]) {
                let left = width.saturating_sub(head + 2 * PADDING - 1).max(1);
                constrain(&mut table, &natural, &[head, natural[1].min(left)], PADDING);
            }
            table.trim_fmt()
        };
        self.rows
            .iter()
            .map(of_row)
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

fn table(head: &[String], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let line = |cells: &[String]| {
        let mut row = Row::from(cells);
        row.max_height(1);
        row
    };
    if !head.is_empty() {
        table.set_header(line(head));
    }
    table.add_rows(rows.iter().map(|row| line(row)));
    table
}

/// The widths of columns whose contents are `natural` wide: the widest are shortened to one width, but no further than
/// to `shortest`.
fn widths(natural: &[u16], width: u16, shortest: u16) -> Option<Vec<u16>> {
    let columns = u16::try_from(natural.len()).ok()?;
    // The blank after the last cell is not printed.
    let room = u32::from((width + 1).checked_sub(columns * PADDING)?);
    let cut = |at: u16| natural.iter().map(move |width| (*width).min(at));
    let fits = |at: &u16| cut(*at).map(u32::from).sum::<u32>() <= room;
    let widest = natural.iter().copied().max().unwrap_or_default();
    let at = (shortest.min(widest)..=widest).rev().find(fits)?;
    Some(cut(at).collect())
}

fn constrain(table: &mut Table, natural: &[u16], widths: &[u16], padding: u16) {
    for (index, (natural, width)) in natural.iter().zip(widths).enumerate() {
        if width < natural
            && let Some(column) = table.column_mut(index)
        {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + padding)));
            // Words are cut as well: a long path has no blank.
            column.set_delimiter('\u{0}');
        }
    }
}

/// The text without control characters, on one line.
fn one_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(texts: &[[&str; 3]]) -> Vec<[String; 3]> {
        texts.iter().map(|row| row.map(str::to_owned)).collect()
    }

    const HEAD: [&str; 3] = ["DAY", "TESTS", "PROJECTS"];

    #[test]
    fn without_a_bound_nothing_is_cut_and_empty_columns_go() {
        let text = as_table(
            HEAD,
            rows(&[
                ["2026-03-01", "-", "a\nlong \u{1b}name"],
                ["2026-03-02", "", "b"],
            ]),
            None,
        );
        let expected = "
 DAY         PROJECTS
 2026-03-01  a long \u{fffd}name
 2026-03-02  b";
        assert_eq!(text, expected.trim_matches('\n'));
        assert_eq!(as_table(HEAD, rows(&[]), None), " DAY  TESTS  PROJECTS");
    }

    #[test]
    fn long_texts_are_shortened_to_the_terminal() {
        let all = || {
            rows(&[
                ["2026-03-01", "3 ok", "項目甲の長い名前のプロジェクト 1:00"],
                ["2026-03-02", "4 ok", "short"],
            ])
        };
        let expected = "
 DAY         TESTS  PROJECTS
 2026-03-01  3 ok   項目甲の長い名前の…
 2026-03-02  4 ok   short";
        assert_eq!(as_table(HEAD, all(), Some(40)), expected.trim_matches('\n'));
        assert_eq!(fit_table(HEAD, all(), Some(39), SHORTEST), None);
        let expected = "
 DAY       2026-03-01
 TESTS     3 ok
 PROJECTS  項目甲の長い名…

 DAY       2026-03-02
 TESTS     4 ok
 PROJECTS  short";
        assert_eq!(as_table(HEAD, all(), Some(26)), expected.trim_matches('\n'));
    }

    #[test]
    fn a_text_is_shortened_by_what_it_takes_on_a_terminal() {
        assert_eq!(shorten("rust 1:00", 20), "rust 1:00");
        assert_eq!(shorten("rust 1:00, sql 0:30", 10), "rust 1:00…");
        assert_eq!(shorten("項目甲", 4), "項…");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            texts in prop::collection::vec(["[a-z]{0,9}", "[ -~é項🚀]{0,60}", "[a-z ]{0,60}"], 0..5),
            width in 24_u16..120,
        ) {
            let rows: Vec<[String; 3]> = texts;
            let count = rows.len();
            let text = as_table(HEAD, rows.clone(), Some(width));
            for line in text.lines() {
                let probe = table(&[], &[vec![line.to_owned()]]);
                prop_assert!(probe.column_max_content_widths()[0] <= width, "{line:?}");
            }
            if let Some(fitting) = fit_table(HEAD, rows, Some(width), SHORTEST) {
                prop_assert_eq!(fitting.lines().count(), count + 1);
            }
        }
    }
}

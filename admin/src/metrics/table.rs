//! How `devtrail metrics show` looks to people. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::day::{Day, Share, Sums};
use crate::output::{SHORTEST, as_table, count, fit_table, shorten};

/// Languages and projects named of a day.
const TOP: usize = 2;
/// Longer names are cut to this many columns of a terminal.
const NAME: u16 = 24;
/// What begins a line of lists.
const INDENT: &str = "     ";

const NUMBERS: [&str; 8] = [
    "DAY",
    "ACTIVE",
    "EDITS",
    "LINES",
    "SAVES",
    "COMMITS",
    "COMMITTED",
    "COMMANDS",
];
const LISTS: [&str; 4] = ["BUILDS", "TESTS", "LANGUAGES", "PROJECTS"];

/// The table of the chosen days with a line of totals; with which of `all` days they are. If it is wider than `width`,
/// the lists of a day are on a line of their own.
pub fn text(developer: &str, chosen: &[&Day], all: &[Day], width: Option<u16>) -> String {
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return format!("{developer}: no events.");
    };
    let range = format!(
        "{} with events, from {} to {}",
        count(all.len(), "day"),
        first.day,
        last.day
    );
    if chosen.is_empty() {
        return format!("{developer}: no events on the days asked for. There are {range}.");
    }
    let mut totals = Sums::default();
    let mut rows = Vec::new();
    for day in chosen {
        totals.add(&day.sums);
        rows.push(DayText::of(&day.day, &day.sums));
    }
    rows.push(DayText::of(
        &format!("total, {}", count(chosen.len(), "day")),
        &totals,
    ));
    let note = if chosen.len() < all.len() {
        format!(
            "\n{} of {range}; --from and --to show others.",
            chosen.len()
        )
    } else {
        String::new()
    };
    format!("{developer}\n{}{note}", table(&rows, width))
}

/// A day, or several, as the texts of its columns.
struct DayText {
    numbers: [String; 8],
    lists: [String; 4],
}

impl DayText {
    fn of(day: &str, sums: &Sums) -> Self {
        let number = |count: u64| match count {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        Self {
            numbers: [
                day.to_owned(),
                hours(sums.active_seconds),
                number(sums.edits),
                lines(sums.lines_added, sums.lines_removed),
                number(sums.saves),
                number(sums.commits),
                lines(sums.commit_lines_added, sums.commit_lines_removed),
                number(sums.commands),
            ],
            lists: [
                builds(&sums.builds),
                tests(&sums.tests),
                top(&sums.languages),
                top(&sums.projects),
            ],
        }
    }

    fn wide(&self) -> [String; 12] {
        let mut cells = self.numbers.iter().chain(&self.lists).cloned();
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    }

    /// The lists that are not empty, on a line below the numbers.
    fn list_line(&self, width: u16) -> Option<String> {
        let named = LISTS
            .iter()
            .zip(&self.lists)
            .filter(|(_, list)| *list != "-");
        let parts: Vec<String> = named
            .map(|(head, list)| format!("{}: {list}", head.to_lowercase()))
            .collect();
        let line = format!("{INDENT}{}", parts.join(" · "));
        (!parts.is_empty()).then(|| shorten(&line, width))
    }
}

fn table(rows: &[DayText], width: Option<u16>) -> String {
    let mut heads = NUMBERS.iter().chain(&LISTS);
    let head: [&str; 12] = std::array::from_fn(|_| heads.next().copied().unwrap_or_default());
    let wide: Vec<[String; 12]> = rows.iter().map(DayText::wide).collect();
    if let Some(table) = fit_table(head, wide.clone(), width, SHORTEST) {
        return table;
    }
    let numbers: Vec<[String; 8]> = rows.iter().map(|row| row.numbers.clone()).collect();
    let Some(width) = width else {
        return as_table(head, wide, width);
    };
    let Some(table) = fit_table(NUMBERS, numbers, Some(width), SHORTEST) else {
        return as_table(head, wide, Some(width));
    };
    let mut lines = table.lines().map(str::to_owned);
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (line, row) in lines.zip(rows) {
        text.push(line);
        text.extend(row.list_line(width));
    }
    text.join("\n")
}

/// `h:mm`, rounded down to the minute as `active_minutes` is.
pub fn hours(seconds: u64) -> String {
    let minutes = seconds / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// Lines added and removed.
fn lines(added: u64, removed: u64) -> String {
    match (added, removed) {
        (0, 0) => "-".to_owned(),
        _ => format!("+{added} -{removed}"),
    }
}

/// Builds that went well and builds that failed; others, such as cancelled ones, if there are any.
fn builds(counts: &BTreeMap<String, u64>) -> String {
    let [well, failed] = ["succeeded", "failed"].map(|outcome| of(counts, outcome));
    in_words(
        well,
        failed,
        counts.values().sum::<u64>() - well - failed,
        "other",
    )
}

/// Tests that passed and tests that failed; skipped ones if there are any.
fn tests(counts: &BTreeMap<String, u64>) -> String {
    let [well, failed, skipped] =
        ["passed", "failed", "skipped"].map(|outcome| of(counts, outcome));
    in_words(well, failed, skipped, "skipped")
}

fn of(counts: &BTreeMap<String, u64>, outcome: &str) -> u64 {
    counts.get(outcome).copied().unwrap_or_default()
}

fn in_words(well: u64, failed: u64, others: u64, name: &str) -> String {
    match (well, failed, others) {
        (0, 0, 0) => "-".to_owned(),
        (_, _, 0) => format!("{well} ok, {failed} failed"),
        _ => format!("{well} ok, {failed} failed, {others} {name}"),
    }
}

/// Those with most time, then with most commits, and how many more there are. One without time is only named.
fn top(shares: &[Share]) -> String {
    let mut sorted: Vec<&Share> = shares.iter().collect();
    sorted.sort_by_key(|share| (Reverse((share.seconds, share.commits)), &share.name));
    let named = sorted.iter().take(TOP).map(|share| {
        let name = shorten(&share.name, NAME);
        match share.seconds {
            0 => name,
            seconds => format!("{name} {}", hours(seconds)),
        }
    });
    let more = (sorted.len() > TOP).then(|| format!("{} more", sorted.len() - TOP));
    let all: Vec<String> = named.chain(more).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: &str, body: &str) -> Day {
        Day::read(day.to_owned(), body).unwrap()
    }

    fn week() -> [Day; 3] {
        [
            day(
                "2026-03-01",
                r#"{"commits": 2, "commit_lines_added": 70, "active_seconds": 0,
                    "languages": [{"name": "sql", "seconds": 0, "commits": 1},
                                  {"name": "rust", "seconds": 0, "commits": 2}],
                    "projects": [{"name": "項目甲", "seconds": 0, "commits": 2}]}"#,
            ),
            day(
                "2026-03-02",
                r#"{"active_seconds": 5459, "edits": 12, "lines_added": 40, "lines_removed": 3, "saves": 3,
                    "commits": 1, "commands": 7, "builds": {"succeeded": 3, "failed": 1},
                    "tests": {"passed": 9, "failed": 0, "skipped": 1, "flaky": 1},
                    "languages": [{"name": "rust", "seconds": 3600}, {"name": "sql", "seconds": 1859}],
                    "projects": [{"name": "devtrail", "seconds": 5459}]}"#,
            ),
            day(
                "2026-03-04",
                r#"{"active_seconds": 3629, "edits": 30,
                    "languages": [{"name": "sql", "seconds": 3000}, {"name": "go", "seconds": 600},
                                  {"name": "c", "seconds": 29}],
                    "projects": [{"name": "a-project-with-a-name-beyond-all-bounds", "seconds": 3629}]}"#,
            ),
        ]
    }

    fn shown(width: Option<u16>) -> String {
        let week = week();
        text("ada", &week.iter().collect::<Vec<_>>(), &week, width)
    }

    #[test]
    fn a_line_a_day_and_one_of_totals() {
        let expected = "
ada
 DAY            ACTIVE  EDITS  LINES   SAVES  COMMITS  COMMITTED  COMMANDS  BUILDS          TESTS                      \
            LANGUAGES                    PROJECTS
 2026-03-01     0:00    -      -       -      2        +70 -0     -         -               -                          \
            rust, sql                    項目甲
 2026-03-02     1:30    12     +40 -3  3      1        -          7         3 ok, 1 failed  9 ok, 0 failed, 1 skipped  \
            rust 1:00, sql 0:30          devtrail 1:30
 2026-03-04     1:00    30     -       -      -        -          -         -               -                          \
            sql 0:50, go 0:10, 1 more    a-project-with-a-name-b… 1:00
 total, 3 days  2:31    42     +40 -3  3      3        +70 -0     7         3 ok, 1 failed  9 ok, 0 failed, 1 skipped  \
            sql 1:20, rust 1:00, 2 more  devtrail 1:30, a-project-with-a-name-b… 1:00, 1 more
";
        assert_eq!(shown(None), expected.trim_matches('\n'));
    }

    #[test]
    fn a_narrow_terminal_gets_the_lists_below_the_numbers() {
        let expected = "
ada
 DAY            ACTIVE  EDITS  LINES   SAVES  COMMITS  COMMITTED  COMMANDS
 2026-03-01     0:00    -      -       -      2        +70 -0     -
     languages: rust, sql · projects: 項目甲
 2026-03-02     1:30    12     +40 -3  3      1        -          7
     builds: 3 ok, 1 failed · tests: 9 ok, 0 failed, 1 skipped · languages: rus…
 2026-03-04     1:00    30     -       -      -        -          -
     languages: sql 0:50, go 0:10, 1 more · projects: a-project-with-a-name-b… …
 total, 3 days  2:31    42     +40 -3  3      3        +70 -0     7
     builds: 3 ok, 1 failed · tests: 9 ok, 0 failed, 1 skipped · languages: sql…";
        assert_eq!(shown(Some(80)), expected.trim_matches('\n'));
        assert!(
            shown(Some(40)).contains("\n DAY        2026-03-01\n ACTIVE     0:00\n"),
            "{}",
            shown(Some(40))
        );
    }

    #[test]
    fn days_that_are_left_out_are_reported() {
        let week = week();
        let some = text("ada", &[&week[0]], &week, None);
        let range = "3 days with events, from 2026-03-01 to 2026-03-04";
        assert!(
            some.ends_with(&format!("1 of {range}; --from and --to show others.")),
            "{some}"
        );
        let none = format!("ada: no events on the days asked for. There are {range}.");
        assert_eq!(text("ada", &[], &week, None), none);
    }
}

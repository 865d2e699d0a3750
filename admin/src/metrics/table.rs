//! How `devtrail metrics show` looks to people. Pure.

use std::collections::BTreeMap;

use super::day::{Day, Share, Sums};
use crate::output::as_table;

/// Languages and projects named of a day.
const TOP: usize = 2;
/// Longer names are cut to this many characters.
const NAME: usize = 24;

/// The table of the chosen days with a line of totals; with which of `all` days they are.
pub fn text(developer: &str, chosen: &[&Day], all: &[Day]) -> String {
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return format!("{developer}: no events.");
    };
    let range = format!(
        "{} with events, from {} to {}",
        days(all.len()),
        first.day,
        last.day
    );
    if chosen.is_empty() {
        return format!("{developer}: no events on the days asked for. There are {range}.");
    }
    let mut totals = Sums::default();
    let mut rows: Vec<[String; 9]> = Vec::new();
    for day in chosen {
        totals.add(&day.sums);
        rows.push(row(&day.day, &day.sums));
    }
    rows.push(row(&format!("total, {}", days(chosen.len())), &totals));
    let head = [
        "DAY",
        "ACTIVE",
        "EDITS",
        "SAVES",
        "COMMITS",
        "BUILDS",
        "TESTS",
        "LANGUAGES",
        "PROJECTS",
    ];
    let note = if chosen.len() < all.len() {
        format!(
            "\n{} of {range}; --from and --to show others.",
            chosen.len()
        )
    } else {
        String::new()
    };
    format!("{developer}\n{}{note}", as_table(head, rows))
}

fn row(day: &str, sums: &Sums) -> [String; 9] {
    let count = |count: u64| {
        if count == 0 {
            "-".to_owned()
        } else {
            count.to_string()
        }
    };
    [
        day.to_owned(),
        hours(sums.active_seconds),
        count(sums.edits),
        count(sums.saves),
        count(sums.commits),
        builds(&sums.builds),
        tests(&sums.tests),
        top(&sums.languages),
        top(&sums.projects),
    ]
}

/// `h:mm`, rounded to the minute.
fn hours(seconds: u64) -> String {
    let minutes = (seconds + 30) / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
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

/// Those with most time, and how many more there are.
fn top(shares: &[Share]) -> String {
    let mut sorted: Vec<&Share> = shares.iter().collect();
    sorted.sort_by(|a, b| b.seconds.cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    let named = sorted.iter().take(TOP).map(|share| {
        let name: String = match share.name.chars().count() > NAME {
            true => share.name.chars().take(NAME - 1).chain(['…']).collect(),
            false => share.name.clone(),
        };
        format!("{} {}", name.replace('\n', " "), hours(share.seconds))
    });
    let more = (sorted.len() > TOP).then(|| format!("{} more", sorted.len() - TOP));
    let all: Vec<String> = named.chain(more).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}

fn days(count: usize) -> String {
    if count == 1 {
        "1 day".to_owned()
    } else {
        format!("{count} days")
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
            day("2026-03-01", r#"{"commits": 2, "active_seconds": 0}"#),
            day(
                "2026-03-02",
                r#"{"active_seconds": 5400, "edits": 12, "saves": 3, "commits": 1,
                    "builds": {"succeeded": 3, "failed": 1},
                    "tests": {"passed": 9, "failed": 0, "skipped": 1, "flaky": 1},
                    "languages": [{"name": "rust", "seconds": 3600}, {"name": "sql", "seconds": 1800}],
                    "projects": [{"name": "devtrail", "seconds": 5400}]}"#,
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

    #[test]
    fn a_line_a_day_and_one_of_totals() {
        let week = week();
        let text = text("ada", &week.iter().collect::<Vec<_>>(), &week);
        let expected = "
ada
 DAY            ACTIVE  EDITS  SAVES  COMMITS  BUILDS          TESTS                      \
            LANGUAGES                    PROJECTS
 2026-03-01     0:00    -      -      2        -               -                          \
            -                            -
 2026-03-02     1:30    12     3      1        3 ok, 1 failed  9 ok, 0 failed, 1 skipped  \
            rust 1:00, sql 0:30          devtrail 1:30
 2026-03-04     1:00    30     -      -        -               -                          \
            sql 0:50, go 0:10, 1 more    a-project-with-a-name-b… 1:00
 total, 3 days  2:30    42     3      3        3 ok, 1 failed  9 ok, 0 failed, 1 skipped  \
            sql 1:20, rust 1:00, 2 more  devtrail 1:30, a-project-with-a-name-b… 1:00
";
        assert_eq!(text, expected.trim_matches('\n'));
    }

    #[test]
    fn days_that_are_left_out_are_reported() {
        let week = week();
        let some = text("ada", &[&week[0]], &week);
        let range = "3 days with events, from 2026-03-01 to 2026-03-04";
        assert!(
            some.ends_with(&format!("1 of {range}; --from and --to show others.")),
            "{some}"
        );
        let none = format!("ada: no events on the days asked for. There are {range}.");
        assert_eq!(text("ada", &[], &week), none);
    }
}

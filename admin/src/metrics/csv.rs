//! `devtrail metrics show --csv`: a line for each day, or for each day and name. Pure.

use serde_json::Value;

use super::by::{By, times};
use super::day::Day;

/// The numbers of a day that are columns.
const NUMBERS: [&str; 22] = [
    "active_ms",
    "late_night_seconds",
    "weekend_seconds",
    "sessions",
    "longest_session_seconds",
    "events",
    "edits",
    "saves",
    "files",
    "commits",
    "pushes",
    "branch_switches",
    "project_switches",
    "commands",
    "lines_added",
    "lines_removed",
    "chars_added",
    "chars_removed",
    "commit_lines_added",
    "commit_lines_removed",
    "build_ms",
    "test_ms",
];

/// The head of [`lines`].
pub fn head(by: Option<By>) -> Vec<String> {
    let columns: &[&str] = match by {
        Some(_) => &["developer", "day", "name", "key", "active_ms"],
        None => &["developer", "day"],
    };
    let numbers: &[&str] = if by.is_some() { &[] } else { &NUMBERS };
    columns
        .iter()
        .chain(numbers)
        .map(|name| (*name).to_owned())
        .collect()
}

/// The days of a developer: one line each, or one for each name that has time on it.
pub fn lines(developer: &str, days: &[&Day], by: Option<By>) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for day in days {
        let start = [developer.to_owned(), day.day.clone()];
        match by {
            None => {
                let number = |name: &&str| {
                    let value = day.body.get(*name).and_then(Value::as_i64);
                    value.unwrap_or(0).to_string()
                };
                lines.push(
                    start
                        .into_iter()
                        .chain(NUMBERS.iter().map(number))
                        .collect(),
                );
            }
            Some(by) => {
                for time in times(&[*day], by) {
                    let key = time.key.unwrap_or_default();
                    let rest = [time.name, key, time.ms.to_string()];
                    lines.push(start.iter().cloned().chain(rest).collect());
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_the_columns_of_the_head() {
        let body = r#"{"active_ms": 5, "events": 2,
            "projects": [{"name": "A, \"b\"", "key": "a-b", "seconds": 0, "ms": 5}]}"#;
        let day = Day::read("2026-03-01".to_owned(), body).unwrap();
        for by in [None, Some(By::Project)] {
            let lines = lines("ada", &[&day], by);
            assert_eq!((lines.len(), lines[0].len()), (1, head(by).len()));
        }
        let by_project = lines("ada", &[&day], Some(By::Project));
        assert_eq!(by_project[0], ["ada", "2026-03-01", "A, \"b\"", "a-b", "5"]);
        let whole = lines("ada", &[&day], None);
        assert_eq!(whole[0][..3], ["ada", "2026-03-01", "5"]);
    }
}

//! How `devtrail metrics explain` looks to people. Pure.

use types::query::{DayExplained, DayPart, Why};

use crate::output::{SHORTEST, as_table, count, fit_table};

const HEAD: [&str; 6] = ["FROM", "TO", "COUNTED", "EVENTS", "FOR", "WHY"];

/// The parts of the day, with their sum. Times are in UTC.
pub fn text(developer: &str, explained: &DayExplained, width: Option<u16>) -> String {
    let rows: Vec<[String; 6]> = explained.parts.iter().map(row).collect();
    let table = fit_table(HEAD, rows.clone(), width, SHORTEST)
        .unwrap_or_else(|| as_table(HEAD, rows, width));
    format!(
        "{developer} on {}: {} active. Pauses of up to {} count; times are in UTC.\n{table}\n{}",
        explained.day,
        clock(explained.active_ms),
        duration(explained.idle_seconds),
        sum(explained),
    )
}

fn sum(explained: &DayExplained) -> String {
    let counted = explained.parts.iter().filter(|part| part.counted_ms > 0);
    let pauses = explained
        .parts
        .iter()
        .filter(|part| part.why == Why::LongerThanTimeout);
    format!(
        "{} counted, {} in all; {} not counted.",
        count(counted.count(), "part"),
        clock(explained.active_ms),
        count(pauses.count(), "pause"),
    )
}

fn row(part: &DayPart) -> [String; 6] {
    let place = part.place.as_ref().map_or_else(
        || "-".to_owned(),
        |place| format!("{} · {} · {}", place.project, place.language, place.editor),
    );
    [
        time(&part.from),
        time(&part.to),
        clock(part.counted_ms),
        part.events.to_string(),
        place,
        why(part.why).to_owned(),
    ]
}

fn why(why: Why) -> &'static str {
    match why {
        Why::WithinTimeout => "each event follows within the timeout",
        Why::LongerThanTimeout => "the pause is longer than the timeout",
        Why::NotListed => "the rest of the day, not listed one by one",
        Why::PartlyOnAnotherDay => "a part of the pause is on another day",
    }
}

/// Day and time of an RFC 3339 text, to the second.
fn time(text: &str) -> String {
    text.get(5..19).unwrap_or(text).replace('T', " ")
}

/// `h:mm:ss`, rounded down.
fn clock(ms: i64) -> String {
    let seconds = ms / 1000;
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn duration(seconds: i64) -> String {
    if seconds % 60 == 0 {
        count(usize::try_from(seconds / 60).unwrap_or_default(), "minute")
    } else {
        count(usize::try_from(seconds).unwrap_or_default(), "second")
    }
}

#[cfg(test)]
mod tests {
    use types::query::PlaceNames;

    use super::*;

    #[test]
    fn each_part_is_a_line_and_they_add_up() {
        let part = |from: &str, to: &str, ms, why, place: Option<&str>, events: usize| DayPart {
            counted_from: None,
            from: format!("2026-03-01T{from}.000000Z"),
            to: format!("2026-03-01T{to}.000000Z"),
            counted_ms: ms,
            why,
            place: place.map(|project| PlaceNames {
                project: project.to_owned(),
                language: "rust".to_owned(),
                editor: "vscode".to_owned(),
            }),
            events,
            event_ids: Vec::new(),
        };
        let explained = DayExplained {
            day: "2026-03-01".to_owned(),
            idle_seconds: 900,
            active_seconds: 3725,
            active_ms: 3_725_000,
            parts: vec![
                part(
                    "09:00:00",
                    "10:02:05",
                    3_725_000,
                    Why::WithinTimeout,
                    Some("demo"),
                    40,
                ),
                part("10:02:05", "10:20:00", 0, Why::LongerThanTimeout, None, 2),
            ],
        };
        let expected = "
ada on 2026-03-01: 1:02:05 active. Pauses of up to 15 minutes count; times are in UTC.
 FROM            TO              COUNTED  EVENTS  FOR                   WHY
 03-01 09:00:00  03-01 10:02:05  1:02:05  40      demo · rust · vscode  each event follows within the timeout
 03-01 10:02:05  03-01 10:20:00  0:00:00  2       -                     the pause is longer than the timeout
1 part counted, 1:02:05 in all; 1 pause not counted.";
        assert_eq!(text("ada", &explained, None), expected.trim_matches('\n'));
    }
}

//! Days and times as flags take them. Pure.

use types::time::{Micros, parse_rfc3339};

/// Reads an RFC 3339 time, or a day in UTC.
///
/// # Errors
/// Returns an error if it is neither, with how to write one.
pub fn parse_since(text: &str) -> Result<Micros, String> {
    let day = format!("{text}T00:00:00Z");
    let read = [text, &day]
        .into_iter()
        .find_map(|text| parse_rfc3339(text)?.at);
    read.ok_or_else(|| {
        format!("{text:?} is no time; write 2026-03-01 or 2026-03-01T09:00:00+01:00")
    })
}

/// Checks a day as people write it.
///
/// # Errors
/// Returns an error if it is none, with the form it must have.
pub fn parse_day(text: &str) -> Result<String, String> {
    // The calendar's own parser takes other forms as well, which would not sort as days do.
    let parsed = text
        .parse::<jiff::civil::Date>()
        .ok()
        .filter(|day| day.to_string() == text);
    parsed
        .map(|day| day.to_string())
        .ok_or_else(|| format!("{text:?} is no day; write 2026-03-01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_others_refused_with_the_remedy() {
        assert_eq!(
            parse_since("2026-03-01"),
            parse_since("2026-03-01T01:00:00+01:00")
        );
        assert!(parse_since("yesterday").unwrap_err().contains("2026-03-01"));
    }

    #[test]
    fn a_day_is_written_in_one_form_only() {
        assert_eq!(parse_day("2026-03-01"), Ok("2026-03-01".to_owned()));
        for bad in [
            "",
            "2026-3-1",
            "2026-02-30",
            "20260301",
            "2026-03-01T00:00",
            "tomorrow",
        ] {
            assert!(parse_day(bad).is_err(), "{bad}");
        }
    }
}

//! The value of `--since`. Pure.

use types::time::{Micros, parse_rfc3339};

/// Reads an RFC 3339 time, or a day in UTC.
///
/// # Errors
/// Where it is neither, with how to write one.
pub fn parse_since(text: &str) -> Result<Micros, String> {
    let day = format!("{text}T00:00:00Z");
    let read = [text, &day]
        .into_iter()
        .find_map(|text| parse_rfc3339(text)?.at);
    read.ok_or_else(|| {
        format!("{text:?} is no time; write 2026-03-01 or 2026-03-01T09:00:00+01:00")
    })
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
}

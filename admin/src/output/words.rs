//! Numbers, times and texts as people read them: one way each. Pure.

use types::time::{Micros, SECOND, parse_rfc3339, rfc3339};

/// A number of things, such as `1 batch`, `2 batches`, `0 entries`.
#[must_use]
pub fn count(number: impl TryInto<u64>, one: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        number => format!("{number} {}", plural(one)),
    }
}

/// The plural of an English noun that is regular.
#[must_use]
pub fn plural(one: &str) -> String {
    let consonant_before_y = |stem: &str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match one.strip_suffix('y') {
        Some(stem) if consonant_before_y(stem) => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"]
            .iter()
            .any(|end| one.ends_with(end)) =>
        {
            format!("{one}es")
        }
        _ => format!("{one}s"),
    }
}

/// A time in UTC to the second, such as `2026-03-01T08:15:02Z`: as every listing for people shows times.
#[must_use]
pub fn time(at: Micros) -> String {
    rfc3339(at.div_euclid(SECOND) * SECOND).replace(".000000", "")
}

/// The same of a time that is written down; a text that is no time stays as it is.
#[must_use]
pub fn written_time(text: &str) -> String {
    parse_rfc3339(text)
        .and_then(|written| written.at)
        .map_or_else(|| text.to_owned(), time)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_the_form_of_its_number() {
        for (number, one, expected) in [
            (0, "batch", "0 batches"),
            (1, "batch", "1 batch"),
            (2, "dead letter", "2 dead letters"),
            (2, "retry", "2 retries"),
            (2, "key", "2 keys"),
            (3, "box", "3 boxes"),
        ] {
            assert_eq!(count(number, one), expected);
        }
    }

    #[test]
    fn a_time_is_shown_to_the_second_in_utc() {
        assert_eq!(time(1_500_000), "1970-01-01T00:00:01Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59Z");
        assert_eq!(
            written_time("2026-03-01T09:15:02.120+01:00"),
            "2026-03-01T08:15:02Z"
        );
        assert_eq!(written_time("never"), "never");
    }
}

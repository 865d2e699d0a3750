//! Days and times as flags take them. Pure.

use runtime::settings::UsageError;
use types::time::{self, Micros, parse_rfc3339};

use crate::output::SELECTION;

/// From when to when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct TimeRangeArgs {
    /// Not what is older than this: an RFC 3339 time, or YYYY-MM-DD in UTC
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = parse_from, help_heading = SELECTION)]
    pub from: Option<Micros>,
    /// Not what is newer than this: an RFC 3339 time, or YYYY-MM-DD in UTC with all of that day
    #[arg(long, visible_alias = "until", value_name = "TIME", value_parser = parse_to, help_heading = SELECTION)]
    pub to: Option<Micros>,
}

impl TimeRangeArgs {
    /// Whether the time is in the range, both ends included.
    #[must_use]
    pub fn contains(&self, at: Micros) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    /// Refuses a range that ends before it begins.
    ///
    /// # Errors
    /// Returns [`UsageError`] with the remedy.
    pub fn check(&self) -> Result<(), UsageError> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => Err(backwards("time")),
            _ => Ok(()),
        }
    }
}

/// From which day to which.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct DayRangeArgs {
    /// First day, YYYY-MM-DD
    #[arg(long, visible_alias = "since", value_name = "DAY", value_parser = parse_day, help_heading = SELECTION)]
    pub from: Option<String>,
    /// Last day, YYYY-MM-DD
    #[arg(long, visible_alias = "until", value_name = "DAY", value_parser = parse_day, help_heading = SELECTION)]
    pub to: Option<String>,
}

impl DayRangeArgs {
    /// One day alone.
    #[must_use]
    pub fn of(day: String) -> Self {
        Self {
            from: Some(day.clone()),
            to: Some(day),
        }
    }

    /// Whether neither end is given.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether the day is in the range, both ends included.
    #[must_use]
    pub fn contains(&self, day: &str) -> bool {
        // Days are written so that they sort as texts.
        self.from.as_deref().is_none_or(|from| from <= day)
            && self.to.as_deref().is_none_or(|to| day <= to)
    }

    /// Refuses a range that ends before it begins.
    ///
    /// # Errors
    /// Returns [`UsageError`] with the remedy.
    pub fn check(&self) -> Result<(), UsageError> {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from > to => Err(backwards("day")),
            _ => Ok(()),
        }
    }
}

fn backwards(what: &str) -> UsageError {
    UsageError(format!(
        "There is no {what} in that range: --from is after --to; exchange them."
    ))
}

fn parse_from(text: &str) -> Result<Micros, String> {
    parse_time(text, "00:00:00")
}

fn parse_to(text: &str) -> Result<Micros, String> {
    parse_time(text, "23:59:59.999999")
}

/// Reads an RFC 3339 time, or a day in UTC at this time of it.
fn parse_time(text: &str, of_day: &str) -> Result<Micros, String> {
    let day = format!("{text}T{of_day}Z");
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

/// Checks an IANA zone.
///
/// # Errors
/// Returns an error if there is none of this name, with two that there are.
pub fn parse_zone(name: &str) -> Result<String, String> {
    match time::zone(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err(
            "is no zone of the IANA database; write one such as Europe/Berlin or Asia/Kolkata"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_others_refused_with_the_remedy() {
        assert_eq!(
            parse_from("2026-03-01"),
            parse_from("2026-03-01T01:00:00+01:00")
        );
        assert_eq!(
            parse_to("2026-03-01"),
            parse_from("2026-03-02").map(|next| next - 1)
        );
        assert!(parse_from("yesterday").unwrap_err().contains("2026-03-01"));
    }

    #[test]
    fn a_range_has_both_its_ends_and_no_other_order() {
        let range = |from, to| TimeRangeArgs { from, to };
        let seen = |range: TimeRangeArgs| [1, 2, 3].map(|at| range.contains(at));
        assert_eq!(seen(range(None, None)), [true, true, true]);
        assert_eq!(seen(range(Some(2), Some(2))), [false, true, false]);
        assert!(
            range(Some(2), Some(2)).check().is_ok() && range(Some(2), Some(1)).check().is_err()
        );
        let days = DayRangeArgs::of("2026-03-01".to_owned());
        assert!(
            days.contains("2026-03-01") && !days.contains("2026-03-02") && days.check().is_ok()
        );
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

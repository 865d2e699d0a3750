//! Local days: as texts, as numbers, and the UTC hours that they reach into.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{ToSpan as _, Unit};
use serde::Deserialize;
use store::HourRange;
use types::time::{Micros, SECOND};

const EPOCH: Date = Date::constant(1970, 1, 1);
const HOURS: i64 = 24;

/// A calendar day, in days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDay(i32);

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no local day: it must be YYYY-MM-DD of the years 1970 to 9998")]
pub struct InvalidLocalDay(String);

impl LocalDay {
    /// The day this many days later, or earlier if negative.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Its day of the week. 1970-01-01 was a Thursday.
    #[must_use]
    pub fn weekday(self) -> Weekday {
        use Weekday as W;
        match self.0.rem_euclid(7) {
            0 => W::Thursday,
            1 => W::Friday,
            2 => W::Saturday,
            3 => W::Sunday,
            4 => W::Monday,
            5 => W::Tuesday,
            _ => W::Wednesday,
        }
    }

    /// The UTC hours in which events of this local day may lie: every offset is shorter than 24 h.
    #[must_use]
    pub fn hours(self) -> HourRange {
        self.hours_until(self)
    }

    /// The UTC hours in which events of the local days from this one to `end` may lie.
    #[must_use]
    pub fn hours_until(self, end: Self) -> HourRange {
        let midnight = |day: Self| i64::from(day.0) * HOURS;
        HourRange::of_local_days(midnight(self), midnight(end))
    }

    /// When the day ends, if local time is `offset` seconds ahead of UTC.
    #[must_use]
    pub fn end(self, offset: i32) -> Micros {
        (i64::from(self.0) + 1) * HOURS * 3600 * SECOND - i64::from(offset) * SECOND
    }
}

impl fmt::Display for LocalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", EPOCH.saturating_add(self.0.days()))
    }
}

impl FromStr for LocalDay {
    type Err = InvalidLocalDay;

    fn from_str(text: &str) -> Result<Self, InvalidLocalDay> {
        let bad = || InvalidLocalDay(text.to_owned());
        let date: Date = text.parse().map_err(|_| bad())?;
        let known = (1970..=9998).contains(&date.year()) && date.to_string() == text;
        let days = known.then(|| EPOCH.until((Unit::Day, date)).ok()).flatten();
        Ok(Self(days.ok_or_else(bad)?.get_days()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_read_written_and_counted() {
        assert_eq!(day("1970-01-01"), LocalDay(0));
        assert_eq!(day("2024-02-28").plus(2).to_string(), "2024-03-01");
        for bad in [
            "",
            "2026-2-3",
            "2026-02-30",
            "20260203",
            "2026-02-03T00:00:00",
            "1969-12-31",
            "-009999-01-01",
        ] {
            assert_eq!(
                bad.parse::<LocalDay>(),
                Err(InvalidLocalDay(bad.to_owned())),
                "{bad}"
            );
        }
        assert_eq!(day("1970-01-02").hours(), HourRange { first: 0, last: 71 });
        assert_eq!(day("1970-01-01").end(3600), 23 * 3600 * SECOND);
    }

    #[test]
    fn days_have_their_weekdays() {
        let weekdays = ["1970-01-01", "2026-03-02", "2026-03-08"].map(|text| day(text).weekday());
        assert_eq!(
            weekdays,
            [Weekday::Thursday, Weekday::Monday, Weekday::Sunday]
        );
    }
}

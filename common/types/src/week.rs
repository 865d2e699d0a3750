//! Weeks from Monday to Sunday (ISO 8601).

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, ISOWeekDate, Weekday};
use serde::{Deserialize, Serialize};

/// A week, written `YYYY-Www`. Weeks of all years sort as they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Week {
    monday: Date,
}

/// Why a text names no week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWeek {
    /// It has another form.
    #[error("{0:?} is no week: write it as YYYY-Www, such as 2026-W09")]
    Form(String),
    /// The year has fewer weeks, or the number is 00.
    #[error("there is no week {year}-W{number:02}: the weeks of {year} are 01 to {last}")]
    Number { year: i16, number: i8, last: i8 },
}

/// Longest part of a refused text that the error shows, in bytes.
const SHOWN: usize = 40;

impl Week {
    /// The week of a day.
    #[must_use]
    pub fn of(day: Date) -> Self {
        let after = day.weekday().since(Weekday::Monday);
        let monday = day.saturating_sub(i64::from(after).days());
        Self { monday }
    }

    /// Its first day.
    #[must_use]
    pub fn monday(self) -> Date {
        self.monday
    }

    /// Its last day.
    #[must_use]
    pub fn sunday(self) -> Date {
        self.monday.saturating_add(6.days())
    }

    /// From Monday to Sunday.
    #[must_use]
    pub fn days(self) -> [Date; 7] {
        [0, 1, 2, 3, 4, 5, 6].map(|after: i64| self.monday.saturating_add(after.days()))
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let week = self.monday.iso_week_date();
        write!(f, "{:04}-W{:02}", week.year(), week.week())
    }
}

impl FromStr for Week {
    type Err = InvalidWeek;

    fn from_str(text: &str) -> Result<Self, InvalidWeek> {
        let form = || InvalidWeek::Form(crate::json::shorten(text, SHOWN));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, number) = text
            .split_once("-W")
            .filter(|(year, number)| year.len() == 4 && number.len() == 2)
            .filter(|(year, number)| digits(year) && digits(number))
            .ok_or_else(form)?;
        let year: i16 = year.parse().map_err(|_| form())?;
        let number: i8 = number.parse().map_err(|_| form())?;
        // The last day of the calendar is a Friday: its week has no Sunday.
        let first = ISOWeekDate::new(year, 1, Weekday::Monday).map_err(|_| form())?;
        let week = ISOWeekDate::new(year, number, Weekday::Monday)
            .ok()
            .filter(|week| week.date().checked_add(6.days()).is_ok());
        match week {
            Some(week) => Ok(Self {
                monday: week.date(),
            }),
            None => Err(InvalidWeek::Number {
                year,
                number,
                last: if year == 9999 {
                    51
                } else {
                    first.weeks_in_year()
                },
            }),
        }
    }
}

impl TryFrom<String> for Week {
    type Error = InvalidWeek;

    fn try_from(text: String) -> Result<Self, InvalidWeek> {
        text.parse()
    }
}

impl From<Week> for String {
    fn from(week: Week) -> Self {
        week.to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_week_is_read_and_written_in_one_form() {
        for (text, monday) in [
            ("2026-W10", date(2026, 3, 2)),
            ("2026-W01", date(2025, 12, 29)),
            ("2026-W53", date(2026, 12, 28)),
            ("0001-W01", date(1, 1, 1)),
        ] {
            let week: Week = text.parse().unwrap();
            assert_eq!((week.monday(), week.to_string().as_str()), (monday, text));
            for day in week.days() {
                assert_eq!(Week::of(day), week, "{day}");
            }
            assert_eq!(week.days()[6], week.sunday());
        }
        let sent = serde_json::to_string(&Week::of(date(2026, 3, 8))).unwrap();
        assert_eq!(sent, r#""2026-W10""#);
        assert!(serde_json::from_str::<Week>(r#""2026-W54""#).is_err());
    }

    #[test]
    fn what_is_no_week_is_refused_with_the_remedy() {
        for bad in [
            "",
            "abc",
            "2026",
            "2026-W1",
            "2026-w10",
            "2026W10",
            "2026-W010",
            "2026-W+1",
            "-026-W10",
            "2026-W10 ",
            "2026-W10-1",
            "２０２６-W10",
        ] {
            let error = bad.parse::<Week>().unwrap_err().to_string();
            assert!(error.contains("such as 2026-W09"), "{bad}: {error}");
        }
        for (bad, last) in [
            ("2026-W54", "01 to 53"),
            ("2026-W00", "01 to 53"),
            ("2025-W53", "01 to 52"),
            ("9999-W52", "01 to 51"),
        ] {
            let error = bad.parse::<Week>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains(last), "{error}");
        }
    }
}

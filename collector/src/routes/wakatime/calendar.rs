//! The clock that a request's days are on, and the days that it names.

use axum::http::HeaderMap;
use http_server::Problem;
use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use runtime::clock;
use types::time::{Micros, zone};
use types::week::Week;

use super::super::query_string::{invalid, single};
use crate::api_keys::Caller;

/// A zone, and what day it is there.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// The zone's name.
    pub name: String,
    pub today: Date,
}

/// Days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    pub first: Date,
    pub last: Date,
}

impl Calendar {
    /// Of the query's `timezone`; without it of the header `TimeZone`, which WakaTime's clients send with every
    /// request, if there is such a zone; else of the zone that the developer has set; else of UTC.
    ///
    /// # Errors
    /// Returns `invalid_parameter` if the query names a zone that does not exist.
    pub fn of(query: &str, headers: &HeaderMap, caller: &Caller) -> Result<Self, Problem> {
        let asked = match single(query, "timezone")? {
            Some(name) => {
                let zone = zone(&name).ok_or_else(|| {
                    let name = types::json::shorten(&name, 40);
                    let detail = format!(
                        "timezone is {name:?}: write a zone of the IANA database, such as Europe/Berlin."
                    );
                    invalid("timezone", detail)
                })?;
                Some((name, zone))
            }
            None => None,
        };
        let known = |name: &str| Some((name.to_owned(), zone(name)?));
        let sent = || known(headers.get("TimeZone")?.to_str().ok()?.trim());
        let set = || known(caller.zone.as_deref()?);
        let (name, zone) =
            (asked.or_else(sent).or_else(set)).unwrap_or_else(|| ("UTC".to_owned(), TimeZone::UTC));
        Ok(Self::at(name, zone, clock::now()))
    }

    fn at(name: String, zone: TimeZone, now: Micros) -> Self {
        let now = Timestamp::from_microsecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            today: zone.to_datetime(now).date(),
            name,
            zone,
        }
    }

    #[cfg(test)]
    pub fn utc_at(now: Micros) -> Self {
        Self::at("UTC".to_owned(), TimeZone::UTC, now)
    }

    /// When a day begins here, RFC 3339 in UTC.
    pub fn start_of(&self, day: Date) -> String {
        self.first_instant(day).to_string()
    }

    /// The last second of a day here, RFC 3339 in UTC.
    pub fn end_of(&self, day: Date) -> String {
        let next = self.first_instant(day.saturating_add(1.day()));
        next.saturating_sub(1.second()).unwrap_or(next).to_string()
    }

    /// The first instant of a day; clocks may skip midnight.
    fn first_instant(&self, day: Date) -> Timestamp {
        let start = self.zone.to_timestamp(day.to_datetime(Time::midnight()));
        start.unwrap_or(Timestamp::MAX)
    }

    /// The day that a text names: `2026-03-01`, a time of that day, `03/01/2026`, `today` or `yesterday`.
    /// `None` also of one that does not begin and end within the years of RFC 3339 on every clock.
    pub fn day(&self, text: &str) -> Option<Date> {
        self.read_day(text).filter(|day| is_in_years(*day))
    }

    /// The day that a query string has under this name, if it has one.
    ///
    /// # Errors
    /// Returns `invalid_parameter` if it is no day, or there are several.
    pub fn named_day(&self, query: &str, name: &'static str) -> Result<Option<Date>, Problem> {
        let Some(text) = single(query, name)? else {
            return Ok(None);
        };
        self.day(&text).map(Some).ok_or_else(|| {
            let text = types::json::shorten(&text, 40);
            let detail = format!("{name} is {text:?}: write a day as YYYY-MM-DD, or \"today\".");
            invalid(name, detail)
        })
    }

    fn read_day(&self, text: &str) -> Option<Date> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "today" => return Some(self.today),
            "yesterday" => return Some(self.today.saturating_sub(1.day())),
            _ => {}
        }
        if let [month, day, year] = text.split('/').collect::<Vec<&str>>()[..] {
            let year: i16 = year.parse().ok().filter(|year| *year >= 1000)?;
            return Date::new(year, month.parse().ok()?, day.parse().ok()?).ok();
        }
        // A time with an offset is a day on this clock.
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(self.zone.to_datetime(at).date());
        }
        let is_date = text.len() == 10 || text.as_bytes().get(10).is_some_and(|at| *at == b'T');
        text.parse().ok().filter(|_| is_date)
    }

    /// The days of a named range, as `summaries` has them: up to today. Spaces count as `_`.
    pub fn range(&self, name: &str) -> Option<DaySpan> {
        let today = self.today;
        let yesterday = today.saturating_sub(1.day());
        let back = |last: Date, days: i64| Some(DaySpan::ending(last, days));
        let monday = Week::of(today).monday();
        let span = |first: Date, last: Date| Some(DaySpan { first, last });
        match snake_case(name).as_str() {
            "today" => back(today, 1),
            "yesterday" => back(yesterday, 1),
            "last_7_days" => back(today, 7),
            "last_7_days_from_yesterday" => back(yesterday, 7),
            "last_14_days" => back(today, 14),
            "last_30_days" => back(today, 30),
            "this_week" => span(monday, today),
            "last_week" => back(monday.saturating_sub(1.day()), 7),
            "this_month" => span(today.first_of_month(), today),
            "last_month" => {
                let last = today.first_of_month().saturating_sub(1.day());
                span(last.first_of_month(), last)
            }
            _ => None,
        }
    }

    /// The days of a named range, as `stats` has them: up to yesterday. A year or a month is one as well.
    pub fn stats_range(&self, name: &str) -> Option<DaySpan> {
        let yesterday = self.today.saturating_sub(1.day());
        let since = |first: Date| {
            Some(DaySpan {
                first,
                last: yesterday,
            })
        };
        match snake_case(name).as_str() {
            "last_7_days" => Some(DaySpan::ending(yesterday, 7)),
            "last_30_days" => Some(DaySpan::ending(yesterday, 30)),
            "last_6_months" => since(self.today.saturating_sub(6.months())),
            "last_year" => since(self.today.saturating_sub(1.year())),
            other => DaySpan::of_calendar(other).or_else(|| self.range(other)),
        }
    }
}

impl DaySpan {
    /// One day.
    pub fn of(day: Date) -> Self {
        Self {
            first: day,
            last: day,
        }
    }

    fn ending(last: Date, days: i64) -> Self {
        Self {
            first: last.saturating_sub((days - 1).days()),
            last,
        }
    }

    /// Of a year (`2026`) or a month (`2026-03`).
    fn of_calendar(text: &str) -> Option<Self> {
        let number = |text: &str, digits: usize| {
            let is_written_so =
                text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            is_written_so.then(|| text.parse::<i16>().ok())?
        };
        let (year, month) = match text.split_once('-') {
            Some((year, month)) => (year, Some(number(month, 2)?)),
            None => (text, None),
        };
        let year = number(year, 4)?;
        let first = Date::new(year, i8::try_from(month.unwrap_or(1)).ok()?, 1).ok()?;
        if !is_in_years(first) {
            return None;
        }
        let last = match month {
            Some(_) => first.last_of_month(),
            None => first.last_of_year(),
        };
        Some(Self { first, last })
    }

    /// How many days there are; less than 1 if the ends are the wrong way round.
    pub fn days(self) -> i32 {
        let span = self.first.until(self.last);
        span.map_or(i32::MAX, |span| span.get_days().saturating_add(1))
    }
}

fn is_in_years(day: Date) -> bool {
    (1..=9998).contains(&day.year())
}

/// `Sun Mar 1 2026`.
pub fn day_text(day: Date) -> String {
    day.strftime("%a %b %-d %Y").to_string()
}

/// Lower case, with `_` for spaces: `Last 7 Days` is `last_7_days`.
pub fn snake_case(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    name.replace([' ', '+'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday, 2026-03-01, 23:30 in Berlin.
    const NOW: Micros = 1_772_404_200_000_000;

    fn berlin() -> Calendar {
        let name = "Europe/Berlin";
        Calendar::at(name.to_owned(), zone(name).unwrap(), NOW)
    }

    fn days(span: Option<DaySpan>) -> Option<String> {
        span.map(|span| format!("{} {}", span.first, span.last))
    }

    #[test]
    fn days_are_named_in_many_ways() {
        let calendar = berlin();
        let day = |text: &str| calendar.day(text).map(|day| day.to_string());
        let first = Some("2026-03-01".to_owned());
        for text in [
            "2026-03-01",
            "today",
            " Today ",
            "03/01/2026",
            "3/1/2026",
            "2026-03-01T00:00:00",
            "2026-02-28T23:00:00Z",
            "2026-03-01T22:59:59.999Z",
        ] {
            assert_eq!(day(text), first, "{text}");
        }
        assert_eq!(day("yesterday").as_deref(), Some("2026-02-28"));
        assert_eq!(day("2026-03-01T23:00:00Z").as_deref(), Some("2026-03-02"));
        for none in [
            "",
            "tomorrow",
            "2026-02-30",
            "20260301",
            "13/01/2026",
            "1/1/26",
            "1/2/3/4",
            "x",
            "2026-03-01x",
            "0000-12-31",
            "9999-01-01",
        ] {
            assert_eq!(day(none), None, "{none}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_published_interface() {
        let calendar = berlin();
        for (name, expected) in [
            ("Today", "2026-03-01 2026-03-01"),
            ("Yesterday", "2026-02-28 2026-02-28"),
            ("Last 7 Days", "2026-02-23 2026-03-01"),
            ("last_7_days_from_yesterday", "2026-02-22 2026-02-28"),
            ("Last 14 Days", "2026-02-16 2026-03-01"),
            ("last_30_days", "2026-01-31 2026-03-01"),
            ("This Week", "2026-02-23 2026-03-01"),
            ("Last Week", "2026-02-16 2026-02-22"),
            ("This Month", "2026-03-01 2026-03-01"),
            ("Last Month", "2026-02-01 2026-02-28"),
        ] {
            assert_eq!(
                days(calendar.range(name)).as_deref(),
                Some(expected),
                "{name}"
            );
        }
        for (name, expected) in [
            ("last_7_days", "2026-02-22 2026-02-28"),
            ("last_30_days", "2026-01-30 2026-02-28"),
            ("last_6_months", "2025-09-01 2026-02-28"),
            ("last_year", "2025-03-01 2026-02-28"),
            ("2024", "2024-01-01 2024-12-31"),
            ("2024-02", "2024-02-01 2024-02-29"),
            ("this_week", "2026-02-23 2026-03-01"),
        ] {
            assert_eq!(
                days(calendar.stats_range(name)).as_deref(),
                Some(expected),
                "{name}"
            );
        }
        for none in [
            "",
            "all_time",
            "last_8_days",
            "24",
            "2024-13",
            "2024-2",
            "+024",
            "2024-02-01",
        ] {
            assert_eq!(calendar.stats_range(none), None, "{none}");
        }
    }

    #[test]
    fn a_day_has_the_length_that_its_clock_shows() {
        let calendar = berlin();
        let ends = |day: &str| {
            let day = calendar.day(day).unwrap();
            format!("{} {}", calendar.start_of(day), calendar.end_of(day))
        };
        assert_eq!(
            ends("2026-03-01"),
            "2026-02-28T23:00:00Z 2026-03-01T22:59:59Z"
        );
        assert_eq!(
            ends("2026-03-29"),
            "2026-03-28T23:00:00Z 2026-03-29T21:59:59Z"
        );
        // Samoa had no 30th of December in 2011, and Cairo no midnight on this day.
        let cairo = Calendar::at(
            "Africa/Cairo".to_owned(),
            zone("Africa/Cairo").unwrap(),
            NOW,
        );
        assert_eq!(
            cairo.start_of("2026-04-24".parse().unwrap()),
            "2026-04-23T22:00:00Z"
        );
    }
}

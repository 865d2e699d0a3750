//! Hours of the local clock, and how a pause is shared among them. Pure.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use types::time::{MILLISECOND, SECOND};

use crate::normalize::LocalClock;

const HOUR: i64 = 3600;
/// Milliseconds of a second.
const MILLIS: i64 = SECOND / MILLISECOND;

/// An hour of a local day. On a day of 25 hours one comes twice, with two offsets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalHour {
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// When it begins, in seconds since 1970, UTC.
    pub start: i64,
    /// Of local time from UTC, in seconds.
    pub offset: i32,
}

impl LocalHour {
    /// The hour of this instant, in ms since 1970, on a day that is known.
    #[must_use]
    pub fn of(at: i64, offset: i32, day: &str) -> Self {
        let local = at.div_euclid(MILLIS) + i64::from(offset);
        Self {
            day: day.to_owned(),
            start: local.div_euclid(HOUR) * HOUR - i64::from(offset),
            offset,
        }
    }

    /// When the next one begins, in ms since 1970.
    fn end(&self) -> i64 {
        (self.start + HOUR) * MILLIS
    }

    /// The hour that the local clock shows, 0 to 23.
    #[must_use]
    pub fn of_day(&self) -> i64 {
        (self.start + i64::from(self.offset)).rem_euclid(24 * HOUR) / HOUR
    }

    /// When it begins, as RFC 3339 with its offset.
    #[must_use]
    pub fn text(&self) -> String {
        let at = Timestamp::from_second(self.start).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = Offset::from_seconds(self.offset).unwrap_or(Offset::UTC);
        let local = at.to_zoned_datetime(TimeZone::fixed(offset));
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// A part of a pause that lies in one local hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausePart {
    pub hour: LocalHour,
    pub ms: i64,
}

/// The parts of a pause, cut where a local hour ends: on the clock of the event before it, whose local day is `day`.
/// `from` and `to` are ms since 1970.
pub fn pause_parts(
    clock: &LocalClock,
    day: &str,
    from: i64,
    to: i64,
) -> impl Iterator<Item = PausePart> {
    let first_date = local_date(from, clock.offset(from * MILLISECOND));
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let offset = clock.offset(at * MILLISECOND);
        let date = local_date(at, offset);
        let mut hour = LocalHour::of(at, offset, day);
        if date != first_date {
            hour.day = date.to_string();
        }
        let mut end = hour.end().min(to);
        // A clock may be changed within an hour: the rest is in another one.
        if clock.offset((end - 1) * MILLISECOND) != offset {
            end = clock
                .changes_after(at * MILLISECOND)
                .map_or(end, |change| end.min(change / MILLISECOND));
        }
        let ms = end - at;
        at = end;
        Some(PausePart { hour, ms })
    })
}

fn local_date(at: i64, offset: i32) -> Date {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = Offset::from_seconds(offset).unwrap_or(Offset::UTC);
    offset.to_datetime(at).date()
}

/// The day that is so many days after this one; `None` if it is no date, or beyond all dates.
#[must_use]
pub fn days_after(day: &str, days: i64) -> Option<String> {
    let date: Date = day.parse().ok()?;
    Some(date.checked_add(days.days()).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::time::parse_rfc3339;

    fn ms(text: &str) -> i64 {
        parse_rfc3339(text).unwrap().at.unwrap() / MILLISECOND
    }

    fn parts(zone: &str, day: &str, from: &str, minutes: i64) -> Vec<(String, String, i64)> {
        let from = ms(from);
        pause_parts(&LocalClock::named(zone), day, from, from + minutes * 60_000)
            .map(|part| (part.hour.day.clone(), part.hour.text(), part.ms / 60_000))
            .collect()
    }

    fn part(day: &str, hour: &str, minutes: i64) -> (String, String, i64) {
        (day.to_owned(), hour.to_owned(), minutes)
    }

    #[test]
    fn a_pause_is_cut_at_hours_and_midnights_of_its_clock() {
        assert_eq!(
            parts("Europe/Berlin", "2026-03-01", "2026-03-01T22:50:00Z", 15),
            [
                part("2026-03-01", "2026-03-01T23:00:00+01:00", 10),
                part("2026-03-02", "2026-03-02T00:00:00+01:00", 5)
            ]
        );
        assert_eq!(
            parts("Asia/Kathmandu", "2026-03-01", "2026-03-01T10:00:00Z", 20),
            [
                part("2026-03-01", "2026-03-01T15:00:00+05:45", 15),
                part("2026-03-01", "2026-03-01T16:00:00+05:45", 5)
            ]
        );
        assert_eq!(parts("3600", "2026-03-01", "2026-03-01T10:00:00Z", 0), []);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_and_a_skipped_day_is_none() {
        assert_eq!(
            parts("Europe/Berlin", "2026-10-25", "2026-10-25T00:55:00Z", 10),
            [
                part("2026-10-25", "2026-10-25T02:00:00+02:00", 5),
                part("2026-10-25", "2026-10-25T02:00:00+01:00", 5)
            ]
        );
        // On Chatham clocks go from 02:45 to 03:45.
        assert_eq!(
            parts("Pacific/Chatham", "2026-09-27", "2026-09-26T13:55:00Z", 10),
            [
                part("2026-09-27", "2026-09-27T02:00:00+12:45", 5),
                part("2026-09-27", "2026-09-27T03:00:00+13:45", 5)
            ]
        );
        // Samoa had no 30 December 2011.
        assert_eq!(
            parts("Pacific/Apia", "2011-12-29", "2011-12-30T09:58:00Z", 5),
            [
                part("2011-12-29", "2011-12-29T23:00:00-10:00", 2),
                part("2011-12-31", "2011-12-31T00:00:00+14:00", 3)
            ]
        );
    }
}

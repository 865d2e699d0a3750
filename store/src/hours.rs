//! UTC hours and ranges of them.

use types::time::{Micros, SECOND};

const HOUR: Micros = 3600 * SECOND;
/// Hours of a day, and the hours that every offset from UTC is less than (RFC 3339: 23:59).
const DAY: i64 = 24;

/// UTC hours since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HourRange {
    pub first: i64,
    pub last: i64,
}

/// A half-open span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan {
    /// Included.
    pub start: Micros,
    /// Excluded.
    pub end: Micros,
}

/// The part of an hour in which events came, moved or left; both ends are such events' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedSpan {
    pub first: Micros,
    pub last: Micros,
}

impl ChangedSpan {
    /// The shortest span that holds both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl HourRange {
    /// The UTC hours that can hold events of the local days whose midnights, read as UTC, are the hours
    /// `first_midnight` to `last_midnight`: one day more on both sides, because of the offsets.
    #[must_use]
    pub fn of_local_days(first_midnight: i64, last_midnight: i64) -> Self {
        Self {
            first: first_midnight - DAY,
            last: last_midnight + 2 * DAY - 1,
        }
    }

    /// The same hours in rising ranges of which no two touch or overlap; empty ranges are left out.
    #[must_use]
    pub fn merge(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.retain(|range| range.first <= range.last);
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The time from the beginning of the first hour to the end of the last.
    #[must_use]
    pub fn span(self) -> TimeSpan {
        TimeSpan {
            start: self.first.saturating_mul(HOUR),
            end: self.last.saturating_add(1).saturating_mul(HOUR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64) -> HourRange {
        HourRange { first, last }
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let ranges = [
            range(5, 6),
            range(-2, 0),
            range(1, 1),
            range(9, 12),
            range(10, 11),
            range(3, 2),
            range(5, 5),
        ];
        assert_eq!(
            HourRange::merge(ranges.to_vec()),
            [range(-2, 1), range(5, 6), range(9, 12)]
        );
        assert_eq!(
            HourRange::merge(vec![range(0, i64::MAX), range(i64::MAX, i64::MAX)]),
            [range(0, i64::MAX)]
        );
    }

    #[test]
    fn the_span_of_an_hour_ends_where_the_next_begins() {
        let span = |start, end| TimeSpan { start, end };
        assert_eq!(range(-1, 0).span(), span(-HOUR, HOUR));
        assert_eq!(range(i64::MIN, i64::MAX).span(), span(i64::MIN, i64::MAX));
    }

    #[test]
    fn local_days_reach_a_day_further_on_both_sides() {
        assert_eq!(HourRange::of_local_days(24, 24), range(0, 71));
        assert_eq!(HourRange::of_local_days(24, 48), range(0, 95));
    }
}

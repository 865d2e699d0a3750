//! Ranges of hours, made to touch nowhere. Pure.

use types::time::{Micros, SECOND};

use crate::HourRange;

const HOUR: Micros = 3600 * SECOND;

/// The same hours in rising ranges of which no two touch or overlap; empty ranges are left out.
pub fn merged(mut ranges: Vec<HourRange>) -> Vec<HourRange> {
    ranges.retain(|range| range.first <= range.last);
    ranges.sort_unstable();
    let mut merged: Vec<HourRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last)
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The instants of a range: from the first included to the second excluded.
pub fn instants(range: HourRange) -> (Micros, Micros) {
    (
        range.first.saturating_mul(HOUR),
        range.last.saturating_add(1).saturating_mul(HOUR),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((first, last): (i64, i64)) -> HourRange {
        HourRange { first, last }
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let ranges = [(5, 6), (-2, 0), (1, 1), (9, 12), (10, 11), (3, 2), (5, 5)]
            .map(range)
            .to_vec();
        assert_eq!(merged(ranges), [(-2, 1), (5, 6), (9, 12)].map(range));
        assert_eq!(
            merged(vec![range((0, i64::MAX)), range((i64::MAX, i64::MAX))]),
            [range((0, i64::MAX))]
        );
    }

    #[test]
    fn the_instants_of_an_hour_end_where_the_next_begins() {
        assert_eq!(instants(range((-1, 0))), (-HOUR, HOUR));
        assert_eq!(instants(range((i64::MIN, i64::MAX))), (i64::MIN, i64::MAX));
    }
}

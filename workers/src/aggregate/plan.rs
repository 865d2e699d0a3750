//! Which hours to read for a set of local days.

use std::collections::{BTreeMap, BTreeSet};

use store::{ComputedAt, Hour, HourRange, ReadPlan};
use types::time::{parse_rfc3339, utc_hour};

use super::hour_parts::HourParts;
use crate::hour_partials::{HourReads, Maker, generation, generations};

/// A touched day that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no local day: it must be a date of the form YYYY-MM-DD")]
pub struct InvalidDate(pub String);

/// The UTC hours that can hold events of the local day: its look-back. 72 hours.
///
/// # Errors
/// Returns `InvalidDate` if `day` is no date of the form `YYYY-MM-DD`.
pub fn look_back(day: &str) -> Result<HourRange, InvalidDate> {
    let midnight = parse_rfc3339(&format!("{day}T00:00:00Z")).and_then(|written| written.at);
    let midnight = utc_hour(midnight.ok_or_else(|| InvalidDate(day.to_owned()))?);
    Ok(HourRange::of_local_days(midnight, midnight))
}

/// The look-backs of local days, by day.
pub type LookBacks = BTreeMap<String, HourRange>;

/// The look-backs of these days.
///
/// # Errors
/// Returns `InvalidDate` if one of them is no date of the form `YYYY-MM-DD`.
pub fn look_backs(days: &BTreeSet<String>) -> Result<LookBacks, InvalidDate> {
    let look_back = |day: &String| Ok((day.clone(), look_back(day)?));
    days.iter().map(look_back).collect()
}

/// The days to compute, and what must be read for them.
#[derive(Debug)]
pub struct DayReads {
    /// With their look-backs.
    pub days: LookBacks,
    /// Their hours.
    pub hours: HourReads<HourParts>,
}

/// Says what to read of a developer's hours for these days. A day that was computed at its generation, by the same
/// code, is passed over. `hours` are those of the look-backs.
#[must_use]
pub fn plan(
    days: &LookBacks,
    computed: &BTreeMap<String, ComputedAt>,
    hours: BTreeMap<i64, Hour>,
    maker: &Maker,
) -> ReadPlan<DayReads> {
    let generations = generations(&hours);
    let is_current = |day: &String, look_back: &HourRange| {
        let generation = generation(&generations, *look_back);
        computed
            .get(day)
            .is_some_and(|at| at.is_current(generation, maker.version))
    };
    let moved = days
        .iter()
        .filter(|(day, look_back)| !is_current(day, look_back));
    let days: LookBacks = moved.map(|(day, range)| (day.clone(), *range)).collect();
    let hours = HourReads::plan(hours, days.values().copied().collect(), maker);
    let spans = hours.spans();
    ReadPlan {
        plan: DayReads { days, hours },
        spans,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(days: &[&str]) -> Vec<(i64, i64)> {
        let days = days.iter().map(|day| (*day).to_owned()).collect();
        HourRange::merge(look_backs(&days).unwrap().into_values().collect())
            .iter()
            .map(|range| (range.first, range.last))
            .collect()
    }

    #[test]
    fn a_day_looks_back_a_day_on_both_sides() {
        assert_eq!(merged(&["1970-01-02"]), [(0, 71)]);
        assert_eq!(merged(&["1969-12-31"]), [(-48, 23)]);
        // The extremes of what an event of that day can be.
        let hour = |text: &str| utc_hour(parse_rfc3339(text).unwrap().at.unwrap());
        let range = look_back("2026-03-01").unwrap();
        assert_eq!(range.first, hour("2026-03-01T00:00:00+23:59"));
        assert_eq!(range.last, hour("2026-03-01T23:59:59.999999-23:59"));
    }

    #[test]
    fn look_backs_that_touch_become_one_range() {
        assert_eq!(
            merged(&["1970-01-02", "1970-01-03", "1970-01-05"]),
            [(0, 143)]
        );
        assert_eq!(merged(&["1970-01-02", "1970-01-06"]), [(0, 71), (96, 167)]);
        assert_eq!(merged(&[]), []);
    }

    #[test]
    fn a_text_that_is_no_date_is_refused() {
        for bad in [
            "",
            "2026-3-1",
            "2026-02-30",
            "20260301",
            "2026-03-01T00:00:00Z",
            "today",
        ] {
            assert_eq!(look_back(bad), Err(InvalidDate(bad.to_owned())));
        }
    }
}

//! Which hours to read for a set of local days.

use std::collections::{BTreeMap, BTreeSet};

use store::{DayComputedAt, Hour, HourRange, ReadPlan};
use types::time::{parse_rfc3339, utc_hour};

use super::idle_timeouts::IdleTimeout;
use super::local_hour::days_after;
use super::timeline::Timeline;
use crate::hour_partials::{HourReads, Maker, generation, generations};

/// A touched day that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no local day: it must be a date of the form YYYY-MM-DD")]
pub struct InvalidDate(pub String);

/// Hours before those that can hold events of a day: what was told in them holds, and time may be active.
const BEFORE: i64 = 24;

/// The UTC hours that a local day depends on: those that can hold its events, and the day before them, whose events say
/// whether time is active at its beginning, and what is the same as before. 96 hours.
///
/// # Errors
/// Returns `InvalidDate` if `day` is no date of the form `YYYY-MM-DD`.
pub fn look_back(day: &str) -> Result<HourRange, InvalidDate> {
    let midnight = parse_rfc3339(&format!("{day}T00:00:00Z")).and_then(|written| written.at);
    let midnight = utc_hour(midnight.ok_or_else(|| InvalidDate(day.to_owned()))?);
    let events = HourRange::of_local_days(midnight, midnight);
    Ok(HourRange {
        first: events.first - BEFORE,
        ..events
    })
}

/// Days before a touched one that may depend on its events, and after it: an event lies at most a day before or after
/// its local day in UTC, and [`look_back`] says which days depend on that.
const DEPENDENT: std::ops::RangeInclusive<i64> = -2..=3;

/// Local days that jobs touched and those around them that may depend on their events, with their look-backs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    pub touched: BTreeSet<String>,
    pub look_backs: BTreeMap<String, HourRange>,
}

impl Candidates {
    /// Of this day alone: what depends on it is computed by itself.
    ///
    /// # Errors
    /// Returns `InvalidDate` if it is no date of the form `YYYY-MM-DD`.
    pub fn only(day: String) -> Result<Self, InvalidDate> {
        Ok(Self {
            look_backs: [(day.clone(), look_back(&day)?)].into(),
            touched: [day].into(),
        })
    }

    /// Of these touched days.
    ///
    /// # Errors
    /// Returns `InvalidDate` if one of them is no date of the form `YYYY-MM-DD`.
    pub fn of(touched: BTreeSet<String>) -> Result<Self, InvalidDate> {
        let mut look_backs = BTreeMap::new();
        for day in &touched {
            look_backs.insert(day.clone(), look_back(day)?);
            for other in DEPENDENT.filter_map(|days| days_after(day, days)) {
                // Beyond the first and the last of all dates there is no other.
                if let Ok(range) = look_back(&other) {
                    look_backs.insert(other, range);
                }
            }
        }
        Ok(Self {
            touched,
            look_backs,
        })
    }
}

/// The days to compute, and what must be read for them.
#[derive(Debug)]
pub struct DayReads {
    pub days: Vec<DayRead>,
    /// Their hours.
    pub hours: HourReads<Timeline>,
}

/// A day to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRead {
    pub day: String,
    pub look_back: HourRange,
    /// Whether it gets a row even if nothing is counted on it: it has one, or a job touched it.
    pub is_kept_empty: bool,
}

/// Says what to read of a developer's hours for these days. A day is computed unless it was computed at its generation,
/// by the same code and with the same timeout. One that has no row needs an hour that can hold something of it. `hours`
/// are those of all look-backs.
///
/// Nothing but the generations decides: the partial of an hour may be up to date since another job needed the hour for
/// another day.
#[must_use]
pub fn plan(
    candidates: &Candidates,
    computed: &BTreeMap<String, DayComputedAt>,
    hours: BTreeMap<i64, Hour>,
    maker: &Maker,
    timeout: IdleTimeout,
) -> ReadPlan<DayReads> {
    let generations = generations(&hours);
    let read = |(day, look_back): (&String, &HourRange)| {
        let at = computed.get(day);
        let generation = generation(&generations, *look_back);
        let is_current = at.is_some_and(|there| {
            there.at.is_current(generation, maker.version) && there.idle_ms == timeout.ms
        });
        let is_touched = candidates.touched.contains(day);
        let mut own = hours.range(look_back.first + BEFORE..=look_back.last);
        let is_to_compute = !is_current && (is_touched || at.is_some() || own.next().is_some());
        is_to_compute.then(|| DayRead {
            day: day.clone(),
            look_back: *look_back,
            is_kept_empty: is_touched || at.is_some(),
        })
    };
    let days: Vec<DayRead> = candidates.look_backs.iter().filter_map(read).collect();
    let needed = days.iter().map(|day| day.look_back).collect();
    let hours = HourReads::plan(hours, needed, maker);
    let spans = hours.spans();
    ReadPlan {
        plan: DayReads { days, hours },
        spans,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_depends_on_a_day_on_both_sides_and_one_more_before() {
        let range = look_back("1970-01-03").unwrap();
        assert_eq!((range.first, range.last), (0, 95));
        // The extremes of what an event of that day can be.
        let hour = |text: &str| utc_hour(parse_rfc3339(text).unwrap().at.unwrap());
        let range = look_back("2026-03-01").unwrap();
        assert_eq!(range.first + 24, hour("2026-03-01T00:00:00+23:59"));
        assert_eq!(range.last, hour("2026-03-01T23:59:59.999999-23:59"));
    }

    #[test]
    fn each_day_that_depends_on_an_event_of_a_touched_day_is_a_candidate() {
        let candidates = Candidates::of(["2026-03-01".to_owned()].into()).unwrap();
        let mut days = candidates.look_backs.keys();
        assert_eq!(days.next().unwrap(), "2026-02-27");
        assert_eq!(days.next_back().unwrap(), "2026-03-04");
        let events = ["2026-03-01T00:00:00+23:59", "2026-03-01T23:59:59-23:59"];
        for event in events.map(|text| utc_hour(parse_rfc3339(text).unwrap().at.unwrap())) {
            for day in -9..=9 {
                let day = days_after("2026-03-01", day).unwrap();
                let range = look_back(&day).unwrap();
                let depends = (range.first..=range.last).contains(&event);
                assert!(
                    !depends || candidates.look_backs.contains_key(&day),
                    "{day}"
                );
            }
        }
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

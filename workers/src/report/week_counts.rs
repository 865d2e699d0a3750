//! What the page of a week is made of: what was counted on its seven days, and their metrics. Pure.

use std::collections::BTreeSet;

use jiff::civil::Date;
use store::StoredCounts;
use types::week::Week;

use crate::aggregate::{Counted, DayCounts, HourCounts, LocalHour, Metrics, MetricsFilter};

/// What was counted in a week.
#[derive(Debug)]
pub struct WeekCounts {
    pub(super) week: Week,
    /// From Monday to Sunday.
    pub(super) days: [ReportedDay; 7],
    /// The metrics of the whole week, as `GET /v1/metrics/weekly` has them.
    pub(super) metrics: Metrics,
}

/// A day of the week.
#[derive(Debug)]
pub(super) struct ReportedDay {
    pub date: Date,
    pub counts: DayCounts,
    /// The metrics of the day; `None` if nothing was counted on it.
    pub metrics: Option<Metrics>,
}

impl WeekCounts {
    /// Of the stored days of this week, in any order; `None` if nothing was counted on any of them.
    ///
    /// # Errors
    /// Returns the defect, named by its day, if what was computed cannot be read.
    pub fn of(week: Week, stored: &[StoredCounts]) -> Result<Option<Self>, String> {
        let mut days = week.days().map(|date| ReportedDay {
            date,
            counts: DayCounts::default(),
            metrics: None,
        });
        for stored in stored {
            let mut days = days.iter_mut();
            if let Some(day) = days.find(|day| day.date.to_string() == stored.day) {
                day.counts = DayCounts::read(stored)?;
                let metrics = metrics_of([&day.counts]);
                day.metrics = Some(metrics).filter(Metrics::has_anything);
            }
        }
        let metrics = metrics_of(days.iter().map(|day| &day.counts));
        let is_empty = !metrics.has_anything();
        Ok((!is_empty).then_some(Self {
            week,
            days,
            metrics,
        }))
    }

    /// How many days have events of their own.
    pub(super) fn days_with_events(&self) -> usize {
        let has_events = |day: &&ReportedDay| day.metrics.as_ref().is_some_and(|of| of.events > 0);
        self.days.iter().filter(has_events).count()
    }

    /// The offsets of local time from UTC in this week, in seconds.
    pub(super) fn offsets(&self) -> BTreeSet<i32> {
        self.days.iter().flat_map(ReportedDay::offsets).collect()
    }
}

impl ReportedDay {
    /// Active time in ms by the hour that the local clock showed. An hour that came twice has the sum.
    pub fn active_by_hour(&self) -> [i64; 24] {
        let mut active = [0; 24];
        for (hour, counts) in &self.counts.hours {
            let at = usize::try_from(hour.of_day()).unwrap_or_default() % 24;
            active[at] += active_of(counts);
        }
        active
    }

    /// Active time of the day, in ms.
    pub fn active(&self) -> i64 {
        self.metrics.as_ref().map_or(0, |metrics| metrics.active_ms)
    }

    /// The offsets of local time from UTC on this day, in seconds, in the order of time.
    pub fn offsets(&self) -> Vec<i32> {
        let mut hours: Vec<&LocalHour> = self.counts.hours.keys().collect();
        hours.sort_by_key(|hour| hour.start);
        let mut offsets: Vec<i32> = hours.into_iter().map(|hour| hour.offset).collect();
        offsets.dedup();
        offsets
    }
}

fn metrics_of<'a>(days: impl IntoIterator<Item = &'a DayCounts>) -> Metrics {
    Metrics::of(&Counted::days(days), &MetricsFilter::default())
}

fn active_of(counts: &HourCounts) -> i64 {
    counts.tallies().map(|(_, tally)| tally.active).sum()
}

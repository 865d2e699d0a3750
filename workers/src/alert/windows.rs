//! Which windows a job must evaluate, and which hours must be read for them.

use std::collections::BTreeMap;

use store::HourRange;
use types::id::BatchRef;
use types::job::JobMessage;

use super::local_day::{InvalidLocalDay, LocalDay};
use super::rules::Rule;

/// The batch that a touched day is attributed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedBy {
    /// The batch whose job touched it.
    pub batch: BatchRef,
    /// That batch's correlation id.
    pub correlation_id: String,
    /// The replay that the job belongs to; `None` for live jobs.
    pub replay_id: Option<String>,
}

impl TouchedBy {
    /// Live before replay (what is new must not be kept silent), then the later batch: the same
    /// whatever order the jobs come in.
    fn preferred<'a>(&'a self, other: &'a Self) -> &'a Self {
        let key = |origin: &Self| (origin.replay_id.is_none(), origin.batch);
        if key(other) > key(self) { other } else { self }
    }
}

/// The local days of one developer that jobs touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TouchedDays(BTreeMap<LocalDay, TouchedBy>);

impl TouchedDays {
    /// What these jobs, all of one developer, touched.
    ///
    /// # Errors
    /// Returns `InvalidLocalDay` if a job names a day that is none.
    pub fn by<'a>(jobs: impl IntoIterator<Item = &'a JobMessage>) -> Result<Self, InvalidLocalDay> {
        let mut days = Vec::new();
        for job in jobs {
            let origin = TouchedBy {
                batch: job.body.batch,
                correlation_id: job.body.correlation_id.clone(),
                replay_id: job.replay_id.clone(),
            };
            for day in &job.body.touched_days {
                days.push((day.parse()?, origin.clone()));
            }
        }
        Ok(days.into_iter().collect())
    }

    /// The windows of `rule` that may read a touched day, by their first day.
    #[must_use]
    pub fn windows(&self, rule: &Rule) -> BTreeMap<LocalDay, &TouchedBy> {
        let mut windows: BTreeMap<LocalDay, &TouchedBy> = BTreeMap::new();
        for (day, origin) in &self.0 {
            let starts = (0..rule.days_read()).map(|back| day.plus(-back));
            for start in starts.filter(|start| rule.may_begin(*start)) {
                windows
                    .entry(start)
                    .and_modify(|one| *one = one.preferred(origin))
                    .or_insert(origin);
            }
        }
        windows
    }
}

impl TouchedDays {
    /// The first and the last day on which a window of one of these rules may begin that holds a touched day.
    #[must_use]
    pub fn window_starts(&self, rules: &[Rule]) -> Option<(LocalDay, LocalDay)> {
        let reach = rules.iter().map(|rule| rule.days_read() - 1).max()?;
        let (first, last) = (self.0.keys().next()?, self.0.keys().next_back()?);
        Some((first.plus(-reach), *last))
    }
}

impl FromIterator<(LocalDay, TouchedBy)> for TouchedDays {
    fn from_iter<I: IntoIterator<Item = (LocalDay, TouchedBy)>>(days: I) -> Self {
        let mut touched = BTreeMap::<LocalDay, TouchedBy>::new();
        for (day, origin) in days {
            let kept = touched
                .get(&day)
                .map_or(&origin, |there| there.preferred(&origin))
                .clone();
            touched.insert(day, kept);
        }
        Self(touched)
    }
}

/// The UTC hours to read for all rules' windows that may read a touched day: rising, each hour once.
#[must_use]
pub fn ranges(rules: &[Rule], touched: &TouchedDays) -> Vec<HourRange> {
    let of_rule = |rule: &Rule| {
        let starts = touched.windows(rule).into_keys();
        starts
            .map(|start| rule_look_back(rule, start))
            .collect::<Vec<_>>()
    };
    HourRange::merge(rules.iter().flat_map(of_rule).collect())
}

/// The UTC hours that a window of the rule may read.
pub fn rule_look_back(rule: &Rule, start: LocalDay) -> HourRange {
    start.hours_until(start.plus(rule.days_read() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rules::tests::rule_of_days;

    fn origin(seq: u64, replay_id: Option<&str>) -> TouchedBy {
        TouchedBy {
            batch: BatchRef { src: 1, seq },
            correlation_id: format!("c{seq}"),
            replay_id: replay_id.map(str::to_owned),
        }
    }

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    #[test]
    fn every_window_that_holds_a_touched_day_is_evaluated() {
        let touched: TouchedDays = [
            (day("2026-03-05"), origin(1, None)),
            (day("2026-03-06"), origin(2, None)),
        ]
        .into_iter()
        .collect();
        let starts = |days| {
            let windows = touched.windows(&rule_of_days(days));
            windows
                .iter()
                .map(|(start, origin)| format!("{start} {}", origin.batch.seq))
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(1), ["2026-03-05 1", "2026-03-06 2"]);
        // The later batch answers for the windows that both touched.
        assert_eq!(
            starts(3),
            [
                "2026-03-03 1",
                "2026-03-04 2",
                "2026-03-05 2",
                "2026-03-06 2"
            ]
        );
    }

    #[test]
    fn a_day_is_attributed_to_a_live_batch_before_a_replay() {
        let mut days = vec![
            (day("2026-03-05"), origin(1, None)),
            (day("2026-03-05"), origin(9, Some("r"))),
        ];
        let one: TouchedDays = days.clone().into_iter().collect();
        days.reverse();
        assert_eq!(one, days.into_iter().collect());
        assert_eq!(one.0[&day("2026-03-05")], origin(1, None));
    }

    #[test]
    fn ranges_reach_a_day_beyond_the_windows_and_never_overlap() {
        let touched = |days: &[&str]| {
            days.iter()
                .map(|text| (day(text), origin(1, None)))
                .collect::<TouchedDays>()
        };
        let width = |days, text: &[&str]| {
            let ranges = ranges(&[rule_of_days(1), rule_of_days(days)], &touched(text));
            ranges
                .iter()
                .map(|range| range.last - range.first + 1)
                .collect::<Vec<_>>()
        };
        assert_eq!(width(1, &["2026-03-05"]), [72]);
        assert_eq!(width(7, &["2026-03-05"]), [(6 + 6 + 3) * 24]);
        assert_eq!(
            width(1, &["2026-03-05", "2026-03-08"]),
            [6 * 24],
            "they touch"
        );
        assert_eq!(width(1, &["2026-03-05", "2026-03-09"]), [72, 72]);
        assert_eq!(ranges(&[], &touched(&["2026-03-05"])), []);
    }
}

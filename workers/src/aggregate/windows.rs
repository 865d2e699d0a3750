//! From a developer's hours to what is written: the partials of stale hours, and the folded days.

use serde::Serialize;
use store::{Computed, DayRow, Effects, StoredEvent};
use types::job::JobKind;

use super::day::DayCounts;
use super::idle_timeouts::IdleTimeout;
use super::metrics::{Counted, Metrics, MetricsFilter};
use super::plan::{DayRead, DayReads};
use super::timeline::Timeline;
use crate::hour_partials::{Maker, MisplacedEvent, SEGMENT};
use crate::normalize::CountedEvent;

/// Rises with every change of a partial's or a day's meaning, also if the normalizer gives other languages or projects:
/// what older code computed is stale.
pub const VERSION: i32 = 7;

/// What makes the aggregate role's partials for a developer with this timeout.
#[must_use]
pub fn maker(timeout: IdleTimeout) -> Maker {
    Maker {
        kind: JobKind::Aggregate,
        version: VERSION,
        made_with: format!("idle {} ms", timeout.ms),
        segment: SEGMENT,
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps of strings and integers are JSON")
}

/// The effects of jobs, once the events that `reads` asked for are read.
///
/// Only stale hours get a partial.
///
/// # Errors
/// Returns `MisplacedEvent` if an event lies in none of the hours that were to be read.
pub fn windows(
    developer: &str,
    reads: DayReads,
    events: Vec<StoredEvent>,
    timeout: IdleTimeout,
    maker: &Maker,
) -> Result<Effects, MisplacedEvent> {
    let idle = timeout.ms;
    let add = |timeline: &mut Timeline, event: &StoredEvent| {
        timeline.add(&CountedEvent::of(event), idle);
    };
    let hours = reads.hours.fold(events, add)?;
    let row = |read: DayRead| {
        let range = read.look_back.first..=read.look_back.last;
        let segments = hours
            .range(range.clone())
            .flat_map(|(_, hour)| &hour.segments);
        let counts = DayCounts::fold(&read.day, segments.map(|segment| &segment.folded), idle);
        let is_written = read.is_kept_empty || !counts.is_empty();
        is_written.then(|| DayRow {
            developer: developer.to_owned(),
            day: read.day,
            computed: Computed {
                generation: hours.range(range).map(|(_, hour)| hour.generation).sum(),
                version: maker.version,
                body: json(&Metrics::of(
                    &Counted::days([&counts]),
                    &MetricsFilter::default(),
                )),
            },
            idle_ms: timeout.ms,
            counts: json(&counts),
        })
    };
    let days = reads.days.into_iter().filter_map(row).collect();
    let partials = hours
        .iter()
        .filter_map(|(at, hour)| hour.row(developer, *at, maker));
    Ok(Effects::Windows {
        partials: partials.collect(),
        days,
    })
}

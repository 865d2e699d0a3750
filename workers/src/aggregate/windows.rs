//! From a developer's hours to what is written: the partials of stale hours, and the folded days.

use store::{Computed, DayRow, Effects, HourRange, StoredEvent};

use super::day::DayMetrics;
use super::hour_parts::HourParts;
use super::partial::Part;
use super::plan::DayReads;
use crate::hour_partials::{Maker, MisplacedEvent};

/// The effects of jobs, once the events that `reads` asked for are read.
///
/// Only stale hours get a partial; each day to compute gets a row, also one that has no event any more.
///
/// # Errors
/// Returns `MisplacedEvent` if an event lies in none of the hours that were to be read.
pub fn windows(
    developer: &str,
    reads: DayReads,
    events: Vec<StoredEvent>,
    maker: &Maker,
) -> Result<Effects, MisplacedEvent> {
    let hours = reads.hours.fold(events, HourParts::add)?;
    let row = |(day, look_back): (String, HourRange)| {
        let range = look_back.first..=look_back.last;
        let segments = hours
            .range(range.clone())
            .flat_map(|(_, hour)| &hour.segments);
        let whole = Part::fold(segments.filter_map(|segment| segment.folded.of(&day)));
        let computed = Computed {
            generation: hours.range(range).map(|(_, hour)| hour.generation).sum(),
            version: maker.version,
            body: serde_json::to_string(&DayMetrics::of(&whole))
                .expect("maps of strings and integers are JSON"),
        };
        DayRow {
            developer: developer.to_owned(),
            day,
            computed,
        }
    };
    let days = reads.days.into_iter().map(row).collect();
    let partials = hours
        .iter()
        .filter_map(|(at, hour)| hour.row(developer, *at, maker));
    Ok(Effects::Windows {
        partials: partials.collect(),
        days,
    })
}

//! From a developer's hours to what is written: the partials of stale hours, and the folded days.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Computed, DayRow, Effects, StoredEvent};
use types::job::JobKind;

use super::day::DayMetrics;
use super::partial::Part;
use super::plan::DayReads;
use crate::hour_partials::{Maker, MisplacedEvent, SEGMENT};
use crate::normalize::normalize;

/// Rises with every change of a partial's or a day's meaning, also if the normalizer gives other languages or projects:
/// what older code computed is stale.
pub const VERSION: i32 = 4;

/// What a stretch of a UTC hour holds, by local day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HourParts(BTreeMap<String, Part>);

impl HourParts {
    /// Adds an event that follows all others.
    fn add(&mut self, event: &StoredEvent) {
        let record = normalize(event);
        match self.0.get_mut(&event.local_day) {
            Some(part) => part.add(&record),
            None => {
                self.0.insert(event.local_day.clone(), Part::of(&record));
            }
        }
    }
}

/// What makes the aggregate role's partials.
#[must_use]
pub fn maker() -> Maker {
    Maker {
        kind: JobKind::Aggregate,
        version: VERSION,
        made_with: String::new(),
        segment: SEGMENT,
    }
}

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
    let row = |(day, look_back): (String, store::HourRange)| {
        let range = look_back.first..=look_back.last;
        let segments = hours
            .range(range.clone())
            .flat_map(|(_, hour)| &hour.segments);
        let whole = Part::fold(segments.filter_map(|segment| segment.folded.0.get(&day)));
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

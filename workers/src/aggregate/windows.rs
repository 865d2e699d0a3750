//! From a snapshot to what is written: the partials of stale hours, and the folded days.

use std::collections::{BTreeMap, BTreeSet};

use store::{Computed, DayRow, Effects, PartialRow, Snapshot, StoredEvent};
use types::time::utc_hour;

use super::day::DayMetrics;
use super::partial::Part;
use super::plan::{InvalidDate, look_back};
use crate::normalize::normalize;

/// Rises with every change of a partial's or a day's meaning, also if the normalizer gives other languages or projects:
/// what older code computed is stale.
pub const VERSION: i32 = 3;

/// A partial: what a UTC hour holds, by local day.
type Partial = BTreeMap<String, Part>;

/// Why a snapshot gives no metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A touched day is no date.
    #[error(transparent)]
    DayMetrics(#[from] InvalidDate),
    /// A stored partial is of no use: read a snapshot with all events, and call [`windows_from_events`].
    #[error(
        "the partial of UTC hour {hour} cannot be used ({reason}); recompute it from all events"
    )]
    Unreadable {
        /// The UTC hour, since 1970.
        hour: i64,
        /// Why.
        reason: String,
    },
    /// The snapshot contradicts itself: a defect of the store.
    #[error(
        "event {event:?} lies in UTC hour {hour}, which has no generation; the snapshot is damaged"
    )]
    NoHour {
        /// The event's id.
        event: String,
        /// The UTC hour, since 1970.
        hour: i64,
    },
}

/// The effects of a job that touched these local days of a developer. The snapshot is of [`super::plan::ranges`], with
/// the events of the hours that are stale to [`VERSION`].
///
/// Only stale hours get a partial; each day gets a row, also one that has no event any more.
///
/// # Errors
/// Returns [`Error::Unreadable`] if the partial of a fresh hour cannot be read or is of newer code.
pub fn windows(
    developer: &str,
    days: &BTreeSet<String>,
    snapshot: &Snapshot,
) -> Result<Effects, Error> {
    compute(developer, days, snapshot, true)
}

/// The same from a snapshot with all events (`EventSelection::All`): no stored partial is read.
///
/// # Errors
/// Returns [`Error::Day`] if a touched day is no date, and [`Error::NoHour`] if the snapshot contradicts itself.
pub fn windows_from_events(
    developer: &str,
    days: &BTreeSet<String>,
    snapshot: &Snapshot,
) -> Result<Effects, Error> {
    compute(developer, days, snapshot, false)
}

fn compute(
    developer: &str,
    days: &BTreeSet<String>,
    snapshot: &Snapshot,
    read_stored: bool,
) -> Result<Effects, Error> {
    let computed = from_events(snapshot)?;
    let mut parts = BTreeMap::new();
    let mut partials = Vec::new();
    for (at, hour) in &snapshot.hours {
        let fresh = hour.partial.as_ref().filter(|_| !hour.is_stale(VERSION));
        let partial = match fresh.filter(|_| read_stored) {
            Some(stored) => read(*at, stored)?,
            None => computed.get(at).cloned().unwrap_or_default(),
        };
        if fresh.is_none() {
            partials.push(PartialRow {
                developer: developer.to_owned(),
                hour: *at,
                computed: Computed {
                    generation: hour.generation,
                    version: VERSION,
                    body: json(&partial),
                },
            });
        }
        parts.insert(*at, partial);
    }
    let row = |day: &String| -> Result<DayRow, Error> {
        let range = look_back(day)?;
        let whole = Part::fold(
            parts
                .range(range.first..=range.last)
                .filter_map(|(_, partial)| partial.get(day)),
        );
        let generation = snapshot
            .hours
            .range(range.first..=range.last)
            .map(|(_, hour)| hour.generation)
            .sum();
        let computed = Computed {
            generation,
            version: VERSION,
            body: json(&DayMetrics::of(&whole)),
        };
        Ok(DayRow {
            developer: developer.to_owned(),
            day: day.clone(),
            computed,
        })
    };
    let days = days.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Effects::Windows { partials, days })
}

/// The partials that the snapshot's events make up, by UTC hour.
fn from_events(snapshot: &Snapshot) -> Result<BTreeMap<i64, Partial>, Error> {
    let mut events: Vec<&StoredEvent> = snapshot.events.iter().collect();
    // A store sorts them so, but active time must not depend on it.
    events.sort_by(|one, other| (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id)));
    let mut partials: BTreeMap<i64, Partial> = BTreeMap::new();
    for event in events {
        let hour = utc_hour(event.effective_at);
        if !snapshot.hours.contains_key(&hour) {
            return Err(Error::NoHour {
                event: event.id.clone(),
                hour,
            });
        }
        let part = partials
            .entry(hour)
            .or_default()
            .entry(event.local_day.clone())
            .or_default();
        part.append(&Part::of(&normalize(event)));
    }
    Ok(partials)
}

fn read(hour: i64, stored: &Computed) -> Result<Partial, Error> {
    let unreadable = |reason: String| Error::Unreadable { hour, reason };
    if stored.version != VERSION {
        // Newer code may have given the same members another meaning.
        return Err(unreadable(format!(
            "version {} is newer than {VERSION}",
            stored.version
        )));
    }
    serde_json::from_str(&stored.body).map_err(|error| unreadable(error.to_string()))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("maps of strings and integers are JSON")
}

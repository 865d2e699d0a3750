//! Partials of UTC hours: which events of an hour must be read, and what the hour comes to then. Pure.
//!
//! A kind of job keeps of each hour what its events come to ([`Fold`]), in segments: stretches of the hour of about
//! [`SEGMENT`] events each. The store says where an hour changed since. Only the segments that a change touches are
//! read again, and of what came at the end of the hour only that, so that a job costs what is new, however much an
//! hour holds (`docs/decisions/0012-an-hour-knows-what-changed.md`).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Computed, Hour, HourRange, PartialRow, StoredEvent, TimeSpan};
use types::job::JobKind;
use types::time::{Micros, utc_hour};

/// Events of a full segment: so many are read again if one of them changes, and an hour has so few segments that they
/// are folded quickly.
pub const SEGMENT: usize = 512;

/// What a stretch of events comes to, in the order (effective time, event id). Without events it is the default.
pub trait Fold: Default + Serialize + DeserializeOwned {}

impl<F: Default + Serialize + DeserializeOwned> Fold for F {}

/// A stretch of an hour. Events of one instant are in one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment<F> {
    /// Effective time of its first event.
    pub first: Micros,
    /// Effective time of its last event.
    pub last: Micros,
    /// How many events it has.
    pub events: usize,
    /// What they come to.
    pub folded: F,
}

/// What makes a partial usable: the code, and what else it was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Whose partials they are.
    pub kind: JobKind,
    /// Rises with every change of what a fold means.
    pub version: i32,
    /// What else a fold depends on than events, such as the rules; empty if on nothing.
    pub made_with: String,
    /// Events of a full segment: [`SEGMENT`], less in tests.
    pub segment: usize,
}

/// What to read of some hours, and what is kept of them.
#[derive(Debug)]
pub struct HourReads<F> {
    hours: BTreeMap<i64, HourRead<F>>,
    segment: usize,
    /// The hours whose partial is of no use, and why; they are read whole.
    pub unusable: Vec<(i64, String)>,
}

#[derive(Debug)]
struct HourRead<F> {
    generation: i64,
    /// Whether the partial is to be written.
    is_stale: bool,
    /// In the order of time, none of the reads touching another.
    pieces: Vec<Piece<F>>,
}

#[derive(Debug)]
enum Piece<F> {
    Kept(Segment<F>),
    Read(TimeSpan),
}

/// An hour and what its events come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedHour<F> {
    pub generation: i64,
    /// In the order of time.
    pub segments: Vec<Segment<F>>,
    /// Whether the store does not have it so.
    pub is_new: bool,
}

/// An event lies in an hour that has no generation: a defect of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "event {event:?} lies in UTC hour {hour}, which was not to be read; the snapshot is damaged"
)]
pub struct MisplacedEvent {
    pub event: String,
    /// The UTC hour, since 1970.
    pub hour: i64,
}

impl<F: Fold> HourReads<F> {
    /// What must be read of the hours within these ranges for partials of this maker.
    pub fn plan(hours: BTreeMap<i64, Hour>, needed: Vec<HourRange>, maker: &Maker) -> Self {
        let needed = HourRange::merge(needed);
        let is_needed = |hour: i64| {
            needed
                .iter()
                .any(|range| (range.first..=range.last).contains(&hour))
        };
        let mut unusable = Vec::new();
        let mut plan = |(at, hour): (i64, Hour)| {
            let read = match HourRead::plan(at, &hour, maker) {
                Ok(read) => read,
                Err(reason) => {
                    unusable.push((at, reason));
                    HourRead::whole(at, &hour)
                }
            };
            (at, read)
        };
        let hours = hours.into_iter().filter(|(hour, _)| is_needed(*hour));
        let hours = hours.map(&mut plan).collect();
        Self {
            hours,
            segment: maker.segment,
            unusable,
        }
    }

    /// Tells of the partials that are of no use.
    pub fn log_unusable(&self, developer: &str) {
        for (hour, reason) in &self.unusable {
            tracing::warn!(
                developer,
                hour,
                reason,
                "a partial cannot be used; the hour is read whole"
            );
        }
    }

    /// Whether it is one of the hours.
    #[must_use]
    pub fn has(&self, hour: i64) -> bool {
        self.hours.contains_key(&hour)
    }

    /// The events to read: rising, none touching another within an hour.
    #[must_use]
    pub fn spans(&self) -> Vec<TimeSpan> {
        let pieces = self.hours.values().flat_map(|hour| &hour.pieces);
        pieces
            .filter_map(|piece| match piece {
                Piece::Read(span) => Some(*span),
                Piece::Kept(_) => None,
            })
            .collect()
    }

    /// The hours, once the events of [`Self::spans`] are read, in any order. `add` folds an event that follows all
    /// that the fold already holds.
    ///
    /// # Errors
    /// Returns `MisplacedEvent` if an event lies in none of the hours.
    pub fn fold(
        self,
        mut events: Vec<StoredEvent>,
        mut add: impl FnMut(&mut F, &StoredEvent),
    ) -> Result<BTreeMap<i64, FoldedHour<F>>, MisplacedEvent> {
        events.sort_by(|one, other| {
            (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id))
        });
        let misplaced = events
            .iter()
            .find(|event| !self.hours.contains_key(&utc_hour(event.effective_at)));
        if let Some(event) = misplaced {
            return Err(MisplacedEvent {
                event: event.id.clone(),
                hour: utc_hour(event.effective_at),
            });
        }
        let mut rest = events.as_slice();
        let mut folded = BTreeMap::new();
        for (at, hour) in self.hours {
            let mut segments = Vec::new();
            for piece in hour.pieces {
                match piece {
                    Piece::Kept(segment) => segments.push(segment),
                    Piece::Read(span) => {
                        let before = rest.partition_point(|event| event.effective_at < span.start);
                        let until = rest.partition_point(|event| event.effective_at < span.end);
                        add_events(&mut segments, &rest[before..until], self.segment, &mut add);
                        rest = &rest[until..];
                    }
                }
            }
            let hour = FoldedHour {
                generation: hour.generation,
                segments,
                is_new: hour.is_stale,
            };
            folded.insert(at, hour);
        }
        Ok(folded)
    }
}

impl<F: Fold> HourRead<F> {
    /// Keeps what did not change since the partial was made.
    fn plan(at: i64, hour: &Hour, maker: &Maker) -> Result<Self, String> {
        let Some(partial) = &hour.partial else {
            return Ok(Self::whole(at, hour));
        };
        let Computed {
            generation,
            version,
            body,
        } = &partial.computed;
        if *version < maker.version || partial.made_with != maker.made_with {
            return Ok(Self::whole(at, hour));
        }
        if *version > maker.version {
            // Newer code may have given the same members another meaning.
            return Err(format!("version {version} is newer than {}", maker.version));
        }
        let is_stale = *generation < hour.generation;
        let told = hour.changes.last().map(|change| change.generation);
        if is_stale && told != Some(hour.generation) {
            return Err(format!(
                "nothing tells how the hour came from generation {generation} to {}",
                hour.generation
            ));
        }
        let segments: Vec<Segment<F>> =
            serde_json::from_str(body).map_err(|error| error.to_string())?;
        let changed = |span: TimeSpan| {
            let meets = |change: &store::HourChange| {
                change.span.last >= span.start && change.span.first < span.end
            };
            is_stale && hour.changes.iter().any(meets)
        };
        Ok(Self {
            generation: hour.generation,
            is_stale,
            pieces: pieces(at, segments, changed),
        })
    }

    fn whole(at: i64, hour: &Hour) -> Self {
        Self {
            generation: hour.generation,
            is_stale: true,
            pieces: vec![Piece::Read(span_of(at))],
        }
    }
}

/// Each segment answers for the time from its first event to that of the next segment, the first from the beginning of
/// the hour. What comes after the last event of all is read alone.
fn pieces<F>(
    at: i64,
    segments: Vec<Segment<F>>,
    changed: impl Fn(TimeSpan) -> bool,
) -> Vec<Piece<F>> {
    let TimeSpan { start, end } = span_of(at);
    let after_last = segments.last().map_or(start, |last| last.last + 1);
    let firsts: Vec<Micros> = segments.iter().skip(1).map(|next| next.first).collect();
    let ends = firsts.into_iter().chain([after_last]);
    let mut pieces = Vec::new();
    let mut from = start;
    for (segment, until) in segments.into_iter().zip(ends) {
        let span = TimeSpan {
            start: from,
            end: until,
        };
        if changed(span) {
            push_read(&mut pieces, span);
        } else {
            pieces.push(Piece::Kept(segment));
        }
        from = until;
    }
    let tail = TimeSpan { start: from, end };
    if changed(tail) {
        push_read(&mut pieces, tail);
    }
    pieces
}

/// Reads that touch are one.
fn push_read<F>(pieces: &mut Vec<Piece<F>>, span: TimeSpan) {
    match pieces.last_mut() {
        Some(Piece::Read(before)) => before.end = span.end,
        _ => pieces.push(Piece::Read(span)),
    }
}

/// Adds events that follow all segments: to the last one if they have room there, else as segments of their own, of
/// equal size.
fn add_events<F: Fold>(
    segments: &mut Vec<Segment<F>>,
    events: &[StoredEvent],
    full: usize,
    add: &mut impl FnMut(&mut F, &StoredEvent),
) {
    let Some(last_event) = events.last() else {
        return;
    };
    if let Some(last) = segments.last_mut()
        && last.events + events.len() <= full
    {
        events.iter().for_each(|event| add(&mut last.folded, event));
        last.last = last_event.effective_at;
        last.events += events.len();
        return;
    }
    let parts = ((events.len() + full / 2) / full).max(1);
    let size = events.len().div_ceil(parts);
    let mut rest = events;
    while let Some(first) = rest.first() {
        let cut = rest[size.min(rest.len()) - 1].effective_at;
        let (now, later) = rest.split_at(rest.partition_point(|event| event.effective_at <= cut));
        let mut folded = F::default();
        now.iter().for_each(|event| add(&mut folded, event));
        segments.push(Segment {
            first: first.effective_at,
            last: cut,
            events: now.len(),
            folded,
        });
        rest = later;
    }
}

fn span_of(hour: i64) -> TimeSpan {
    HourRange {
        first: hour,
        last: hour,
    }
    .span()
}

impl<F: Fold> FoldedHour<F> {
    /// The row to write; `None` if the store has it so.
    pub fn row(&self, developer: &str, hour: i64, maker: &Maker) -> Option<PartialRow> {
        self.is_new.then(|| PartialRow {
            developer: developer.to_owned(),
            kind: maker.kind,
            hour,
            made_with: maker.made_with.clone(),
            computed: Computed {
                generation: self.generation,
                version: maker.version,
                body: serde_json::to_string(&self.segments)
                    .expect("maps of strings and integers are JSON"),
            },
        })
    }
}

/// The sum of the generations of the hours in `range`: that of a window with this look-back. It only grows.
#[must_use]
pub fn generation(generations: &BTreeMap<i64, i64>, range: HourRange) -> i64 {
    let HourRange { first, last } = range;
    generations.range(first..=last).map(|(_, one)| one).sum()
}

/// The generations of hours.
#[must_use]
pub fn generations(hours: &BTreeMap<i64, Hour>) -> BTreeMap<i64, i64> {
    let generation = |(at, hour): (&i64, &Hour)| (*at, hour.generation);
    hours.iter().map(generation).collect()
}

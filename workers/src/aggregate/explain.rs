//! What a day's active time is made of: each stretch that counts with the events it came from, and each pause that does
//! not, with the reason.

use store::{Jobs, QueryReads, StoreError, StoredEvent};
use types::query::{DayExplained, DayPart, PlaceNames, Why};
use types::time::{MILLISECOND, Micros, SECOND, rfc3339};

use super::day::DayCounts;
use super::day_events::{events_of_hour, hours_with_events};
use super::plan::look_back;
use super::timeline::Timeline;
use crate::normalize::CountedEvent;

/// Events that are named of one part; all are counted.
const NAMED: usize = 100;
/// Parts of a day that are listed; what follows is one.
const LISTED: usize = 5000;
/// Events that are named of all parts after their first two: a reply must fit into a message of NATS.
const NAMED_IN_ALL: usize = 20_000;

/// Explains a day as it is stored; `None` if it has no metrics.
///
/// # Errors
/// Returns `StoreError::Failed` if what was computed cannot be read, and whatever the store cannot read.
pub async fn explain_stored<S: QueryReads + Jobs>(
    store: &S,
    developer: String,
    day: String,
) -> Result<Option<DayExplained>, StoreError> {
    let of_day = store.day_counts(developer.clone(), day.clone(), day.clone());
    let of_day = of_day.await?;
    let Some(stored) = of_day.into_iter().next() else {
        return Ok(None);
    };
    let damaged = |error: String| StoreError::Failed(format!("the metrics of {day}: {error}"));
    let counts = serde_json::from_str::<DayCounts>(&stored.counts);
    let counts = counts.map_err(|error| damaged(error.to_string()))?;
    if counts.is_empty() {
        return Ok(None);
    }
    let look_back = look_back(&day).map_err(|error| damaged(error.to_string()))?;
    let mut explaining = Explaining::of(day, counts.idle);
    let hours = hours_with_events(store, &developer, look_back).await?;
    // One hour after the other: a day may have more events than fit into memory at once. Where others wait for their
    // turn on this thread, nothing is computed.
    for hour in hours {
        let events = events_of_hour(store, &developer, hour).await?;
        let added = tokio::task::spawn_blocking(move || {
            events.into_iter().for_each(|event| explaining.add(event));
            explaining
        });
        let failed = |error| StoreError::Failed(format!("the day cannot be explained: {error}"));
        explaining = added.await.map_err(failed)?;
    }
    Ok(Some(explaining.done()))
}

/// The day of these events, which are all of its look-back, in any order. `idle` is the timeout in milliseconds.
#[must_use]
pub fn explain(day: &str, mut events: Vec<StoredEvent>, idle: i64) -> DayExplained {
    events.sort_by(|one, other| (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id)));
    let mut explaining = Explaining::of(day.to_owned(), idle);
    events.into_iter().for_each(|event| explaining.add(event));
    explaining.done()
}

/// A day that is being explained: its events come in the order (effective time, event id).
struct Explaining {
    day: String,
    /// In milliseconds.
    idle: i64,
    line: Timeline,
    last: Option<ExplainedEvent>,
    parts: Vec<DayPart>,
    /// The event that the last part ends with.
    last_of_part: Option<String>,
    /// Events that may still be named.
    to_name: usize,
}

/// What is kept of the event before.
struct ExplainedEvent {
    id: String,
    at: Micros,
    local_day: String,
}

/// The time between two events.
struct Pause {
    before: ExplainedEvent,
    /// In milliseconds.
    counted: i64,
    /// When that begins, if not with the pause.
    counted_from: Option<String>,
    why: Why,
    place: Option<PlaceNames>,
    /// Whether both events are of one millisecond: it belongs to what is before it, and is no part of its own.
    is_instant: bool,
}

impl Explaining {
    fn of(day: String, idle: i64) -> Self {
        Self {
            day,
            idle,
            line: Timeline::default(),
            last: None,
            parts: Vec::new(),
            last_of_part: None,
            to_name: NAMED_IN_ALL,
        }
    }

    fn add(&mut self, event: StoredEvent) {
        // The very code that counts: a stretch of one event, appended.
        let mut alone = Timeline::default();
        alone.add(&CountedEvent::of(&event), self.idle);
        let place = self.line.last_place();
        let counted = self.line.append(&alone, self.idle, &self.day);
        let event = ExplainedEvent {
            id: event.id,
            at: event.effective_at,
            local_day: event.local_day,
        };
        if let Some(before) = self.last.take()
            && (counted > 0 || before.local_day == self.day || event.local_day == self.day)
        {
            let length = event.at.div_euclid(MILLISECOND) - before.at.div_euclid(MILLISECOND);
            let why = match counted {
                0 if length > self.idle => Why::LongerThanTimeout,
                all if all == length => Why::WithinTimeout,
                _ => Why::PartlyOnAnotherDay,
            };
            let is_from_another_day = counted > 0 && before.local_day != self.day;
            let counted_from =
                is_from_another_day.then(|| rfc3339(event.at - counted * MILLISECOND));
            let pause = Pause {
                before,
                counted,
                counted_from,
                why,
                place: place.filter(|_| counted > 0 || length == 0),
                is_instant: length == 0,
            };
            self.add_pause(pause, &event);
        }
        self.last = Some(event);
    }

    /// Pauses that follow each other and count for the same are one part.
    fn add_pause(&mut self, pause: Pause, after: &ExplainedEvent) {
        let follows = self.last_of_part.as_ref() == Some(&pause.before.id);
        if pause.is_instant && !follows {
            return;
        }
        self.last_of_part = Some(after.id.clone());
        let to = rfc3339(after.at);
        let is_full = self.parts.len() >= LISTED;
        if let Some(part) = self.parts.last_mut() {
            let is_same = follows
                && pause.why == Why::WithinTimeout
                && part.why == Why::WithinTimeout
                && part.place == pause.place;
            if is_same || is_full {
                part.to = to;
                part.counted_ms += pause.counted;
                part.events += 1;
                if !is_same {
                    part.why = Why::NotListed;
                    part.place = None;
                } else if part.event_ids.len() < NAMED && self.to_name > 0 {
                    self.to_name -= 1;
                    part.event_ids.push(after.id.clone());
                }
                return;
            }
        }
        if pause.is_instant {
            return;
        }
        self.parts.push(DayPart {
            from: rfc3339(pause.before.at),
            to,
            counted_ms: pause.counted,
            counted_from: pause.counted_from,
            why: pause.why,
            place: pause.place,
            events: 2,
            event_ids: vec![pause.before.id, after.id.clone()],
        });
    }

    fn done(self) -> DayExplained {
        let active = self.line.active();
        DayExplained {
            day: self.day,
            idle_seconds: self.idle * MILLISECOND / SECOND,
            active_seconds: active * MILLISECOND / SECOND,
            active_ms: active,
            parts: self.parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::id::EventRef;

    use super::*;

    /// Each event is in another language than the one before it.
    #[test]
    fn a_day_of_very_many_parts_is_bounded_and_adds_up() {
        let event = |number: usize| {
            let language = ["Rust", "Go"][number % 2];
            let body = json!({"id": "e", "type": "heartbeat", "occurred_at": "2026-03-01T09:00:00Z",
                "data": {"entity": "a", "language": language}});
            StoredEvent {
                at: EventRef {
                    src: 1,
                    seq: 1,
                    ordinal: 0,
                },
                id: format!("e{number:06}"),
                kind: "heartbeat".to_owned(),
                schema_version: "1.0".to_owned(),
                effective_at: 1_772_355_600_000_000 + number as Micros * 100_000,
                local_day: "2026-03-01".to_owned(),
                body: body.to_string().into_bytes(),
                client: None,
                zone: None,
            }
        };
        let events = (0..2 * LISTED).map(event).collect();
        let explained = explain("2026-03-01", events, 900_000);
        assert_eq!(explained.parts.len(), LISTED);
        let sum: i64 = explained.parts.iter().map(|part| part.counted_ms).sum();
        assert_eq!(sum, explained.active_ms);
        assert_eq!(sum, 100 * (2 * LISTED as i64 - 1));
        let last = &explained.parts[LISTED - 1];
        assert_eq!((last.why, &last.place), (Why::NotListed, &None));
        assert_eq!(last.events, LISTED + 1);
    }
}

//! What a day's active time is made of: each stretch that counts with the events it came from, and each pause that does
//! not, with the reason.

use store::{Jobs, QueryReads, ReadPlan, Snapshot, SnapshotRequest, StoreError, StoredEvent};
use types::job::JobKind;
use types::query::{DayExplained, DayPart, PlaceNames, Why};
use types::time::rfc3339;

use super::day::DayCounts;
use super::plan::look_back;
use super::timeline::Timeline;
use crate::normalize::CountedEvent;

/// Events that are named of one stretch; all are counted.
const NAMED: usize = 100;
/// Milliseconds of a second.
const SECOND: i64 = 1000;
/// Microseconds of a millisecond.
const MILLI: i64 = 1000;

/// Explains a day as it is stored; `None` if it has no metrics.
///
/// # Errors
/// Returns `StoreError::Failed` if what was computed cannot be read, and whatever the store cannot read.
pub async fn explain_stored<S: QueryReads + Jobs>(
    store: &S,
    developer: String,
    day: String,
) -> Result<Option<DayExplained>, StoreError> {
    let of_day = store
        .days(developer.clone(), day.clone(), day.clone())
        .await?;
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
    let request = SnapshotRequest {
        developer,
        kind: JobKind::Aggregate,
        ranges: vec![look_back],
    };
    let plan = move |_| ReadPlan {
        plan: (),
        spans: vec![look_back.span()],
    };
    let Snapshot { events, plan: () } = store.snapshot(request, plan).await?;
    Ok(Some(explain(&day, events, counts.idle)))
}

/// The day of these events, which are all of its look-back, in any order. `idle` is the timeout in milliseconds.
#[must_use]
pub fn explain(day: &str, mut events: Vec<StoredEvent>, idle: i64) -> DayExplained {
    events.sort_by(|one, other| (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id)));
    let mut line = Timeline::default();
    let mut parts: Vec<Pause> = Vec::new();
    let mut before: Option<&StoredEvent> = None;
    for event in &events {
        // The very code that counts: a stretch of one event, appended.
        let mut alone = Timeline::default();
        alone.add(&CountedEvent::of(event), idle);
        let (counted, place) = (line.active(), line.last_place());
        line.append(&alone, idle, day);
        let counted = line.active() - counted;
        if let Some(before) = before
            && let Some(place) = place
            && (counted > 0 || before.local_day == day || event.local_day == day)
        {
            let pause =
                event.effective_at.div_euclid(MILLI) - before.effective_at.div_euclid(MILLI);
            let why = match counted {
                0 if pause > idle => Why::LongerThanTimeout,
                all if all == pause => Why::WithinTimeout,
                _ => Why::PartlyOnAnotherDay,
            };
            parts.push(Pause {
                before,
                after: event,
                counted,
                why,
                place,
            });
        }
        before = Some(event);
    }
    let active = line.active();
    DayExplained {
        day: day.to_owned(),
        idle_seconds: idle / SECOND,
        active_seconds: active / SECOND,
        active_ms: active,
        parts: joined(parts),
    }
}

/// The time between two events.
struct Pause<'a> {
    before: &'a StoredEvent,
    after: &'a StoredEvent,
    counted: i64,
    why: Why,
    place: PlaceNames,
}

/// Pauses that follow each other and count for the same are one part.
fn joined(pauses: Vec<Pause<'_>>) -> Vec<DayPart> {
    let mut parts: Vec<DayPart> = Vec::new();
    let mut last_event: Option<&str> = None;
    for pause in pauses {
        let place = (pause.counted > 0).then_some(pause.place);
        let follows = last_event == Some(&pause.before.id);
        last_event = Some(&pause.after.id);
        let to = rfc3339(pause.after.effective_at);
        if let Some(part) = parts.last_mut()
            && follows
            && pause.why == Why::WithinTimeout
            && part.why == Why::WithinTimeout
            && part.place == place
        {
            part.to = to;
            part.counted_ms += pause.counted;
            part.events += 1;
            if part.event_ids.len() < NAMED {
                part.event_ids.push(pause.after.id.clone());
            }
            continue;
        }
        parts.push(DayPart {
            from: rfc3339(pause.before.effective_at),
            to,
            counted_ms: pause.counted,
            why: pause.why,
            place,
            events: 2,
            event_ids: vec![pause.before.id.clone(), pause.after.id.clone()],
        });
    }
    parts
}

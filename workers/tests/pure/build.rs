//! Stored events and snapshots, made as admission and the stores make them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store::{Computed, DayRow, Effects, Hour, PartialRow, Snapshot, StoredEvent};
use types::id::EventRef;
use types::time::{self, Micros, SECOND};
use workers::aggregate;

pub const MINUTE: Micros = 60 * SECOND;
pub const HOUR: Micros = 60 * MINUTE;

/// The instant that a test writes down.
pub fn at(text: &str) -> Micros {
    time::parse_rfc3339(text)
        .and_then(|written| written.at)
        .unwrap_or_else(|| panic!("{text} is no time"))
}

/// A stored event, its time as admission reads it. `zone` is the client's.
pub fn event(
    id: &str,
    kind: &str,
    occurred_at: &str,
    zone: Option<&str>,
    data: &Value,
) -> StoredEvent {
    let written =
        time::parse_rfc3339(occurred_at).unwrap_or_else(|| panic!("{occurred_at} is no time"));
    let effective_at = written.at.expect("a test's time is an instant");
    let known = zone.and_then(time::zone);
    let body = json!({"id": id, "type": kind, "occurred_at": occurred_at, "data": data});
    StoredEvent {
        at: EventRef {
            src: 1,
            seq: 1,
            ordinal: 0,
        },
        id: id.to_owned(),
        kind: kind.to_owned(),
        schema_version: "1.0".to_owned(),
        effective_at,
        local_day: time::local_day(effective_at, known.as_ref(), written.offset),
        body: body.to_string().into_bytes(),
        client: zone.map(|zone| json!({"time_zone": zone}).to_string().into_bytes()),
        zone: None,
    }
}

/// The days that events lie on.
pub fn days_of(events: &[StoredEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.local_day.clone()).collect()
}

/// The snapshot of a store that holds these events, and these partials of them.
///
/// The generation of an hour is the number of its events, plus `left` that were there before.
pub fn snapshot(events: &[StoredEvent], partials: &[PartialRow], left: &[(i64, i64)]) -> Snapshot {
    let mut generations: BTreeMap<i64, i64> = left.iter().copied().collect();
    for event in events {
        *generations
            .entry(time::utc_hour(event.effective_at))
            .or_default() += 1;
    }
    let stored: BTreeMap<i64, &Computed> = partials
        .iter()
        .map(|row| (row.hour, &row.computed))
        .collect();
    let hour = |(at, generation): (i64, i64)| {
        (
            at,
            Hour {
                generation,
                partial: stored.get(&at).map(|computed| (*computed).clone()),
            },
        )
    };
    let hours: BTreeMap<i64, Hour> = generations.into_iter().map(hour).collect();
    let stale = |event: &&StoredEvent| {
        hours[&time::utc_hour(event.effective_at)].is_stale(aggregate::VERSION)
    };
    let mut wanted: Vec<StoredEvent> = events.iter().filter(stale).cloned().collect();
    wanted.sort_by(|one, other| (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id)));
    Snapshot {
        hours,
        events: wanted,
    }
}

/// What a job on these days writes.
pub fn computed(days: &BTreeSet<String>, snapshot: &Snapshot) -> (Vec<PartialRow>, Vec<DayRow>) {
    rows(aggregate::windows("ada", days, snapshot).expect("the snapshot is sound"))
}

/// The rows of an aggregate job's effects.
pub fn rows(effects: Effects) -> (Vec<PartialRow>, Vec<DayRow>) {
    match effects {
        Effects::Windows { partials, days } => (partials, days),
        other => panic!("these are no windows: {other:?}"),
    }
}

/// The bodies of the days.
pub fn bodies(days: &[DayRow]) -> BTreeMap<String, Value> {
    let body = |row: &DayRow| {
        (
            row.day.clone(),
            serde_json::from_str(&row.computed.body).expect("a body is JSON"),
        )
    };
    days.iter().map(body).collect()
}

/// The metrics of each day that the events lie on, computed from nothing.
pub fn metrics(events: &[StoredEvent]) -> BTreeMap<String, Value> {
    bodies(&computed(&days_of(events), &snapshot(events, &[], &[])).1)
}

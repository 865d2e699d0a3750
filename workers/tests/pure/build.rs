//! Stored events and snapshots, made as admission and the stores make them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store::{
    ChangedSpan, ComputedAt, DayComputedAt, DayRow, Effects, Hour, HourChange, Partial, PartialRow,
    ReadPlan, StoredEvent,
};
use types::id::EventRef;
use types::time::{self, Micros, SECOND};
use workers::aggregate::{self, Candidates, DayReads, IdleTimeout};
use workers::hour_partials::Maker;

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

/// A store in memory, of one developer: what a job would find there.
#[derive(Clone)]
pub struct Found {
    /// Each with all changes that it ever had.
    pub hours: BTreeMap<i64, Hour>,
    pub events: Vec<StoredEvent>,
    /// What jobs have written of days.
    pub days: BTreeMap<String, DayRow>,
    /// The developer's timeout.
    pub timeout: IdleTimeout,
    /// Events of a full segment.
    pub segment: usize,
}

impl Found {
    /// Nothing is stored.
    pub fn empty() -> Self {
        Self {
            hours: BTreeMap::new(),
            events: Vec::new(),
            days: BTreeMap::new(),
            timeout: IdleTimeout::DEFAULT,
            segment: 4,
        }
    }

    /// What makes the partials here.
    pub fn maker(&self) -> Maker {
        Maker {
            segment: self.segment,
            ..aggregate::maker(self.timeout)
        }
    }

    /// A batch of these events is stored.
    pub fn store(&mut self, events: &[StoredEvent]) {
        self.change(events.iter().map(|event| event.effective_at));
        self.events.extend_from_slice(events);
    }

    /// The event with the id of this one was moved: an earlier submission of it came.
    pub fn supersede(&mut self, event: &StoredEvent) {
        let place = self.events.iter().position(|there| there.id == event.id);
        let there = place.map(|place| self.events.swap_remove(place));
        let times = there.iter().chain([event]).map(|event| event.effective_at);
        self.change(times.collect::<Vec<_>>());
        self.events.push(event.clone());
    }

    /// The event is gone.
    pub fn forget(&mut self, id: &str) {
        if let Some(place) = self.events.iter().position(|there| there.id == id) {
            let gone = self.events.swap_remove(place);
            self.change([gone.effective_at]);
        }
    }

    /// As T1 does: a generation, and where it changed each hour.
    fn change(&mut self, times: impl IntoIterator<Item = Micros>) {
        let mut spans: BTreeMap<i64, ChangedSpan> = BTreeMap::new();
        for at in times {
            let span = ChangedSpan {
                first: at,
                last: at,
            };
            spans
                .entry(time::utc_hour(at))
                .and_modify(|there| *there = there.with(span))
                .or_insert(span);
        }
        for (hour, span) in spans {
            let hour = self.hours.entry(hour).or_insert(Hour {
                generation: 0,
                partial: None,
                changes: Vec::new(),
            });
            hour.generation += 1;
            let generation = hour.generation;
            hour.changes.push(HourChange { generation, span });
        }
    }

    /// Keeps partials, as the store does: the newer ones stay.
    pub fn keep(&mut self, partials: &[PartialRow]) {
        for row in partials {
            let Some(hour) = self.hours.get_mut(&row.hour) else {
                continue;
            };
            let there = hour.partial.as_ref().map(|partial| &partial.computed);
            let is_newer = there.is_none_or(|there| {
                there.generation < row.computed.generation || there.version < row.computed.version
            });
            let made_with = hour.partial.as_ref().map(|partial| &partial.made_with);
            let is_other = there.is_some_and(|there| there.generation == row.computed.generation)
                && made_with != Some(&row.made_with);
            if is_newer || is_other {
                hour.partial = Some(Partial {
                    computed: row.computed.clone(),
                    made_with: row.made_with.clone(),
                });
            }
        }
    }

    /// Keeps days, as the store does: the newer ones stay.
    pub fn keep_days(&mut self, days: &[DayRow]) {
        for row in days {
            let is_newer = self.days.get(&row.day).is_none_or(|there| {
                let generations = (there.computed.generation, row.computed.generation);
                generations.0 < generations.1
                    || (generations.0 == generations.1 && there.idle_ms != row.idle_ms)
            });
            if is_newer {
                self.days.insert(row.day.clone(), row.clone());
            }
        }
    }

    fn computed_days(&self) -> BTreeMap<String, DayComputedAt> {
        let at = |row: &DayRow| DayComputedAt {
            at: ComputedAt {
                generation: row.computed.generation,
                version: row.computed.version,
            },
            idle_ms: row.idle_ms,
        };
        let days = self.days.iter();
        days.map(|(day, row)| (day.clone(), at(row))).collect()
    }

    /// What a job on these days reads, of the hours that it asks for.
    pub fn read(&self, days: &BTreeSet<String>) -> (DayReads, Vec<StoredEvent>) {
        let candidates = Candidates::of(days.clone()).expect("a test's days are days");
        let within = |hour: &i64| {
            let mut ranges = candidates.look_backs.values();
            ranges.any(|range| (range.first..=range.last).contains(hour))
        };
        let hours = self.hours.iter().filter(|(hour, _)| within(hour));
        let hours = hours.map(|(at, hour)| (*at, as_read(hour))).collect();
        let ReadPlan { plan, spans } = aggregate::plan(
            &candidates,
            &self.computed_days(),
            hours,
            &self.maker(),
            self.timeout,
        );
        let wanted = |event: &&StoredEvent| {
            spans
                .iter()
                .any(|span| (span.start..span.end).contains(&event.effective_at))
        };
        (plan, self.events.iter().filter(wanted).cloned().collect())
    }
}

/// The hour as a snapshot has it: with what changed since its partial was computed.
fn as_read(hour: &Hour) -> Hour {
    let mut hour = hour.clone();
    let computed = hour
        .partial
        .as_ref()
        .map(|partial| partial.computed.generation);
    let is_later = |change: &HourChange| computed.is_some_and(|at| change.generation > at);
    hour.changes.retain(is_later);
    hour
}

/// A store that holds these events, one batch each, of which nothing was computed.
pub fn found(events: &[StoredEvent]) -> Found {
    let mut found = Found::empty();
    for event in events {
        found.store(std::slice::from_ref(event));
    }
    found
}

/// What a job on these days writes.
pub fn computed(days: &BTreeSet<String>, found: &Found) -> (Vec<PartialRow>, Vec<DayRow>) {
    let (reads, events) = found.read(days);
    let effects = aggregate::windows("ada", reads, events, found.timeout, &found.maker());
    rows(effects.expect("the snapshot is sound"))
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
    bodies(&computed(&days_of(events), &found(events)).1)
}

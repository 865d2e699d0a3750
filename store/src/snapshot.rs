//! What jobs compute from: events, and one developer's hours, all of one moment.

use std::collections::BTreeMap;

use types::id::EventRef;
use types::time::Micros;

use crate::error::StoreError;
use crate::hours::HourRange;
use crate::row::{Row, event_ref};

/// A stored event as jobs read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub at: EventRef,
    pub id: String,
    pub kind: String,
    pub schema_version: String,
    pub effective_at: Micros,
    /// Its local day, `YYYY-MM-DD`.
    pub local_day: String,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// The envelope's `client` as its exact JSON, if there was one.
    pub client: Option<Vec<u8>>,
    /// The zone that the developer had set, if the client named none.
    pub zone: Option<String>,
}

/// Which events a snapshot brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSelection {
    /// Those of hours whose partial is missing, older than the hour's generation, or of an older
    /// code version than this.
    Stale(i32),
    All,
}

/// One UTC hour of one developer as a snapshot found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// The generation of its events.
    pub generation: i64,
    /// Its partial, if one was computed.
    pub partial: Option<Computed>,
}

/// Something derived, and what it was derived from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// The generation it was computed at.
    pub generation: i64,
    /// The version of the code that computed it.
    pub version: i32,
    /// What was computed, as JSON.
    pub body: String,
}

impl Hour {
    /// Whether its partial must be computed by code of this version.
    #[must_use]
    pub fn is_stale(&self, version: i32) -> bool {
        self.partial
            .as_ref()
            .is_none_or(|partial| partial.generation < self.generation || partial.version < version)
    }
}

/// Generations, partials and events of one developer, all of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The hours in the ranges asked for that ever had events.
    pub hours: BTreeMap<i64, Hour>,
    /// The events asked for, by (effective time, event id).
    pub events: Vec<StoredEvent>,
}

impl Snapshot {
    /// The hours whose events it is to bring, in rising ranges of which no two touch.
    pub(crate) fn selected_hours(&self, selection: EventSelection) -> Vec<HourRange> {
        let is_selected = |hour: &Hour| match selection {
            EventSelection::All => true,
            EventSelection::Stale(version) => hour.is_stale(version),
        };
        let selected = self.hours.iter().filter(|(_, hour)| is_selected(hour));
        HourRange::merge(
            selected
                .map(|(&hour, _)| HourRange {
                    first: hour,
                    last: hour,
                })
                .collect(),
        )
    }
}

impl StoredEvent {
    /// From the columns src, seq, ordinal, event_id, type, schema_version, effective_at, local_day, body, client,
    /// zone.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: event_ref(row, 0)?,
            id: row.value(3)?,
            kind: row.value(4)?,
            schema_version: row.value(5)?,
            effective_at: row.value(6)?,
            local_day: row.value(7)?,
            body: row.value(8)?,
            client: row.value(9)?,
            zone: row.value(10)?,
        })
    }
}

impl Hour {
    /// From the columns hour, gen, and computed_gen, version, body of its partial.
    pub(crate) fn decode(row: &impl Row) -> Result<(i64, Self), StoreError> {
        let partial = match row.value::<Option<i64>>(2)? {
            None => None,
            Some(generation) => Some(Computed {
                generation,
                version: row.value(3)?,
                body: row.value(4)?,
            }),
        };
        let generation = row.value(1)?;
        Ok((
            row.value(0)?,
            Self {
                generation,
                partial,
            },
        ))
    }
}

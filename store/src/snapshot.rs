//! What jobs compute from: events, and one developer's hours, all of one moment.

use std::collections::BTreeMap;

use types::id::EventRef;
use types::job::JobKind;
use types::time::Micros;

use crate::error::StoreError;
use crate::hours::{ChangedSpan, HourRange, TimeSpan};
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

/// What a kind of job reads of a developer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRequest {
    pub developer: String,
    /// Whose partials come with the hours.
    pub kind: JobKind,
    /// The hours. Ranges may touch or overlap; each hour comes once.
    pub ranges: Vec<HourRange>,
}

/// What is to be read of hours, and whatever else follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan<P> {
    pub plan: P,
    /// The events to read: rising, none touching another.
    pub spans: Vec<TimeSpan>,
}

/// The plan that a developer's hours led to, and the events it asked for, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<P> {
    pub plan: P,
    /// By (effective time, event id).
    pub events: Vec<StoredEvent>,
}

/// One UTC hour of one developer as a snapshot found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// The generation of its events.
    pub generation: i64,
    /// Its partial, if one was computed.
    pub partial: Option<Partial>,
    /// How it changed since its partial was computed, by generation; empty if there is no partial.
    pub changes: Vec<HourChange>,
}

/// What was kept of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    pub computed: Computed,
    /// What else it depends on than events and code, such as the rules.
    pub made_with: String,
}

/// Where events of an hour came, moved or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourChange {
    /// The generation that this made.
    pub generation: i64,
    pub span: ChangedSpan,
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

/// What a local day was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayComputedAt {
    pub at: ComputedAt,
    /// The developer's timeout, in milliseconds.
    pub idle_ms: i64,
}

impl DayComputedAt {
    /// From the columns computed_gen, version, idle_ms at `column`.
    pub(crate) fn decode(row: &impl Row, column: usize) -> Result<Self, StoreError> {
        Ok(Self {
            at: ComputedAt::decode(row, column)?,
            idle_ms: row.value(column + 2)?,
        })
    }
}

/// The generation and version that a window was computed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputedAt {
    pub generation: i64,
    pub version: i32,
}

impl ComputedAt {
    /// Whether nothing has changed since.
    #[must_use]
    pub fn is_current(self, generation: i64, version: i32) -> bool {
        self.generation >= generation && self.version >= version
    }

    /// From the columns computed_gen, version at `column`.
    pub(crate) fn decode(row: &impl Row, column: usize) -> Result<Self, StoreError> {
        Ok(Self {
            generation: row.value(column)?,
            version: row.value(column + 1)?,
        })
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
    /// From the columns hour, gen, and computed_gen, version, made_with, body of its partial.
    pub(crate) fn decode(row: &impl Row) -> Result<(i64, Self), StoreError> {
        let partial = match row.value::<Option<i64>>(2)? {
            None => None,
            Some(generation) => Some(Partial {
                computed: Computed {
                    generation,
                    version: row.value(3)?,
                    body: row.value(5)?,
                },
                made_with: row.value(4)?,
            }),
        };
        let hour = Self {
            generation: row.value(1)?,
            partial,
            changes: Vec::new(),
        };
        Ok((row.value(0)?, hour))
    }
}

impl HourChange {
    /// From the columns hour, gen, first_at, last_at.
    pub(crate) fn decode(row: &impl Row) -> Result<(i64, Self), StoreError> {
        let change = Self {
            generation: row.value(1)?,
            span: ChangedSpan {
                first: row.value(2)?,
                last: row.value(3)?,
            },
        };
        Ok((row.value(0)?, change))
    }
}

/// Hours with their changes. A change belongs to an hour that is there.
pub(crate) fn with_changes(
    hours: impl IntoIterator<Item = (i64, Hour)>,
    changes: impl IntoIterator<Item = (i64, HourChange)>,
) -> BTreeMap<i64, Hour> {
    let mut hours: BTreeMap<i64, Hour> = hours.into_iter().collect();
    for (hour, change) in changes {
        if let Some(hour) = hours.get_mut(&hour) {
            hour.changes.push(change);
        }
    }
    hours
}

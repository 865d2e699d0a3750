//! The events that made a rule fire: how many, and the few that are named.

use serde::{Deserialize, Serialize};
use types::time::Micros;

use crate::normalize::LazyRecord;

/// Most events that are named as evidence.
pub const MAX_NAMED: usize = 5;

/// An event that met a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// Effective time.
    pub at: Micros,
    /// The event's id.
    pub event_id: String,
    /// The offset of local time from UTC, in seconds.
    pub offset: i32,
}

/// Events that met conditions: how many, and the ones that are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hits {
    /// How many.
    pub events: u64,
    /// The first few.
    pub first: Vec<Hit>,
    /// The last one, unless it is among the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Hit>,
}

impl Hits {
    /// None.
    pub const NONE: Self = Self {
        events: 0,
        first: Vec::new(),
        last: None,
    };

    /// One event.
    pub fn of(event: &LazyRecord<'_>) -> Self {
        let hit = Hit {
            at: event.at(),
            event_id: event.event_id(),
            offset: event.clock().offset,
        };
        Self {
            events: 1,
            first: vec![hit],
            last: None,
        }
    }

    /// The last of them, whether it is among the first or not.
    pub fn last(&self) -> Option<&Hit> {
        self.last.as_ref().or(self.first.last())
    }

    /// From the first to the last event; 0 if there are none.
    pub fn span(&self) -> Micros {
        match (self.first.first(), self.last()) {
            (Some(first), Some(last)) => last.at.saturating_sub(first.at),
            _ => 0,
        }
    }

    /// Adds those that follow.
    pub fn append(&mut self, next: &Self) {
        let room = MAX_NAMED.saturating_sub(self.first.len());
        if next.first.len() > room || next.last.is_some() {
            self.last = next.last().cloned();
        }
        self.first.extend(next.first.iter().take(room).cloned());
        self.events = self.events.saturating_add(next.events);
    }
}

//! An event of which only as much is normalized as somebody asks for: most rules look at the type and the time of day
//! alone, and pass most events over.

use std::cell::OnceCell;

use jiff::tz::Offset;
use serde::Deserialize;
use store::StoredEvent;
use types::time::{Micros, SECOND, local_day};

use super::local::{self, Clock};
use super::record::{Record, normalize};
use super::text;

/// An event as a record that is made when it is needed.
pub struct LazyRecord<'a> {
    event: &'a StoredEvent,
    clock: OnceCell<Clock>,
    record: OnceCell<Record>,
}

/// What the local clock is found from.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    occurred_at: Option<&'a str>,
}

impl<'a> LazyRecord<'a> {
    /// The record of a stored event.
    #[must_use]
    pub fn new(event: &'a StoredEvent) -> Self {
        Self {
            event,
            clock: OnceCell::new(),
            record: OnceCell::new(),
        }
    }

    /// The event's id, without control characters.
    #[must_use]
    pub fn event_id(&self) -> String {
        text::clean(&self.event.id)
    }

    /// The event's type as it was sent.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.event.kind
    }

    /// Effective time.
    #[must_use]
    pub fn at(&self) -> Micros {
        self.event.effective_at
    }

    /// What the local clock showed; of the event's body only its time is read.
    pub fn clock(&self) -> Clock {
        *self.clock.get_or_init(|| {
            match serde_json::from_slice(&self.event.body) {
                Ok(Written { occurred_at }) => local::clock(self.event, occurred_at),
                // Escaped characters, or no JSON: as normalizing has it.
                Err(_) => self.record().clock(),
            }
        })
    }

    /// The local day, `YYYY-MM-DD`, that it was this much earlier.
    #[must_use]
    pub fn local_day_before(&self, earlier: Micros) -> String {
        if earlier == 0 {
            return text::clean(&self.event.local_day);
        }
        let offset = Offset::from_seconds(self.clock().offset).unwrap_or(Offset::UTC);
        local_day(self.at().saturating_sub(earlier), None, offset)
    }

    /// Minutes since local midnight.
    #[must_use]
    pub fn minute_of_day(&self) -> u16 {
        let local = self
            .at()
            .saturating_add(i64::from(self.clock().offset) * SECOND);
        u16::try_from(local.div_euclid(60 * SECOND).rem_euclid(24 * 60)).unwrap_or_default()
    }

    /// The whole record.
    pub fn record(&self) -> &Record {
        self.record.get_or_init(|| normalize(self.event))
    }

    /// With a record that is made already.
    #[cfg(test)]
    pub fn made(event: &'a StoredEvent, record: Record) -> Self {
        Self {
            event,
            clock: OnceCell::from(record.clock()),
            record: OnceCell::from(record),
        }
    }
}

//! An event of which only as much is normalized as somebody asks for: most rules look at the type and the time of day
//! alone, and pass most events over.

use std::borrow::Cow;
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
    /// `None` if the record is made.
    event: Option<&'a StoredEvent>,
    id: Cow<'a, str>,
    kind: Cow<'a, str>,
    at: Micros,
    local_day: Cow<'a, str>,
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
            event: Some(event),
            id: Cow::Borrowed(&event.id),
            kind: Cow::Borrowed(&event.kind),
            at: event.effective_at,
            local_day: Cow::Borrowed(&event.local_day),
            clock: OnceCell::new(),
            record: OnceCell::new(),
        }
    }

    /// The event's id, without control characters.
    #[must_use]
    pub fn event_id(&self) -> String {
        text::clean(&self.id)
    }

    /// The event's type as it was sent.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Effective time.
    #[must_use]
    pub fn at(&self) -> Micros {
        self.at
    }

    /// What the local clock showed; of the event's body only its time is read.
    pub fn clock(&self) -> Clock {
        *self.clock.get_or_init(|| {
            let written = self
                .event
                .map(|event| (event, serde_json::from_slice(&event.body)));
            match written {
                Some((event, Ok(Written { occurred_at }))) => local::clock(event, occurred_at),
                // Escaped characters, or no JSON: as normalizing has it.
                _ => {
                    let record = self.record();
                    Clock {
                        offset: record.offset,
                        is_known: record.knows_local_time,
                    }
                }
            }
        })
    }

    /// The local day, `YYYY-MM-DD`, that it was this much earlier.
    #[must_use]
    pub fn local_day_before(&self, earlier: Micros) -> String {
        if earlier == 0 {
            return text::clean(&self.local_day);
        }
        let offset = Offset::from_seconds(self.clock().offset).unwrap_or(Offset::UTC);
        local_day(self.at.saturating_sub(earlier), None, offset)
    }

    /// Minutes since local midnight.
    #[must_use]
    pub fn minute_of_day(&self) -> u16 {
        let local = self
            .at
            .saturating_add(i64::from(self.clock().offset) * SECOND);
        u16::try_from(local.div_euclid(60 * SECOND).rem_euclid(24 * 60)).unwrap_or_default()
    }

    /// The whole record.
    pub fn record(&self) -> &Record {
        self.record.get_or_init(|| {
            let event = self.event.expect("without an event the record is made");
            normalize(event)
        })
    }
}

impl From<Record> for LazyRecord<'_> {
    fn from(record: Record) -> Self {
        Self {
            event: None,
            id: Cow::Owned(record.event_id.clone()),
            kind: Cow::Owned(record.kind.clone()),
            at: record.at,
            local_day: Cow::Owned(record.local_day.clone()),
            clock: OnceCell::new(),
            record: OnceCell::from(record),
        }
    }
}

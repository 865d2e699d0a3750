//! Pages of an export: lines made of what the store holds about a developer, each with the cursor of the next page.
//!
//! The records in it are what [`normalize`] makes of the events now: what is stored is what a recompute would give.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use store::{ExportReads, ExportedEvent, ExportedRefusal, PageLimits, StoreError};
use types::developer_settings::DeveloperSettings;
use types::export::{
    AlertLine, AlertPosition, DayLine, EventLine, EventPosition, ExportCounts, ExportCursor,
    ExportLine, ExportPage, ExportQuery, ExportRange, Head, RecordLine, RefusedLine, SentText,
    one_line,
};
use types::time::rfc3339;

use crate::normalize::{VERSION, normalize};

/// Most rows of a page.
const ROWS: u32 = 500;
/// About the bytes of a page: a reply must fit into a message of NATS, and be held by whoever asks. A line that is
/// longer is a page of its own.
const BYTES: usize = 1024 * 1024;
/// A page is not filled up for less than this.
const WORTH_A_READ: usize = BYTES / 4;

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be read.
    #[error("{0}")]
    Damaged(String),
}

/// What an export begins with, at this time.
#[must_use]
pub fn head(
    developer: String,
    range: ExportRange,
    settings: DeveloperSettings,
    at: types::time::Micros,
) -> Head {
    Head {
        developer,
        range,
        settings,
        program: concat!("devtrail ", env!("CARGO_PKG_VERSION")).to_owned(),
        at,
    }
}

/// The page that begins at the query's cursor.
///
/// # Errors
/// Returns [`ExportError::Store`] if the store cannot be read, and [`ExportError::Damaged`] if what it holds cannot.
pub async fn page<S: ExportReads>(
    store: &S,
    query: ExportQuery,
) -> Result<ExportPage, ExportError> {
    let ExportQuery {
        developer,
        range,
        cursor,
    } = query;
    let mut page = PageBuilder::new(BYTES);
    let mut next = Some(cursor);
    while let Some(cursor) = next.take() {
        let Some(limits) = page.limits() else {
            next = Some(cursor);
            break;
        };
        let (developer, range) = (developer.clone(), range.clone());
        next = match cursor {
            ExportCursor::Events(after) => {
                let read = store.export_events(developer, range, after.clone(), limits);
                page.add_events(after, &read.await?)?
            }
            ExportCursor::Record(key) => {
                let record = record_of(store, developer, key.clone()).await?;
                page.add_record(record)?;
                Some(ExportCursor::Events(Some(key)))
            }
            ExportCursor::Refused(after) => {
                let read = store.export_refused(developer, after, limits);
                page.add_refused(after, &range, &read.await?)?
            }
            ExportCursor::Days(after) => {
                let read = store.export_days(developer, range, after.clone(), limits);
                page.add_days(after, read.await?)?
            }
            ExportCursor::Alerts(after) => {
                let read = store.export_alerts(developer, range, after.clone(), limits);
                page.add_alerts(after, read.await?)?
            }
        };
    }
    Ok(page.end(next))
}

/// The record of one event; `None` if the event is no longer there.
async fn record_of<S: ExportReads>(
    store: &S,
    developer: String,
    key: EventPosition,
) -> Result<Option<Box<RawValue>>, ExportError> {
    // Nothing has the empty id: the first behind it is the first of that instant.
    let mut after = EventPosition {
        at: key.at,
        id: String::new(),
    };
    let limits = PageLimits {
        rows: ROWS,
        bytes: BYTES as u64,
    };
    loop {
        let range = ExportRange::default();
        let read = store.export_events(developer.clone(), range, Some(after), limits);
        let events = read.await?;
        let found = events.iter().find(|event| event_key(event) == key);
        if let Some(found) = found {
            return Ok(Some(record_line(found)?));
        }
        match events.last().map(event_key).filter(|last| *last < key) {
            Some(last) => after = last,
            None => return Ok(None),
        }
    }
}

/// A page that is being filled.
struct PageBuilder {
    most: usize,
    bytes: usize,
    /// Rows that were read for it, among them those that it does not show.
    rows: usize,
    lines: Vec<Box<RawValue>>,
    counts: ExportCounts,
    /// A line did not fit any more.
    is_full: bool,
}

impl PageBuilder {
    fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            rows: 0,
            lines: Vec::new(),
            counts: ExportCounts::default(),
            is_full: false,
        }
    }

    /// What may still be read for it; `None` if that is not worth a read.
    fn limits(&self) -> Option<PageLimits> {
        let bytes = self.most.saturating_sub(self.bytes);
        let rows = (ROWS as usize).saturating_sub(self.rows);
        let is_done = self.is_full || rows == 0 || bytes < WORTH_A_READ.min(self.most);
        (!is_done).then_some(PageLimits {
            rows: rows as u32,
            bytes: bytes as u64,
        })
    }

    /// Takes a line if it fits, or is the first.
    fn add(&mut self, line: Box<RawValue>) -> bool {
        let length = line.get().len();
        self.is_full = !self.lines.is_empty() && self.bytes + length > self.most;
        if !self.is_full {
            self.bytes += length;
            self.lines.push(line);
        }
        !self.is_full
    }

    /// Takes events with their records; gives the next cursor.
    fn add_events(
        &mut self,
        after: Option<EventPosition>,
        events: &[ExportedEvent],
    ) -> Result<Option<ExportCursor>, ExportError> {
        if events.is_empty() {
            return Ok(Some(ExportCursor::Refused(None)));
        }
        self.rows += events.len();
        let mut last = after;
        for event in events {
            if !self.add(event_line(event)?) {
                break;
            }
            self.counts.events += 1;
            let key = event_key(event);
            if !self.add(record_line(event)?) {
                return Ok(Some(ExportCursor::Record(key)));
            }
            self.counts.records += 1;
            last = Some(key);
        }
        Ok(Some(ExportCursor::Events(last)))
    }

    /// Takes the record of an event that the page before ended with.
    fn add_record(&mut self, record: Option<Box<RawValue>>) -> Result<(), ExportError> {
        if let Some(record) = record
            && self.add(record)
        {
            self.counts.records += 1;
        }
        Ok(())
    }

    /// Takes the refused events of the range; gives the next cursor.
    fn add_refused(
        &mut self,
        after: Option<types::id::EventRef>,
        range: &ExportRange,
        refused: &[ExportedRefusal],
    ) -> Result<Option<ExportCursor>, ExportError> {
        if refused.is_empty() {
            return Ok(Some(ExportCursor::Days(None)));
        }
        self.rows += refused.len();
        let mut last = after;
        for event in refused {
            let day = &rfc3339(event.received_at)[..10];
            if range.contains(day) {
                if !self.add(refused_line(event)?) {
                    break;
                }
                self.counts.refused += 1;
            }
            last = Some(event.at);
        }
        Ok(Some(ExportCursor::Refused(last)))
    }

    /// Takes days; gives the next cursor.
    fn add_days(
        &mut self,
        after: Option<String>,
        days: Vec<store::StoredDay>,
    ) -> Result<Option<ExportCursor>, ExportError> {
        if days.is_empty() {
            return Ok(Some(ExportCursor::Alerts(None)));
        }
        self.rows += days.len();
        let mut last = after;
        for stored in days {
            let day = stored.day.clone();
            // A day that lost its events is like one that never had any.
            let shown = crate::query_responder::whole_days(vec![stored]);
            for reply in shown.map_err(ExportError::Damaged)? {
                let line = ExportLine::Day(DayLine {
                    day: reply.day,
                    metrics: json(&reply.metrics)?,
                });
                if !self.add(text(&line)?) {
                    return Ok(Some(ExportCursor::Days(last)));
                }
                self.counts.days += 1;
            }
            last = Some(day);
        }
        Ok(Some(ExportCursor::Days(last)))
    }

    /// Takes alerts; gives the next cursor, `None` after the last.
    fn add_alerts(
        &mut self,
        after: Option<AlertPosition>,
        alerts: Vec<store::StoredAlert>,
    ) -> Result<Option<ExportCursor>, ExportError> {
        if alerts.is_empty() {
            return Ok(None);
        }
        self.rows += alerts.len();
        let mut last = after;
        for stored in alerts {
            let key = AlertPosition {
                window_start: stored.window_start.clone(),
                id: stored.alert_id.clone(),
            };
            let body = one_line(stored.body.as_bytes()).ok_or_else(|| {
                ExportError::Damaged(format!("the alert {} is no JSON", stored.alert_id))
            })?;
            let line = ExportLine::Alert(AlertLine {
                id: stored.alert_id,
                rule: stored.rule,
                severity: stored.severity,
                window_start: stored.window_start,
                title: stored.title,
                state: stored.state,
                revision: stored.revision,
                alert: body,
            });
            if !self.add(text(&line)?) {
                break;
            }
            self.counts.alerts += 1;
            last = Some(key);
        }
        Ok(Some(ExportCursor::Alerts(last)))
    }

    fn end(self, next: Option<ExportCursor>) -> ExportPage {
        ExportPage {
            lines: self.lines,
            counts: self.counts,
            next,
        }
    }
}

fn event_key(exported: &ExportedEvent) -> EventPosition {
    EventPosition {
        at: exported.event.effective_at,
        id: exported.event.id.clone(),
    }
}

fn event_line(exported: &ExportedEvent) -> Result<Box<RawValue>, ExportError> {
    let event = &exported.event;
    let SentText {
        event: sent,
        event_text,
        event_base64,
    } = SentText::of(&event.body);
    text(&ExportLine::Event(EventLine {
        id: event.id.clone(),
        event_type: event.kind.clone(),
        schema_version: event.schema_version.clone(),
        effective_at: rfc3339(event.effective_at),
        local_day: event.local_day.clone(),
        zone: event.zone.clone(),
        client: event.client.as_deref().and_then(one_line),
        batch_id: exported.batch_id.clone(),
        received_at: rfc3339(exported.received_at),
        event: sent,
        event_text,
        event_base64,
    }))
}

fn record_line(exported: &ExportedEvent) -> Result<Box<RawValue>, ExportError> {
    text(&ExportLine::Record(RecordLine {
        version: VERSION,
        record: json(&normalize(&exported.event))?,
    }))
}

fn refused_line(refused: &ExportedRefusal) -> Result<Box<RawValue>, ExportError> {
    text(&ExportLine::Refused(RefusedLine {
        id: refused.event_id.clone(),
        verdict: refused.code.verdict().as_str(),
        code: refused.code.as_str(),
        pointer: refused.pointer.clone(),
        detail: refused.detail.clone(),
        batch_id: refused.batch_id.clone(),
        received_at: rfc3339(refused.received_at),
        sent: SentText::of(&refused.body),
    }))
}

fn text(line: &ExportLine<'_>) -> Result<Box<RawValue>, ExportError> {
    line.text().map_err(|error| unwritable(&error))
}

fn json(value: &impl Serialize) -> Result<Box<RawValue>, ExportError> {
    to_raw_value(value).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> ExportError {
    ExportError::Damaged(format!("a line cannot be written: {error}"))
}

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

/// Where the next page begins, or the next read of this one; `None` after the last.
type Next = Result<Option<ExportCursor>, StoreError>;

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
/// Returns `StoreError::Failed` if what is stored cannot be read, and whatever the store cannot read.
pub async fn page<S: ExportReads>(store: &S, query: ExportQuery) -> Result<ExportPage, StoreError> {
    let ExportQuery {
        developer,
        range,
        cursor,
    } = query;
    let mut page = PageBuilder::default();
    let mut next = Some(cursor);
    while let Some(cursor) = next.take() {
        let Some(limits) = page.limits() else {
            next = Some(cursor);
            break;
        };
        let (developer, range) = (developer.clone(), range.clone());
        let filled = match cursor {
            ExportCursor::Events(after) => {
                let read = store.export_events(developer, range, after.clone(), limits);
                let read = read.await?;
                filled(page, move |page| page.add_events(after, &read)).await?
            }
            ExportCursor::Record(key) => {
                let event = event_at(store, developer, key.clone()).await?;
                filled(page, move |page| page.add_record(key, event.as_ref())).await?
            }
            ExportCursor::Refused(after) => {
                let read = store.export_refused(developer, after, limits).await?;
                filled(page, move |page| page.add_refused(after, &range, &read)).await?
            }
            ExportCursor::Days(after) => {
                let read = store.export_days(developer, range, after.clone(), limits);
                let read = read.await?;
                filled(page, move |page| page.add_days(after, read)).await?
            }
            ExportCursor::Alerts(after) => {
                let read = store.export_alerts(developer, range, after.clone(), limits);
                let read = read.await?;
                filled(page, move |page| page.add_alerts(after, read)).await?
            }
        };
        (page, next) = filled;
    }
    Ok(page.end(next))
}

/// Fills a page on a thread that nobody waits for his turn on.
async fn filled(
    mut page: PageBuilder,
    fill: impl FnOnce(&mut PageBuilder) -> Next + Send + 'static,
) -> Result<(PageBuilder, Option<ExportCursor>), StoreError> {
    let filled = tokio::task::spawn_blocking(move || fill(&mut page).map(|next| (page, next)));
    let failed = |error| StoreError::Failed(format!("a page cannot be made: {error}"));
    filled.await.map_err(failed)?
}

/// The event at this place; `None` if it is no longer there.
async fn event_at<S: ExportReads>(
    store: &S,
    developer: String,
    key: EventPosition,
) -> Result<Option<ExportedEvent>, StoreError> {
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
        let mut events = read.await?;
        if let Some(found) = events.iter().position(|event| event_key(event) == key) {
            return Ok(Some(events.swap_remove(found)));
        }
        match events.last().map(event_key).filter(|last| *last < key) {
            Some(last) => after = last,
            None => return Ok(None),
        }
    }
}

/// A page that is being filled.
#[derive(Default)]
struct PageBuilder {
    bytes: usize,
    /// Rows that were read for it, among them those that it does not show.
    rows: usize,
    lines: Vec<Box<RawValue>>,
    counts: ExportCounts,
    /// A line did not fit any more.
    is_full: bool,
}

impl PageBuilder {
    /// What may still be read for it; `None` if that is not worth a read.
    fn limits(&self) -> Option<PageLimits> {
        let bytes = BYTES.saturating_sub(self.bytes);
        let rows = (ROWS as usize).saturating_sub(self.rows);
        let is_done = self.is_full || rows == 0 || bytes < WORTH_A_READ;
        (!is_done).then_some(PageLimits {
            rows: rows as u32,
            bytes: bytes as u64,
        })
    }

    /// Whether lines of so many bytes fit as well.
    fn fits(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= BYTES
    }

    /// Takes a line, however long.
    fn push(&mut self, line: Box<RawValue>) {
        self.bytes += line.get().len();
        self.lines.push(line);
    }

    /// Takes a line if it fits, or is the first.
    fn add(&mut self, line: Box<RawValue>) -> bool {
        self.is_full = !self.lines.is_empty() && !self.fits(line.get().len());
        if !self.is_full {
            self.push(line);
        }
        !self.is_full
    }

    /// Takes events with their records; gives the next cursor. Only an event that fills a page of its own is parted
    /// from its record.
    fn add_events(&mut self, after: Option<EventPosition>, events: &[ExportedEvent]) -> Next {
        if events.is_empty() {
            return Ok(Some(ExportCursor::Refused(None)));
        }
        self.rows += events.len();
        let mut last = after;
        for exported in events {
            let (event, record) = (event_line(exported)?, record_line(exported)?);
            let fits = self.fits(event.get().len() + record.get().len());
            self.is_full = !fits;
            if !fits && !self.lines.is_empty() {
                break;
            }
            let key = event_key(exported);
            self.push(event);
            self.counts.events += 1;
            if !fits {
                return Ok(Some(ExportCursor::Record(key)));
            }
            self.push(record);
            self.counts.records += 1;
            last = Some(key);
        }
        Ok(Some(ExportCursor::Events(last)))
    }

    /// Takes the record of the event at this place, which the page before held, if it is still there; gives the next
    /// cursor.
    fn add_record(&mut self, key: EventPosition, event: Option<&ExportedEvent>) -> Next {
        if let Some(event) = event {
            self.push(record_line(event)?);
            self.counts.records += 1;
        }
        Ok(Some(ExportCursor::Events(Some(key))))
    }

    /// Takes the refused events of the range; gives the next cursor.
    fn add_refused(
        &mut self,
        after: Option<types::id::EventRef>,
        range: &ExportRange,
        refused: &[ExportedRefusal],
    ) -> Next {
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
    fn add_days(&mut self, after: Option<String>, days: Vec<store::StoredDay>) -> Next {
        if days.is_empty() {
            return Ok(Some(ExportCursor::Alerts(None)));
        }
        self.rows += days.len();
        let mut last = after;
        for stored in days {
            let day = stored.day.clone();
            // A day that lost its events is like one that never had any.
            let shown = crate::query_responder::whole_days(vec![stored]);
            for reply in shown.map_err(StoreError::Failed)? {
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
    ) -> Next {
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
                StoreError::Failed(format!("the alert {} is no JSON", stored.alert_id))
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

fn event_line(exported: &ExportedEvent) -> Result<Box<RawValue>, StoreError> {
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

fn record_line(exported: &ExportedEvent) -> Result<Box<RawValue>, StoreError> {
    text(&ExportLine::Record(RecordLine {
        version: VERSION,
        record: json(&normalize(&exported.event))?,
    }))
}

fn refused_line(refused: &ExportedRefusal) -> Result<Box<RawValue>, StoreError> {
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

fn text(line: &ExportLine<'_>) -> Result<Box<RawValue>, StoreError> {
    line.text().map_err(|error| unwritable(&error))
}

fn json(value: &impl Serialize) -> Result<Box<RawValue>, StoreError> {
    to_raw_value(value).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> StoreError {
    StoreError::Failed(format!("a line cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use store::StoredEvent;
    use types::id::EventRef;

    use super::*;

    /// An event whose data take so many bytes; ten of them share an instant.
    fn event(number: usize, bytes: usize) -> ExportedEvent {
        let id = format!("e{number:04}");
        let at = (number / 10) as i64;
        let body = json!({"id": id, "type": "heartbeat", "occurred_at": "2026-03-01T09:00:00Z",
            "data": {"entity": "a".repeat(bytes)}});
        ExportedEvent {
            event: StoredEvent {
                at: EventRef {
                    src: 1,
                    seq: 1,
                    ordinal: number as u32,
                },
                id,
                kind: "heartbeat".to_owned(),
                schema_version: "1.0".to_owned(),
                effective_at: at,
                local_day: "2026-03-01".to_owned(),
                body: body.to_string().into_bytes(),
                client: None,
                zone: None,
            },
            batch_id: "b1".to_owned(),
            received_at: 0,
        }
    }

    /// What a store gives: rows behind `after` within the limits, one at least.
    fn read(
        stored: &[ExportedEvent],
        after: Option<&EventPosition>,
        limits: PageLimits,
    ) -> Vec<ExportedEvent> {
        let mut bytes = 0;
        let behind = stored
            .iter()
            .filter(|event| after.is_none_or(|after| event_key(event) > *after));
        let fitting = behind.enumerate().take_while(|(row, event)| {
            bytes += event.event.body.len() as u64;
            *row == 0 || bytes <= limits.bytes
        });
        let rows = fitting.take(limits.rows as usize);
        rows.map(|(_, event)| event.clone()).collect()
    }

    /// The pages of an export's events.
    fn pages(stored: &[ExportedEvent]) -> Vec<ExportPage> {
        let mut pages = Vec::new();
        let mut next = ExportCursor::Events(None);
        loop {
            let mut page = PageBuilder::default();
            while let Some(limits) = page.limits() {
                let cursor = match next {
                    ExportCursor::Events(ref after) => {
                        let read = read(stored, after.as_ref(), limits);
                        page.add_events(after.clone(), &read)
                    }
                    ExportCursor::Record(ref key) => {
                        let event = stored.iter().find(|event| event_key(event) == *key);
                        page.add_record(key.clone(), event)
                    }
                    _ => break,
                };
                next = cursor.unwrap().unwrap();
            }
            let is_last = matches!(next, ExportCursor::Refused(_));
            pages.push(page.end(Some(next.clone())));
            if is_last {
                return pages;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn pages_have_each_event_with_its_record_once_and_in_order(
            sizes in prop::collection::vec(
                prop_oneof![
                    8 => 0..2_000_usize,
                    2 => BYTES / 8..BYTES / 2,
                    1 => BYTES / 2 - 2_000..BYTES + 2_000,
                ],
                0..40,
            )
        ) {
            let stored: Vec<_> = sizes.iter().enumerate().map(|(n, bytes)| event(n, *bytes)).collect();
            let mut seen = Vec::new();
            let pages = pages(&stored);
            for page in &pages {
                let bytes: usize = page.lines.iter().map(|line| line.get().len()).sum();
                prop_assert!(bytes <= BYTES || page.lines.len() == 1, "{} lines, {bytes} bytes", page.lines.len());
                let ends_alone = matches!(page.next, Some(ExportCursor::Record(_)));
                prop_assert!(!ends_alone || page.lines.len() == 1, "an event is parted from its record");
                for line in &page.lines {
                    let line: Value = serde_json::from_str(line.get()).unwrap();
                    let id = line.get("id").or_else(|| line["record"].get("event_id"));
                    seen.push((line["kind"].clone(), id.cloned().unwrap()));
                }
            }
            let expected: Vec<_> = stored
                .iter()
                .flat_map(|event| ["event", "record"].map(|kind| (json!(kind), json!(event.event.id))))
                .collect();
            prop_assert_eq!(seen, expected);
            let counted: u64 = pages.iter().map(|page| page.counts.records).sum();
            prop_assert_eq!(counted, stored.len() as u64);
        }
    }
}

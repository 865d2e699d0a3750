//! The lines of an export: everything stored about a developer as NDJSON (`docs/export.md`), in pages.
//!
//! Workers make [`ExportPage`]s of what the store holds. Whoever asks for them puts [`Head`] before and the `end` line
//! behind, with [`ExportWalk`]; an export without its `end` line was cut off.

use std::ops::AddAssign;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::developer_settings::DeveloperSettings;
use crate::id::EventRef;
use crate::time::{Micros, SECOND, rfc3339};

/// What the first line names as its `format`.
pub const FORMAT: &str = "devtrail-export";
/// The version of the format.
pub const VERSION: u32 = 1;

/// The kinds of lines, in the order that they come in.
pub const KINDS: [&str; 8] = [
    "header", "settings", "event", "record", "refused", "day", "alert", "end",
];

/// The first local day that any event can have.
const FIRST_DAY: &str = "0000-01-01";
/// The last one.
const LAST_DAY: &str = "9999-12-31";
/// Local time is never further from UTC than this (RFC 3339 writes at most 23:59).
const FARTHEST_OFFSET: Micros = 24 * 3600 * SECOND;

/// Which local days are exported, both ends included; without an end, all from or up to the other one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRange {
    /// The first local day, `YYYY-MM-DD`.
    pub from: Option<String>,
    /// The last local day, `YYYY-MM-DD`.
    pub to: Option<String>,
}

impl ExportRange {
    /// The first day.
    #[must_use]
    pub fn first_day(&self) -> &str {
        self.from.as_deref().unwrap_or(FIRST_DAY)
    }

    /// The last day.
    #[must_use]
    pub fn last_day(&self) -> &str {
        self.to.as_deref().unwrap_or(LAST_DAY)
    }

    /// Whether the day is in the range.
    #[must_use]
    pub fn contains(&self, day: &str) -> bool {
        self.first_day() <= day && day <= self.last_day()
    }

    /// The instants that these days can hold, both included: of any local clock.
    #[must_use]
    pub fn instants(&self) -> (Micros, Micros) {
        let start = |date: Date| {
            let midnight =
                Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
            midnight.ok().map(jiff::Timestamp::as_microsecond)
        };
        let first = (self.from.as_ref()).and_then(|day| start(day.parse().ok()?));
        let last = (self.to.as_ref()).and_then(|day| {
            let date: Date = day.parse().ok()?;
            start(date.checked_add(1.day()).ok()?)
        });
        (
            first.map_or(Micros::MIN, |at| at - FARTHEST_OFFSET),
            last.map_or(Micros::MAX, |at| at + FARTHEST_OFFSET),
        )
    }
}

/// A query for a page of an export: answered with an [`ExportPage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportQuery {
    /// The developer's id.
    pub developer: String,
    pub range: ExportRange,
    pub cursor: ExportCursor,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportCursor {
    /// Events after this one, each followed by its record.
    Events(Option<EventPosition>),
    /// The record of this event, then the events after it: both together did not fit a page.
    Record(EventPosition),
    /// Refused events after this one, in the order in which they were received.
    Refused(Option<EventRef>),
    /// Days after this one.
    Days(Option<String>),
    /// Alerts after this one.
    Alerts(Option<AlertPosition>),
}

impl ExportCursor {
    /// The beginning of an export.
    pub const START: Self = Self::Events(None);
}

/// The place of an event in an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventPosition {
    /// Its effective time.
    pub at: Micros,
    /// Its id.
    pub id: String,
}

/// The place of an alert in an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlertPosition {
    /// The first local day of its window.
    pub window_start: String,
    /// Its id.
    pub id: String,
}

/// A page of an export.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportPage {
    /// Lines, none of which has a line break; perhaps none.
    pub lines: Vec<Box<RawValue>>,
    /// What they are.
    pub counts: ExportCounts,
    /// Where the next page begins; `None` after the last.
    pub next: Option<ExportCursor>,
}

/// How many lines of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCounts {
    pub events: u64,
    pub records: u64,
    pub refused: u64,
    pub days: u64,
    pub alerts: u64,
}

impl AddAssign for ExportCounts {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.records += more.records;
        self.refused += more.refused;
        self.days += more.days;
        self.alerts += more.alerts;
    }
}

/// A line of an export. Its member `kind` says which.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExportLine<'a> {
    Header(HeaderLine),
    Settings { settings: &'a DeveloperSettings },
    Event(EventLine),
    Record(RecordLine),
    Refused(RefusedLine),
    Day(DayLine),
    Alert(AlertLine),
    End { counts: ExportCounts },
}

impl ExportLine<'_> {
    /// Its text, without a line break.
    ///
    /// # Errors
    /// Returns the `serde_json::Error` if it cannot be written as JSON, which does not happen in practice.
    pub fn text(&self) -> serde_json::Result<Box<RawValue>> {
        serde_json::value::to_raw_value(self)
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderLine {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program that wrote it, and its version.
    pub program: String,
    pub developer: String,
    #[serde(flatten)]
    pub range: ExportRange,
    /// The zone that the developer has set.
    pub zone: Option<String>,
    /// When it was begun, RFC 3339 in UTC.
    pub exported_at: String,
}

/// A stored event.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventLine {
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version that it was validated against: its own, or its envelope's.
    pub schema_version: String,
    /// When it happened, corrected if the client's clock was fast: RFC 3339 in UTC.
    pub effective_at: String,
    /// The local day that it counts for.
    pub local_day: String,
    /// The zone that the developer had set, if the client named none.
    pub zone: Option<String>,
    /// The envelope's `client`.
    pub client: Option<Box<RawValue>>,
    /// The client's batch id.
    pub batch_id: String,
    /// When the collector had its batch, RFC 3339 in UTC.
    pub received_at: String,
    /// The event as it was sent ([`SentText`]). No flattened member: those cannot be read as raw JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// What of it is no JSON, as text: only of a damaged store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_text: Option<String>,
    /// What of it is no text, as Base64: only of a damaged store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_base64: Option<String>,
}

/// What the normalized record of the event before says.
#[derive(Debug, Serialize)]
pub struct RecordLine {
    /// The normalizer's version.
    pub version: i32,
    pub record: Box<RawValue>,
}

/// An event that was refused, and kept whole.
#[derive(Debug, Serialize)]
pub struct RefusedLine {
    /// Its id, if it is usable.
    pub id: Option<String>,
    /// `quarantined` or `rejected`.
    pub verdict: &'static str,
    /// Why.
    pub code: &'static str,
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// The client's batch id.
    pub batch_id: String,
    /// When the collector had its batch, RFC 3339 in UTC.
    pub received_at: String,
    #[serde(flatten)]
    pub sent: SentText,
}

/// The metrics of a local day.
#[derive(Debug, Serialize)]
pub struct DayLine {
    pub day: String,
    pub metrics: Box<RawValue>,
}

/// An alert as it is now.
#[derive(Debug, Serialize)]
pub struct AlertLine {
    pub id: String,
    pub rule: String,
    pub severity: String,
    /// First local day of the window.
    pub window_start: String,
    pub title: String,
    /// `raised` or `retracted`.
    pub state: String,
    /// Rises with each change of the state, from 0.
    pub revision: i64,
    /// What the rule found.
    pub alert: Box<RawValue>,
}

/// What was sent, in the first of these forms that can hold it.
#[derive(Debug, Default, Serialize)]
pub struct SentText {
    /// The JSON as it was sent; line breaks between its tokens are spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// What is no JSON, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_text: Option<String>,
    /// What is no text, as Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_base64: Option<String>,
}

impl SentText {
    /// The bytes in a line of an export.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut sent = Self::default();
        match (one_line(bytes), std::str::from_utf8(bytes)) {
            (Some(json), _) => sent.event = Some(json),
            (None, Ok(text)) if is_plain(text) => sent.event_text = Some(text.to_owned()),
            _ => sent.event_base64 = Some(STANDARD.encode(bytes)),
        }
        sent
    }
}

/// Whether JSON's escapes leave a text at most as long as Base64 would make it.
fn is_plain(text: &str) -> bool {
    let escaped = text
        .bytes()
        .filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
    // An escape has up to six bytes for one; Base64 has four for three.
    escaped.count() * 5 <= text.len() / 3
}

/// JSON without line breaks; `None` if the bytes are no JSON.
///
/// A string holds none as they are, so those that there are stand between tokens and mean nothing.
#[must_use]
pub fn one_line(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    match text.contains(['\n', '\r']) {
        false => RawValue::from_string(text.trim().to_owned()).ok(),
        true => {
            let whole: &RawValue = serde_json::from_str(text).ok()?;
            RawValue::from_string(whole.get().replace(['\n', '\r'], " ")).ok()
        }
    }
}

/// What an export begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub developer: String,
    pub range: ExportRange,
    /// The developer's settings.
    pub settings: DeveloperSettings,
    /// The program that exports.
    pub program: String,
    pub at: Micros,
}

/// An export on its way: which page comes next, and what the pages held so far.
#[derive(Debug)]
pub struct ExportWalk {
    developer: String,
    range: ExportRange,
    next: Option<ExportCursor>,
    counts: ExportCounts,
}

impl ExportWalk {
    /// Begins an export: gives its first lines.
    ///
    /// # Errors
    /// Returns the `serde_json::Error` if they cannot be written as JSON, which does not happen in practice.
    pub fn begin(head: Head) -> serde_json::Result<(Self, Vec<u8>)> {
        let header = ExportLine::Header(HeaderLine {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: head.program,
            developer: head.developer.clone(),
            range: head.range.clone(),
            zone: head.settings.zone.clone(),
            exported_at: rfc3339(head.at),
        });
        let settings = ExportLine::Settings {
            settings: &head.settings,
        };
        let text = joined([&header.text()?, &settings.text()?]);
        let walk = Self {
            developer: head.developer,
            range: head.range,
            next: Some(ExportCursor::START),
            counts: ExportCounts::default(),
        };
        Ok((walk, text))
    }

    /// What to ask for next; `None` after the last page.
    #[must_use]
    pub fn query(&self) -> Option<ExportQuery> {
        Some(ExportQuery {
            developer: self.developer.clone(),
            range: self.range.clone(),
            cursor: self.next.clone()?,
        })
    }

    /// Takes the page that was asked for: gives its lines, and the last line of all behind those of the last page.
    ///
    /// # Errors
    /// Returns the `serde_json::Error` if the last line cannot be written as JSON, which does not happen in practice.
    pub fn take(&mut self, page: ExportPage) -> serde_json::Result<Vec<u8>> {
        self.counts += page.counts;
        self.next = page.next;
        let mut text = joined(&page.lines);
        if self.next.is_none() {
            let end = ExportLine::End {
                counts: self.counts,
            };
            text.extend(joined([&end.text()?]));
        }
        Ok(text)
    }

    /// What the pages held so far.
    #[must_use]
    pub fn counts(&self) -> ExportCounts {
        self.counts
    }
}

/// Each line with its line break.
fn joined<'a>(lines: impl IntoIterator<Item = &'a Box<RawValue>> + Clone) -> Vec<u8> {
    let length = lines.clone().into_iter().map(|line| line.get().len() + 1);
    let mut text = Vec::with_capacity(length.sum());
    for line in lines {
        text.extend_from_slice(line.get().as_bytes());
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests;

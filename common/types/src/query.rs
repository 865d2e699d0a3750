//! Queries to the workers over NATS request-reply, and the notification that a batch is stored.
//!
//! The collector links no database: it queries the workers instead. Every request has one [`QueryReply`]; no reply in
//! time means that no worker is running.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::event_streams::StreamSequence;
use crate::export::EventPosition;
use crate::id::{BatchRef, MessageIdentity};
use crate::job::{BatchState, JobKind};
use crate::stream::StreamIncarnation;
use crate::time::Micros;
use crate::verdict::{Counts, Exception};
use crate::week::Week;

/// Subject of [`BatchQuery`]; answered by the persist workers.
pub const BATCH: &str = "devtrail.query.batch";
/// Subject of [`MetricsQuery`]; answered by the aggregate workers.
pub const METRICS: &str = "devtrail.query.metrics";
/// Subject of [`SessionsQuery`]; answered by the aggregate workers.
pub const SESSIONS: &str = "devtrail.query.sessions";
/// Subject of [`ExplainQuery`]; answered by the aggregate workers.
pub const EXPLAIN: &str = "devtrail.query.explain";
/// Subject of [`TotalsQuery`]; answered by the aggregate workers.
pub const TOTALS: &str = "devtrail.query.totals";
/// Subject of [`HeartbeatsQuery`]; answered by the aggregate workers.
pub const HEARTBEATS: &str = "devtrail.query.heartbeats";
/// Subject of [`ReportQuery`]; answered by the aggregate workers.
pub const REPORT: &str = "devtrail.query.report";
/// Subject of [`ExportQuery`](crate::export::ExportQuery); answered by the aggregate workers.
pub const EXPORT: &str = "devtrail.query.export";
/// Subject of [`ResendNote`]; recorded by the persist workers.
pub const RESEND_NOTES: &str = "devtrail.note.duplicate";
/// Subject of a [`DecisionRequest`] before a dead letter is redriven; recorded by the persist workers.
pub const DEAD_REDRIVE: &str = "devtrail.admin.dead-redrive";
/// Subject of a [`DecisionRequest`] before a dead letter is dropped; recorded by the persist workers.
pub const DEAD_DROP: &str = "devtrail.admin.dead-drop";
/// The queue group of the responders: one of them gets each request.
pub const QUEUE: &str = "devtrail-workers";
/// NATS header of an EVENTS message: the subject of the notification that the batch is stored.
pub const NOTIFY: &str = "Devtrail-Notify";

/// The subject of a collector's notification of the batch `token`; `*` as the token gives the subject to subscribe to.
#[must_use]
pub fn notification_subject(collector: &str, token: &str) -> String {
    format!("devtrail.hint.{collector}.{token}")
}

/// A query about a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchQuery {
    /// Every submission of a developer under a batch id: answered with [`SubmissionReply`]s.
    Submissions {
        /// The developer's id.
        developer: String,
        /// The client's batch id.
        batch_id: String,
    },
    /// Whether one message is stored: answered with a [`StoredReply`] or null.
    Stored {
        /// The stream's incarnation.
        incarnation: StreamIncarnation,
        /// The stream sequence.
        seq: u64,
        /// What the message says of itself: a row at its place may be another message's.
        message: MessageIdentity,
    },
}

/// What metrics are asked for: of each hour, day or week.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour of a local day.
    Hour,
    /// A local day.
    #[default]
    Day,
    /// A week from Monday to Sunday (ISO 8601).
    Week,
}

/// Metrics of a developer's days, both ends included. Answered with [`HourReply`]s, [`DayReply`]s or [`WeekReply`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsQuery {
    /// The developer's id.
    pub developer: String,
    /// The first local day, `YYYY-MM-DD`.
    pub from: String,
    /// The last local day, `YYYY-MM-DD`.
    pub to: String,
    #[serde(default)]
    pub period: Period,
    /// Only of this project: its name in any spelling, or its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only of this language: a name or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Only of this editor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
}

/// A developer's sessions that began on these days, both ends included. Answered with [`SessionReply`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsQuery {
    /// The developer's id.
    pub developer: String,
    /// The first local day, `YYYY-MM-DD`.
    pub from: String,
    /// The last local day, `YYYY-MM-DD`.
    pub to: String,
    /// Only those with time in this project: its name in any spelling, or its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// A developer's metrics of an hour of a local day. On a day of 25 hours one comes twice, with two offsets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HourReply {
    /// When it begins: RFC 3339 with the offset of local time.
    pub hour: String,
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// The metrics, by name.
    #[serde(flatten)]
    pub metrics: serde_json::Map<String, Value>,
}

/// A developer's metrics of a week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeekReply {
    /// The week, `YYYY-Www` (ISO 8601).
    pub week: String,
    /// Its first day that was asked for, `YYYY-MM-DD`.
    pub from: String,
    /// Its last day that was asked for, `YYYY-MM-DD`.
    pub to: String,
    /// How many of its days have events.
    pub days: usize,
    /// The metrics, by name.
    #[serde(flatten)]
    pub metrics: serde_json::Map<String, Value>,
}

/// What a developer's day is made of. Answered with a [`DayExplained`], or null if the day has no metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainQuery {
    /// The developer's id.
    pub developer: String,
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
}

/// A developer's week as a page. Answered with HTML, or null if the week has no metrics.
///
/// The page is bounded, whatever the week holds, so that it fits into a message of NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportQuery {
    /// The developer's id.
    pub developer: String,
    pub week: Week,
}

/// A day's active time, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayExplained {
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// The longest pause that counts, in seconds.
    pub idle_seconds: i64,
    /// What the stretches add up to: the day's metric.
    pub active_seconds: i64,
    /// The same in milliseconds.
    pub active_ms: i64,
    pub parts: Vec<DayPart>,
}

/// Some time of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayPart {
    /// When it begins, RFC 3339 in UTC.
    pub from: String,
    /// When it ends, RFC 3339 in UTC.
    pub to: String,
    /// What of it counts on this day, in milliseconds.
    pub counted_ms: i64,
    /// When that begins, if later than the part: RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<String>,
    pub why: Why,
    /// What the time counts for: that of the event before each pause.
    #[serde(flatten)]
    pub place: Option<PlaceNames>,
    /// How many events it came from.
    pub events: usize,
    /// The ids of the first hundred of them.
    pub event_ids: Vec<String>,
}

/// Active time of some of a developer's days added up. Answered with a [`TotalsReply`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsQuery {
    /// The developer's id.
    pub developer: String,
    /// The first local day, `YYYY-MM-DD`; `None` is the first that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last local day, `YYYY-MM-DD`; `None` is the last that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only of this project: its name in any spelling, or its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// Active time of some days, added up. Each list has the most time first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsReply {
    /// The first day with active time.
    pub first_day: Option<String>,
    /// How many days have active time.
    pub days: u32,
    pub active_ms: i64,
    /// The day with the most active time, the first of equal ones.
    pub best_day: Option<BestDay>,
    pub projects: Vec<TotalReply>,
    pub languages: Vec<TotalReply>,
    pub editors: Vec<TotalReply>,
    /// These are of all work only: empty if a project is asked for.
    pub machines: Vec<TotalReply>,
    pub operating_systems: Vec<TotalReply>,
    pub categories: Vec<TotalReply>,
}

/// What metrics call the project, language or editor that no event tells.
pub const SHOWN_UNKNOWN: &str = "unknown";

/// The active time in a day's metrics. What is of all work only is empty where a project is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct DayTimes {
    pub active_ms: i64,
    pub projects: Vec<NamedTime>,
    pub languages: Vec<NamedTime>,
    pub editors: Vec<NamedTime>,
    #[serde(default)]
    pub machines: Vec<NamedTime>,
    #[serde(default)]
    pub operating_systems: Vec<NamedTime>,
    #[serde(default)]
    pub categories: Vec<NamedTime>,
    #[serde(default)]
    pub branches: Vec<NamedTime>,
}

/// The part of a day's active time that a project, language or the like has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamedTime {
    /// The name to show.
    pub name: String,
    /// What filters know a project by.
    pub key: Option<String>,
    pub ms: i64,
}

/// The day with the most active time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestDay {
    /// `YYYY-MM-DD`.
    pub day: String,
    pub active_ms: i64,
}

/// The active time of a project, language or the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalReply {
    /// The name to show; a project's is as its owner wrote it last.
    pub name: String,
    /// What filters know a project by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub ms: i64,
    /// The first day that has some of it, `YYYY-MM-DD`.
    pub first_day: String,
    /// The last day that has some of it, `YYYY-MM-DD`.
    pub last_day: String,
}

/// A page of a day's heartbeats. Answered with a [`HeartbeatsReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatsQuery {
    /// The developer's id.
    pub developer: String,
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// The last heartbeat of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EventPosition>,
}

/// Heartbeats in the order of their effective times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatsReply {
    pub heartbeats: Vec<HeartbeatReply>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<EventPosition>,
}

/// A stored heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// The event's id.
    pub id: String,
    /// Effective time.
    pub at: Micros,
    /// When the collector had its batch.
    pub received_at: Micros,
    /// Its data, as they were sent.
    pub data: serde_json::Map<String, Value>,
    /// The editor, as metrics name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
    /// The machine, as metrics name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The category, as metrics name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// Why time counts, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Each event follows the one before within the timeout.
    WithinTimeout,
    /// The pause is longer than the timeout.
    LongerThanTimeout,
    /// The pause is short enough, and a part of it lies on another local day.
    PartlyOnAnotherDay,
    /// The rest of a day of very many parts, which are not listed one by one.
    NotListed,
}

/// A project by its key, language and editor; each `unknown` if no event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceNames {
    pub project: String,
    pub language: String,
    pub editor: String,
}

/// A run of events without a pause that is longer than the developer's timeout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionReply {
    /// The local day that it began on.
    pub day: String,
    /// The time of its first event: RFC 3339 with the offset of local time.
    pub start: String,
    /// The time of its last event, with the same offset.
    pub end: String,
    /// How long it was, rounded down.
    pub seconds: i64,
    pub events: u64,
    /// Its time by project, the longest first.
    pub projects: Vec<SessionProject>,
}

/// The part of a session that was spent in a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionProject {
    /// As its owner wrote it.
    pub name: String,
    /// What filters know it by.
    pub key: String,
    pub seconds: i64,
}

/// A developer's metrics of one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayReply {
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// The metrics, by name.
    #[serde(flatten)]
    pub metrics: serde_json::Map<String, Value>,
}

/// A reply of the workers: the result, or why the store cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryReply<T> {
    /// The result.
    Ok(T),
    /// The store cannot be read now, for this reason.
    Unavailable(String),
}

/// One submission under a batch id. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionReply {
    /// The client's batch id.
    pub batch_id: String,
    /// The batch's correlation id.
    pub correlation_id: String,
    /// The stream sequence: a number, or `STREAM:N` if there are several event streams.
    pub stream_sequence: StreamSequence,
    /// How far its processing has come.
    pub state: BatchState,
    /// Its events as the store classified them.
    pub counts: Counts,
    /// The jobs it needs.
    pub need: Vec<JobKind>,
    /// The jobs that are done.
    pub done: Vec<JobKind>,
    /// The jobs that were dead-lettered.
    pub failed: Vec<JobKind>,
    /// When the collector had read the request.
    pub received_at: String,
    /// When the stream stored the message.
    pub published_at: String,
    /// When the database stored the batch.
    pub persisted_at: String,
}

/// A stored batch, for `Prefer: wait`: the first submission of the same events under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReply {
    /// The stream sequence of the first submission.
    pub stream_sequence: StreamSequence,
    /// Whether that is another message than the queried one: this one was a resend outside the server's window.
    pub duplicate_batch: bool,
    /// Its events as the store classified them.
    pub counts: Counts,
    /// The events that were not accepted as new ones; duplicates and conflicts name their original.
    pub exceptions: Vec<Exception>,
}

/// A resend that the stream dropped. It leaves no message, so the audit gets this note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResendNote {
    /// The stream that dropped it.
    pub incarnation: StreamIncarnation,
    /// The sequence of the original.
    pub seq: u64,
    /// What the original says of itself, as the resend does.
    pub message: MessageIdentity,
    /// The resend's correlation id.
    pub correlation_id: String,
    /// When it was received, in microseconds since 1970.
    pub received_at: i64,
    /// The collector's executable and instance.
    pub collector: String,
}

/// An administrator's decision about a dead letter, for the audit: answered with a [`DecisionRecorded`].
///
/// It is recorded once for each dead letter and subject, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRequest {
    /// The dead letter's sequence in DEAD.
    pub dead_sequence: u64,
    /// When DEAD stored it. Together with the sequence it identifies the dead letter, even after DEAD is recreated.
    pub dead_at: Micros,
    /// The stream that the message was delivered from.
    pub incarnation: StreamIncarnation,
    /// Its sequence in that stream.
    pub seq: u64,
    /// The batch that the message is or is about, if it is known. Otherwise the audit row names the message's own
    /// stream and sequence.
    pub batch: Option<BatchRef>,
    /// What the message says of itself, if it is a batch.
    pub message: Option<MessageIdentity>,
    /// The developer, if the dead letter names one.
    pub developer: Option<String>,
    /// The job id, if the message is a job. On a redrive it is the id that the job gets.
    pub job_id: Option<String>,
    /// Who decided: `user@host`.
    pub by: String,
    /// Why it is dropped.
    pub reason: Option<String>,
    /// Why the message was dead-lettered.
    pub dead_reason: String,
    /// When, in microseconds since 1970.
    pub at: Micros,
    /// The command's executable and instance.
    pub actor: String,
}

/// The decision is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecorded {
    /// Whether the batch is stored: then its message stays in EVENTS.
    pub stored: bool,
}

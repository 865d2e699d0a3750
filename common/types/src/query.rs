//! Questions to the workers over NATS request-reply, and the hint that a batch is stored.
//!
//! The collector links no database: what it must know of the store it asks here. Every request has
//! one [`QueryReply`]; no answer in time means that no worker is there.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::BatchRef;
use crate::job::{BatchState, JobKind};
use crate::stream::StreamIncarnation;
use crate::time::Micros;
use crate::verdict::{Counts, Exception};

/// Subject of [`BatchQuery`]; answered by the persist workers.
pub const BATCH: &str = "devtrail.query.batch";
/// Subject of [`MetricsQuery`]; answered by the aggregate workers.
pub const METRICS: &str = "devtrail.query.metrics";
/// Subject of [`ResendNote`]; written down by the persist workers.
pub const NOTE_DUPLICATE: &str = "devtrail.note.duplicate";
/// Subject of a [`DecisionRequest`] before a dead letter is given another try; written down by the persist workers.
pub const DEAD_REDRIVE: &str = "devtrail.admin.dead-redrive";
/// Subject of a [`DecisionRequest`] before a dead letter is dropped; written down by the persist workers.
pub const DEAD_DROP: &str = "devtrail.admin.dead-drop";
/// The queue group of those who answer: one of them gets each request.
pub const QUEUE: &str = "devtrail-workers";
/// NATS header of an EVENTS message: the subject that the hint goes to once the batch is stored.
pub const NOTIFY: &str = "Devtrail-Notify";

/// The subjects of a collector's hints; `token` is `*` for its subscription.
#[must_use]
pub fn hint_subject(collector: &str, token: &str) -> String {
    format!("devtrail.hint.{collector}.{token}")
}

/// What is asked about batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchQuery {
    /// Every submission of a developer under a batch id: answered with [`SubmissionReply`]s.
    Submissions {
        /// Whose.
        developer: String,
        /// The client's batch id.
        batch_id: String,
    },
    /// Whether one message is stored: answered with a [`StoredReply`] or null.
    Stored {
        /// The stream's life.
        incarnation: StreamIncarnation,
        /// The stream sequence.
        seq: u64,
    },
}

/// A developer's days, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsQuery {
    /// Whose.
    pub developer: String,
    /// The first local day, `YYYY-MM-DD`.
    pub from: String,
    /// The last local day, `YYYY-MM-DD`.
    pub to: String,
}

/// The day metrics of a developer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayReply {
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// What was computed of it.
    #[serde(flatten)]
    pub metrics: serde_json::Map<String, Value>,
}

/// A reply of the workers: what was asked for, or why the store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryReply<T> {
    /// What was asked for.
    Ok(T),
    /// The store cannot be read now.
    Unavailable(String),
}

/// One submission under a batch id. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionReply {
    /// The client's batch id.
    pub batch_id: String,
    /// Follows the batch everywhere.
    pub correlation_id: String,
    /// The stream sequence.
    pub stream_sequence: u64,
    /// How far it is.
    pub state: BatchState,
    /// Its events as the store classified them.
    pub counts: Counts,
    /// The jobs it needs.
    pub need: Vec<JobKind>,
    /// The jobs that are done.
    pub done: Vec<JobKind>,
    /// The jobs that gave up.
    pub failed: Vec<JobKind>,
    /// When the collector had it.
    pub received_at: String,
    /// When the stream had it.
    pub published_at: String,
    /// When the store had it.
    pub persisted_at: String,
}

/// A stored batch, for `Prefer: wait`: the first submission of the same events under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReply {
    /// The stream sequence of the first submission.
    pub stream_sequence: u64,
    /// Whether that is another message than the one asked for: a resend outside the server's window.
    pub duplicate_batch: bool,
    /// Its events as the store classified them.
    pub counts: Counts,
    /// Those that were not simply accepted; duplicates and conflicts name their original.
    pub exceptions: Vec<Exception>,
}

/// A resend that the stream dropped: it leaves no message, so it is told to the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResendNote {
    /// The life of the stream that dropped it.
    pub incarnation: StreamIncarnation,
    /// The sequence of the original.
    pub seq: u64,
    /// The resend's correlation id.
    pub correlation_id: String,
    /// When it was received, in microseconds since 1970.
    pub received_at: i64,
    /// The collector's executable and instance.
    pub collector: String,
}

/// What an administrator decided about a dead letter, for the audit: answered with a [`DecisionRecorded`].
///
/// It is written once for each letter and subject, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRequest {
    /// The letter's sequence in DEAD.
    pub dead_sequence: u64,
    /// When DEAD took it: with the sequence it names the letter, also after DEAD is made anew.
    pub dead_at: Micros,
    /// The stream that the message was delivered from.
    pub incarnation: StreamIncarnation,
    /// Its sequence there.
    pub seq: u64,
    /// The batch that the message is or is about, where that is known; else the audit row stands
    /// under the message's own place.
    pub batch: Option<BatchRef>,
    /// Whose it is, where the letter says it.
    pub developer: Option<String>,
    /// The job, where it is one: on a redrive the id that it gets.
    pub job_id: Option<String>,
    /// Who decided: `user@host`.
    pub by: String,
    /// Why it is dropped.
    pub reason: Option<String>,
    /// What the message gave up on.
    pub dead_reason: String,
    /// When, in microseconds since 1970.
    pub at: Micros,
    /// The command's executable and instance.
    pub actor: String,
}

/// The note is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecorded {
    /// Whether the batch is stored: then its message stays in EVENTS.
    pub stored: bool,
}

//! Tracing a batch and its audit (R7.1).

use serde::{Deserialize, Serialize};
use types::id::BatchRef;
use types::query::ResendNote;
use types::time::Micros;

use crate::error::StoreError;
use crate::row::{Row, batch_ref};
use crate::sql::shared_sql;
use crate::submission::{Submission, submission_columns};

/// A step that the audit tells of, both parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    #[serde(flatten)]
    pub at: BatchRef,
    pub time: Micros,
    pub step: String,
    /// How it ended.
    pub outcome: String,
    /// The executable and instance that performed it.
    pub actor: String,
    /// The replay it belongs to.
    pub replay_id: Option<String>,
    /// `None` if the developer was forgotten.
    pub developer: Option<String>,
    /// The client's batch id.
    pub batch_id: Option<String>,
    /// The event, if one is meant.
    pub event_id: Option<String>,
    pub correlation_id: Option<String>,
    /// More, as JSON.
    pub detail: Option<String>,
}

/// What `trace` looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clue {
    /// A batch id, an event id or a correlation id.
    Id {
        id: String,
        /// Only this developer's.
        developer: Option<String>,
    },
    /// A stream sequence of EVENTS, in any incarnation of the stream.
    Sequence(u64),
    /// An alert: the batch whose job raised, found or retracted it last.
    Alert(String),
}

/// Tracing a batch and its audit (R7.1).
pub trait History: Send + Sync + 'static {
    /// The batches that the clue leads to, by (src, seq); at most `limit`.
    fn find(
        &self,
        clue: Clue,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Submission>, StoreError>> + Send;

    /// The audit of one batch, a step each, by time.
    fn audit(
        &self,
        at: BatchRef,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, StoreError>> + Send;

    /// Records that the stream dropped a resend of a batch. Nothing is written, and the answer is false, for a batch
    /// that is not stored (yet), or in whose place another message's row stands. Of a forgotten developer's batch only
    /// the skeleton is written.
    fn record_resend(
        &self,
        note: ResendNote,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The batch that a resend repeats.
pub struct ResentBatch {
    pub at: BatchRef,
    /// Empty if the developer was forgotten.
    pub developer: String,
    pub batch_id: String,
}

shared_sql! {
    /// By way of `developers`, so that the indexes, which all begin with the developer, serve.
    BATCHES_BY_ID = concat!(
        "WITH who AS
          (SELECT developer FROM developers WHERE CAST($2 AS text) IS NULL OR developer = $2),
        found AS (
          SELECT b.src, b.seq FROM who JOIN batches b ON b.developer = who.developer AND b.batch_id = $1
          UNION SELECT e.src, e.seq FROM who JOIN events e ON e.developer = who.developer AND e.event_id = $1
          UNION SELECT d.src, d.seq FROM who JOIN duplicates d ON d.developer = who.developer AND d.event_id = $1
          UNION SELECT r.src, r.seq FROM who JOIN refused r ON r.developer = who.developer AND r.event_id = $1
          UNION SELECT src, seq FROM batches WHERE correlation_id = $1 AND ($2 IS NULL OR developer = $2))
        SELECT ", submission_columns!("b"),
        " FROM found f JOIN batches b ON b.src = f.src AND b.seq = f.seq ORDER BY b.src, b.seq LIMIT $3"
    );
    BATCHES_BY_SEQUENCE = concat!(
        "SELECT ", submission_columns!("b"),
        " FROM batches b WHERE b.src IN (SELECT src FROM sources) AND b.seq = $1 ORDER BY b.src LIMIT $2"
    );
    BATCHES_BY_ALERT = concat!(
        "SELECT ", submission_columns!("b"),
        " FROM alerts a JOIN batches b ON b.src = a.src AND b.seq = a.seq WHERE a.alert_id = $1 LIMIT $2"
    );
    /// The completion comes after all that was done at its moment.
    AUDIT = "SELECT src, seq, time, step, outcome, actor, replay_id,
          developer, batch_id, event_id, correlation_id, detail
        FROM audit_steps WHERE src = $1 AND seq = $2
        ORDER BY time, CASE WHEN step = 'completed' THEN 1 ELSE 0 END, id, n";
    RESENT_BATCH = "SELECT b.src, b.seq, b.developer, b.batch_id
        FROM sources s JOIN batches b ON b.src = s.src
        WHERE s.stream = $1 AND s.created_at = $2 AND b.seq = $3 AND b.message_id IN ($4, '')";
}

impl AuditEntry {
    /// From the columns of [`AUDIT`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: batch_ref(row, 0)?,
            time: row.value(2)?,
            step: row.value(3)?,
            outcome: row.value(4)?,
            actor: row.value(5)?,
            replay_id: row.value(6)?,
            developer: row.value(7)?,
            batch_id: row.value(8)?,
            event_id: row.value(9)?,
            correlation_id: row.value(10)?,
            detail: row.value(11)?,
        })
    }
}

impl ResentBatch {
    /// From the columns of [`RESENT_BATCH`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: batch_ref(row, 0)?,
            developer: row.value(2)?,
            batch_id: row.value(3)?,
        })
    }
}

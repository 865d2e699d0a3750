//! What queries read: batches, days and alerts.

use types::id::{EventRef, MessageIdentity};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use crate::error::StoreError;
use crate::row::{Row, code, event_ref, flag, optional_event_ref};
use crate::snapshot::Computed;
use crate::sql::shared_sql;
use crate::submission::{Submission, submission_columns};

/// An event of a stored batch that was not simply accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAccepted {
    pub at: EventRef,
    /// Its id, if usable.
    pub event_id: Option<String>,
    pub code: Code,
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Of a duplicate or conflict.
    pub original: Option<StoredOriginal>,
}

/// The stored event that owns the id of a duplicate or conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOriginal {
    pub at: EventRef,
    /// The client's batch id of its batch.
    pub batch_id: String,
    /// When the collector received its batch.
    pub received_at: Micros,
}

/// A stored batch, as `Prefer: wait` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// The first submission of the same events under the same batch id by the same developer.
    pub first: Submission,
    /// Its events that were not simply accepted, by ordinal.
    pub not_accepted: Vec<NotAccepted>,
}

/// The metrics of one developer's local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDay {
    /// `YYYY-MM-DD`.
    pub day: String,
    pub metrics: Computed,
}

/// What the metrics of one developer's local day are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCounts {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// As JSON.
    pub counts: String,
}

/// An alert as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    pub alert_id: String,
    pub developer: String,
    pub rule: String,
    /// `critical`, `high`, `warning` or `info`.
    pub severity: String,
    /// First local day of the window.
    pub window_start: String,
    /// A sentence for the developer.
    pub title: String,
    /// `raised` or `retracted`.
    pub state: String,
    /// Rises with each change of the state, from 0.
    pub revision: i64,
    /// Whether it was news.
    pub push: bool,
    /// The alert as JSON.
    pub body: String,
}

/// What queries read: batches, days and alerts.
pub trait QueryReads: Send + Sync + 'static {
    /// Every submission of the developer under this batch id, oldest first.
    fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> impl Future<Output = Result<Vec<Submission>, StoreError>> + Send;

    /// The batch in this message, as its first submission (most often itself) is stored now. `None` until it
    /// is stored, and for a message that another one's row stands in the place of.
    fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        message: MessageIdentity,
    ) -> impl Future<Output = Result<Option<StoredBatch>, StoreError>> + Send;

    /// The developer's days from `from` to `to` (`YYYY-MM-DD`, both included), rising.
    fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> impl Future<Output = Result<Vec<StoredDay>, StoreError>> + Send;

    /// What the developer's days from `from` to `to` (`YYYY-MM-DD`, both included) are made of, rising.
    fn day_counts(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> impl Future<Output = Result<Vec<StoredCounts>, StoreError>> + Send;

    /// The developer's first day that is not before `from` (`YYYY-MM-DD`).
    fn first_day(
        &self,
        developer: String,
        from: String,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Everyone with days, by name.
    fn developers(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Alerts, raised or retracted, newest window first, of one developer or all.
    fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredAlert>, StoreError>> + Send;
}

shared_sql! {
    SUBMISSIONS = concat!(
        "SELECT ", submission_columns!("b"),
        " FROM batches b WHERE b.developer = $1 AND b.batch_id = $2 ORDER BY b.src, b.seq"
    );
    /// A place names no message: a stream that is restored to an older state gives its sequences out again.
    FIRST_SUBMISSION = concat!(
        "SELECT ", submission_columns!("f"),
        " FROM sources s JOIN batches b ON b.src = s.src
        JOIN batches f ON f.developer = b.developer AND f.batch_id = b.batch_id AND f.message_id = b.message_id
        WHERE s.stream = $1 AND s.created_at = $2 AND b.seq = $3
          AND b.developer = $4 AND b.batch_id = $5 AND b.message_id = $6
        ORDER BY f.src, f.seq LIMIT 1"
    );
    NOT_ACCEPTED = "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail,
          e.src, e.seq, e.ordinal, b.batch_id, b.received_at
        FROM refused r
        LEFT JOIN events e
          ON r.code = 'id_conflict' AND e.developer = r.developer AND e.event_id = r.event_id
        LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
        WHERE r.src = $1 AND r.seq = $2
        UNION ALL
        SELECT d.src, d.seq, d.ordinal, d.event_id, 'duplicate_id', NULL, NULL,
          e.src, e.seq, e.ordinal, b.batch_id, b.received_at
        FROM duplicates d
        LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
        LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
        WHERE d.src = $1 AND d.seq = $2
        ORDER BY 3";
    DAYS = "SELECT day, computed_gen, version, body FROM days
        WHERE developer = $1 AND day BETWEEN $2 AND $3 ORDER BY day";
    DAY_COUNTS = "SELECT day, counts FROM days WHERE developer = $1 AND day BETWEEN $2 AND $3 ORDER BY day";
    FIRST_DAY = "SELECT day FROM days WHERE developer = $1 AND day >= $2 ORDER BY day LIMIT 1";
    DEVELOPERS = "SELECT DISTINCT developer FROM days ORDER BY developer";
    ALERTS = "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
        FROM alerts ORDER BY window_start DESC, alert_id LIMIT $1";
    ALERTS_OF = "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
        FROM alerts WHERE developer = $2 ORDER BY window_start DESC, alert_id LIMIT $1";
}

impl NotAccepted {
    /// From the columns of [`NOT_ACCEPTED`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        let original = match (optional_event_ref(row, 7)?, row.value(10)?) {
            (Some(at), Some(batch_id)) => Some(StoredOriginal {
                at,
                batch_id,
                received_at: row.value(11)?,
            }),
            _ => None,
        };
        Ok(Self {
            at: event_ref(row, 0)?,
            event_id: row.value(3)?,
            code: code(row, 4)?,
            pointer: row.value(5)?,
            detail: row.value(6)?,
            original,
        })
    }
}

impl StoredAlert {
    /// From the columns of [`ALERTS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            alert_id: row.value(0)?,
            developer: row.value(1)?,
            rule: row.value(2)?,
            severity: row.value(3)?,
            window_start: row.value(4)?,
            title: row.value(5)?,
            state: row.value(6)?,
            revision: row.value(7)?,
            push: flag(row, 8)?,
            body: row.value(9)?,
        })
    }
}

impl StoredDay {
    /// From the columns of [`DAYS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            day: row.value(0)?,
            metrics: Computed {
                generation: row.value(1)?,
                version: row.value(2)?,
                body: row.value(3)?,
            },
        })
    }
}

impl StoredCounts {
    /// From the columns of [`DAY_COUNTS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            day: row.value(0)?,
            counts: row.value(1)?,
        })
    }
}

//! Rows of `batches` as readers get them.

use types::id::BatchRef;
use types::job::{BatchState, Mask};
use types::time::Micros;
use types::verdict::Counts;

use crate::error::StoreError;
use crate::row::{Row, batch_ref, mask, small_count, state};
use crate::sql::shared_sql;

/// One submission of a batch id, as its batch row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub at: BatchRef,
    /// Empty if the developer was forgotten.
    pub developer: String,
    /// The client's batch id.
    pub batch_id: String,
    /// The message's `Nats-Msg-Id`; empty if the developer was forgotten.
    pub message_id: String,
    pub correlation_id: String,
    pub state: BatchState,
    /// Jobs it needs, jobs done, jobs in DEAD.
    pub masks: [Mask; 3],
    /// Its events as the store classified them when the batch was stored.
    pub counts: Counts,
    /// When the collector had it.
    pub received_at: Micros,
    /// When the stream had it.
    pub published_at: Micros,
    /// When the store had it.
    pub persisted_at: Micros,
}

/// The columns of a [`Submission`] of the table that is called so in the statement.
macro_rules! submission_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".src, ",
            $table,
            ".seq, ",
            $table,
            ".developer, ",
            $table,
            ".batch_id, ",
            $table,
            ".correlation_id, ",
            $table,
            ".state, ",
            $table,
            ".need, ",
            $table,
            ".done, ",
            $table,
            ".failed, ",
            $table,
            ".received, ",
            $table,
            ".accepted, ",
            $table,
            ".duplicate, ",
            $table,
            ".rejected, ",
            $table,
            ".quarantined, ",
            $table,
            ".received_at, ",
            $table,
            ".published_at, ",
            $table,
            ".persisted_at, ",
            $table,
            ".message_id"
        )
    };
}
pub(crate) use submission_columns;

shared_sql! {
    SUBMISSION = concat!(
        "SELECT ", submission_columns!("b"), " FROM batches b WHERE b.src = $1 AND b.seq = $2"
    );
    STATE = "SELECT state FROM batches WHERE src = $1 AND seq = $2";
}

impl Submission {
    /// From the columns of `submission_columns!`.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: batch_ref(row, 0)?,
            developer: row.value(2)?,
            batch_id: row.value(3)?,
            correlation_id: row.value(4)?,
            state: state(row, 5)?,
            masks: [mask(row, 6)?, mask(row, 7)?, mask(row, 8)?],
            counts: Counts {
                received: small_count(row, 9)?,
                accepted: small_count(row, 10)?,
                duplicate: small_count(row, 11)?,
                rejected: small_count(row, 12)?,
                quarantined: small_count(row, 13)?,
            },
            received_at: row.value(14)?,
            published_at: row.value(15)?,
            persisted_at: row.value(16)?,
            message_id: row.value(17)?,
        })
    }
}

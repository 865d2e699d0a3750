//! Rows of `batches` as readers get them, and what several statements read alike.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::id::{BatchRef, EventRef};
use types::job::{BatchState, Mask};
use types::verdict::Counts;

use super::trouble::Trouble;
use super::{column, rows};
use crate::{StoreError, StoredEvent, Submission};

/// Locked in the order of their keys: two processes that change the same batches wait, and do not
/// deadlock.
const LOCK: &str = "SELECT b.src, b.seq, b.state, b.developer <> ''
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq
    ORDER BY b.src, b.seq FOR NO KEY UPDATE OF b";

/// A batch as a writer finds it.
#[derive(Debug, Clone, Copy)]
pub struct Locked {
    /// Its state.
    pub state: BatchState,
    /// Whether its developer is known, not forgotten.
    pub is_known: bool,
}

/// Locks the batches and tells how they stand; those that are gone are left out.
pub async fn lock(
    transaction: &Transaction<'_>,
    keys: impl Iterator<Item = BatchRef> + Send,
) -> Result<BTreeMap<BatchRef, Locked>, Trouble> {
    let (srcs, seqs) = columns(keys);
    let mut locked = BTreeMap::new();
    for row in rows(transaction, LOCK, &[&srcs, &seqs]).await? {
        locked.insert(
            batch_ref(&row)?,
            Locked {
                state: state(&row, 2)?,
                is_known: row.try_get(3)?,
            },
        );
    }
    Ok(locked)
}

/// References as the two arrays that statements take: sorted, each once.
pub fn columns(keys: impl Iterator<Item = BatchRef>) -> (Vec<i64>, Vec<i64>) {
    let mut keys: Vec<BatchRef> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    (
        column(&keys, |at| at.src),
        column(&keys, |at| at.seq as i64),
    )
}

/// A submission in the columns src, seq, developer, batch_id, correlation_id, state, need, done, failed,
/// received, accepted, duplicate, rejected, quarantined, received_at, published_at, persisted_at.
pub fn submission(row: &Row) -> Result<Submission, StoreError> {
    let read = || -> Result<Submission, Trouble> {
        let mask = |column| Ok::<_, Trouble>(Mask(row.try_get::<_, i32>(column)? as u8));
        Ok(Submission {
            at: batch_ref(row)?,
            developer: row.try_get(2)?,
            batch_id: row.try_get(3)?,
            correlation_id: row.try_get(4)?,
            state: state(row, 5)?,
            masks: [mask(6)?, mask(7)?, mask(8)?],
            counts: Counts {
                received: count(row, 9)?,
                accepted: count(row, 10)?,
                duplicate: count(row, 11)?,
                rejected: count(row, 12)?,
                quarantined: count(row, 13)?,
            },
            received_at: row.try_get(14)?,
            published_at: row.try_get(15)?,
            persisted_at: row.try_get(16)?,
        })
    };
    Ok(read()?)
}

/// An event in the columns src, seq, ordinal, event_id, type, schema_version, effective_at, local_day,
/// body, client.
pub fn stored_event(row: &Row) -> Result<StoredEvent, Trouble> {
    Ok(StoredEvent {
        at: event_ref(row, 0)?,
        id: row.try_get(3)?,
        kind: row.try_get(4)?,
        schema_version: row.try_get(5)?,
        effective_at: row.try_get(6)?,
        local_day: row.try_get(7)?,
        body: row.try_get(8)?,
        client: row.try_get(9)?,
    })
}

fn count(row: &Row, column: usize) -> Result<u32, Trouble> {
    Ok(row.try_get::<_, i32>(column)?.unsigned_abs())
}

/// The batch in a row's first two columns.
pub fn batch_ref(row: &Row) -> Result<BatchRef, Trouble> {
    Ok(BatchRef {
        src: row.try_get(0)?,
        seq: row.try_get::<_, i64>(1)?.unsigned_abs(),
    })
}

/// The event reference in three columns from `first` on.
pub fn event_ref(row: &Row, first: usize) -> Result<EventRef, Trouble> {
    let seq = row.try_get::<_, i64>(first + 1)?.unsigned_abs();
    let ordinal = row.try_get::<_, i32>(first + 2)?.unsigned_abs();
    Ok(EventRef {
        src: row.try_get(first)?,
        seq,
        ordinal,
    })
}

/// The BLAKE3 in a column.
pub fn hash(row: &Row, column: usize) -> Result<[u8; 32], Trouble> {
    let bytes: &[u8] = row.try_get(column)?;
    let bad = |_| {
        StoreError::Failed(format!(
            "the database holds a hash of {} bytes, not 32",
            bytes.len()
        ))
    };
    Ok(bytes.try_into().map_err(bad)?)
}

/// The state in a column.
pub fn state(row: &Row, column: usize) -> Result<BatchState, Trouble> {
    let name: &str = row.try_get(column)?;
    let unknown = || {
        StoreError::Failed(format!(
            "the database holds the unknown state {name:?} of a batch"
        ))
    };
    Ok(BatchState::named(name).ok_or_else(unknown)?)
}

//! What several transactions read and lock of batches.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use types::id::BatchRef;
use types::job::BatchState;

use super::error::TransactionError;
use super::statements::{column, rows};
use crate::row::{Row, batch_ref, state};

/// Locked in the order of their keys: two processes that change the same batches wait, and do not
/// deadlock.
const LOCK: &str = "SELECT b.src, b.seq, b.state, b.developer <> ''
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq
    ORDER BY b.src, b.seq FOR NO KEY UPDATE OF b";

/// A batch as a writer finds it.
#[derive(Debug, Clone, Copy)]
pub struct LockedBatch {
    pub state: BatchState,
    /// False if its developer was forgotten.
    pub is_known: bool,
}

/// Locks the batches and gives what was found; those that are gone are left out.
pub async fn lock(
    transaction: &Transaction<'_>,
    keys: impl Iterator<Item = BatchRef> + Send,
) -> Result<BTreeMap<BatchRef, LockedBatch>, TransactionError> {
    let keys = KeyColumns::new(keys);
    let mut locked = BTreeMap::new();
    for row in rows(transaction, LOCK, &[&keys.srcs, &keys.seqs]).await? {
        let batch = LockedBatch {
            state: state(&row, 2)?,
            is_known: row.value(3)?,
        };
        locked.insert(batch_ref(&row, 0)?, batch);
    }
    Ok(locked)
}

/// Whether the batch is stored, and its developer not forgotten.
pub fn is_known(locked: &BTreeMap<BatchRef, LockedBatch>, at: BatchRef) -> bool {
    locked.get(&at).is_some_and(|batch| batch.is_known)
}

/// References as the two arrays that are passed to statements: sorted, each once.
pub struct KeyColumns {
    pub srcs: Vec<i64>,
    pub seqs: Vec<i64>,
}

impl KeyColumns {
    /// The columns of these references.
    pub fn new(keys: impl Iterator<Item = BatchRef>) -> Self {
        let mut keys: Vec<BatchRef> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        Self {
            srcs: column(&keys, |at| at.src),
            seqs: column(&keys, |at| at.seq as i64),
        }
    }
}

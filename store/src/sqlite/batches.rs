//! What several transactions read of a batch.

use rusqlite::{Connection, params};
use types::id::BatchRef;

use super::statements::exists;
use crate::error::StoreError;

/// A forgotten developer's batch names nobody.
const IS_KNOWN: &str = "SELECT 1 FROM batches WHERE src = ?1 AND seq = ?2 AND developer <> ''";

/// Whether the batch is stored, and its developer not forgotten.
pub fn is_known(connection: &Connection, at: BatchRef) -> Result<bool, StoreError> {
    exists(connection, IS_KNOWN, params![at.src, at.seq as i64])
}

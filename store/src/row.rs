//! Rows of either engine, and the values that many of them hold.

use types::id::{BatchRef, EventRef};
use types::job::{BatchState, Mask};
use types::verdict::Code;

use crate::error::StoreError;

/// A row of either engine, read by column index.
pub trait Row {
    /// The value of a column; the types are those that both engines can give.
    fn value<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: rusqlite::types::FromSql + tokio_postgres::types::FromSql<'r>;

    /// A text that is not copied.
    fn text(&self, column: usize) -> Result<&str, StoreError>;

    /// Bytes that are not copied.
    fn bytes(&self, column: usize) -> Result<&[u8], StoreError>;
}

/// The batch in two columns from `first` on.
pub fn batch_ref(row: &impl Row, first: usize) -> Result<BatchRef, StoreError> {
    Ok(BatchRef {
        src: row.value(first)?,
        seq: count(row, first + 1)?,
    })
}

/// The event in three columns from `first` on.
pub fn event_ref(row: &impl Row, first: usize) -> Result<EventRef, StoreError> {
    Ok(EventRef {
        src: row.value(first)?,
        seq: count(row, first + 1)?,
        ordinal: small_count(row, first + 2)?,
    })
}

/// The event in three columns from `first` on; `None` if an outer join found none.
pub fn optional_event_ref(row: &impl Row, first: usize) -> Result<Option<EventRef>, StoreError> {
    let is_there = row.value::<Option<i64>>(first)?.is_some();
    is_there.then(|| event_ref(row, first)).transpose()
}

/// A number that is never negative, in a column of 64 bits.
pub fn count(row: &impl Row, column: usize) -> Result<u64, StoreError> {
    Ok(row.value::<i64>(column)?.unsigned_abs())
}

/// A number that is never negative, in a column of 32 bits.
pub fn small_count(row: &impl Row, column: usize) -> Result<u32, StoreError> {
    Ok(row.value::<i32>(column)?.unsigned_abs())
}

/// A flag in an integer column.
pub fn flag(row: &impl Row, column: usize) -> Result<bool, StoreError> {
    Ok(row.value::<i32>(column)? != 0)
}

/// A set of jobs.
pub fn mask(row: &impl Row, column: usize) -> Result<Mask, StoreError> {
    Ok(Mask(row.value::<i32>(column)? as u8))
}

/// A BLAKE3 hash.
pub fn hash(row: &impl Row, column: usize) -> Result<[u8; 32], StoreError> {
    let bytes = row.bytes(column)?;
    bytes.try_into().map_err(|_| {
        let length = bytes.len();
        StoreError::Failed(format!(
            "the database holds a hash of {length} bytes, not 32"
        ))
    })
}

/// The state of a batch.
pub fn state(row: &impl Row, column: usize) -> Result<BatchState, StoreError> {
    let name = row.text(column)?;
    BatchState::named(name).ok_or_else(|| unknown("state of a batch", name))
}

/// The code of an event that was not accepted.
pub fn code(row: &impl Row, column: usize) -> Result<Code, StoreError> {
    let name = row.text(column)?;
    Code::named(name).ok_or_else(|| unknown("code of an event", name))
}

fn unknown(what: &str, name: &str) -> StoreError {
    StoreError::Failed(format!("the database holds the unknown {what} {name:?}"))
}

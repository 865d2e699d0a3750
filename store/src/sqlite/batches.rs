//! Rows of `batches` as readers get them.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use types::id::BatchRef;
use types::job::{BatchState, Mask};
use types::verdict::Counts;

use crate::{StoreError, Submission};

/// A forgotten developer's batch names nobody.
const KNOWN: &str = "SELECT 1 FROM batches WHERE src = ?1 AND seq = ?2 AND developer <> ''";
const SUBMISSION: &str =
    "SELECT src, seq, developer, batch_id, correlation_id, state, need, done, failed, received, accepted,
      duplicate, rejected, quarantined, received_at, published_at, persisted_at
    FROM batches WHERE src = ?1 AND seq = ?2";

/// Whether the batch is stored, and its developer not forgotten.
pub fn is_known(connection: &Connection, at: BatchRef) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached(KNOWN)?
        .exists(params![at.src, at.seq as i64])?)
}

/// The batch, where it is stored.
pub fn submission(connection: &Connection, at: BatchRef) -> Result<Option<Submission>, StoreError> {
    let mut statement = connection.prepare_cached(SUBMISSION)?;
    let found = statement.query_row(params![at.src, at.seq as i64], |row| {
        Ok(Submission {
            at: batch_ref(row)?,
            developer: row.get(2)?,
            batch_id: row.get(3)?,
            correlation_id: row.get(4)?,
            state: state(row, 5)?,
            masks: [Mask(row.get(6)?), Mask(row.get(7)?), Mask(row.get(8)?)],
            counts: Counts {
                received: row.get(9)?,
                accepted: row.get(10)?,
                duplicate: row.get(11)?,
                rejected: row.get(12)?,
                quarantined: row.get(13)?,
            },
            received_at: row.get(14)?,
            published_at: row.get(15)?,
            persisted_at: row.get(16)?,
        })
    });
    Ok(found.optional()?)
}

/// The state in a column.
pub fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<BatchState> {
    let name: String = row.get(column)?;
    BatchState::named(&name).ok_or_else(|| unknown_name(column, &name))
}

/// A column holds a name that this program does not know.
pub fn unknown_name(column: usize, name: &str) -> rusqlite::Error {
    let why = format!("{name:?} is no name that this program knows");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

/// The reference in a row's first two columns.
pub fn batch_ref(row: &Row<'_>) -> rusqlite::Result<BatchRef> {
    Ok(BatchRef {
        src: row.get(0)?,
        seq: row.get::<_, i64>(1)?.unsigned_abs(),
    })
}

/// The batches of these keys, in their order; those that are gone are left out.
pub fn submissions(
    connection: &Connection,
    keys: Vec<BatchRef>,
) -> Result<Vec<Submission>, StoreError> {
    let found = keys.into_iter().map(|at| submission(connection, at));
    found.filter_map(Result::transpose).collect()
}

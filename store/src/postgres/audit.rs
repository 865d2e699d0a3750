//! Audit rows, many in one statement.

use deadpool_postgres::Transaction;
use types::id::BatchRef;

use super::error::TransactionError;
use super::statements::{column, execute};
use crate::audit::AuditRow;

const INSERT_AUDIT: &str = "INSERT INTO audit
    (id, time, step, outcome, actor, src, seq, replay_id, shared, personal_hash, hash)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[],
        $7::bigint[], $8::text[], $9::text[], $10::bytea[], $11::bytea[])";
const INSERT_PERSONAL: &str = "INSERT INTO audit_personal
    (id, salt, developer, batch_id, event_id, correlation_id, detail)
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])";

/// Appends the rows; of those whose batch is not known (its developer is forgotten), the skeleton alone.
pub async fn append(
    transaction: &Transaction<'_>,
    rows: &[AuditRow],
    is_known: impl Fn(BatchRef) -> bool + Send,
) -> Result<(), TransactionError> {
    let whole = |row: &&AuditRow| {
        is_known(BatchRef {
            src: row.skeleton.src,
            seq: row.skeleton.seq,
        })
    };
    let whole: Vec<&AuditRow> = rows.iter().filter(whole).collect();
    tokio::try_join!(
        biased; // of two errors the first one says what went wrong
        insert_skeletons(transaction, rows),
        insert_personal(transaction, &whole),
    )?;
    Ok(())
}

async fn insert_personal(
    transaction: &Transaction<'_>,
    rows: &[&AuditRow],
) -> Result<(), TransactionError> {
    if rows.is_empty() {
        return Ok(());
    }
    execute(
        transaction,
        INSERT_PERSONAL,
        &[
            &column(rows, |row| &row.skeleton.id.as_bytes()[..]),
            &column(rows, |row| &row.salt[..]),
            &column(rows, |row| row.personal.developer.as_str()),
            &column(rows, |row| row.personal.batch_id.as_str()),
            &column(rows, |row| row.personal.event_id.as_deref()),
            &column(rows, |row| row.personal.correlation_id.as_str()),
            &column(rows, |row| row.personal.detail.as_deref()),
        ],
    )
    .await?;
    Ok(())
}

async fn insert_skeletons(
    transaction: &Transaction<'_>,
    rows: &[AuditRow],
) -> Result<(), TransactionError> {
    if rows.is_empty() {
        return Ok(());
    }
    execute(
        transaction,
        INSERT_AUDIT,
        &[
            &column(rows, |row| &row.skeleton.id.as_bytes()[..]),
            &column(rows, |row| row.skeleton.time),
            &column(rows, |row| row.skeleton.step.as_str()),
            &column(rows, |row| row.skeleton.outcome.as_str()),
            &column(rows, |row| row.skeleton.actor.as_str()),
            &column(rows, |row| row.skeleton.src),
            &column(rows, |row| row.skeleton.seq as i64),
            &column(rows, |row| row.skeleton.replay_id.as_deref()),
            &column(rows, |row| row.skeleton.shared.as_deref()),
            &column(rows, |row| &row.personal_hash[..]),
            &column(rows, |row| &row.hash[..]),
        ],
    )
    .await?;
    Ok(())
}

//! The rows that T1 writes, many in one statement.

use deadpool_postgres::Transaction;
use types::job::BatchState;
use types::json::replace_nul;

use super::plan::Entry;
use super::sql::{
    INSERT_BATCHES, INSERT_DUPLICATES, INSERT_EVENTS, INSERT_REFUSED, TAKE_PLACES, UPDATE_BATCHES,
};
use crate::StoreError;
use crate::contest::{Loser, Lost};
use crate::incoming::DecodedBatch;
use crate::postgres::trouble::Trouble;
use crate::postgres::{column, execute, rows};
use crate::refused::RefusedRow;
use crate::tally::Tally;
use tokio_postgres::Row;

/// Inserts the batches that are not there, before anything is known of their events.
pub async fn insert_batches(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
) -> Result<Vec<Row>, Trouble> {
    let client = |batch: &&DecodedBatch| {
        batch
            .header
            .envelope
            .get("client")
            .map(|client| client.get().as_bytes().to_vec())
    };
    rows(
        tx,
        INSERT_BATCHES,
        &[
            &column(batches, |batch| batch.at.src),
            &column(batches, |batch| batch.at.seq as i64),
            &column(batches, |batch| batch.header.developer.as_str()),
            &column(batches, |batch| batch.header.batch_id.as_str()),
            &column(batches, |batch| batch.events_hash.as_str()),
            &column(batches, |batch| batch.header.correlation_id.as_str()),
            &column(batches, |batch| batch.header.traceparent.as_str()),
            &column(batches, |batch| replace_nul(&batch.header.schema_version)),
            &column(batches, |batch| replace_nul(&batch.header.sent_at)),
            &column(batches, |batch| batch.header.skew),
            &column(batches, |batch| batch.header.collector.as_str()),
            &column(batches, client),
            &column(batches, |batch| batch.header.received_at),
            &column(batches, |batch| batch.header.validated_at),
            &column(batches, |batch| batch.published_at),
            &column(batches, |batch| batch.persisted_at),
        ],
    )
    .await
}

/// Says of the inserted batches what their events came to.
pub async fn update_batches(
    tx: &Transaction<'_>,
    done: &[(&DecodedBatch, &Tally)],
) -> Result<(), Trouble> {
    let bodies = done
        .iter()
        .map(|(batch, tally)| serde_json::to_string(&tally.job_body(batch)));
    let bodies: Vec<String> = bodies
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let count = |of: fn(&Tally) -> u32| column(done, |(_, tally)| of(tally) as i32);
    execute(
        tx,
        UPDATE_BATCHES,
        &[
            &column(done, |(batch, _)| batch.at.src),
            &column(done, |(batch, _)| batch.at.seq as i64),
            &count(|tally| tally.counts.received),
            &count(|tally| tally.counts.accepted),
            &count(|tally| tally.counts.duplicate),
            &count(|tally| tally.counts.rejected),
            &count(|tally| tally.counts.quarantined),
            &count(|tally| u32::from(tally.need().0)),
            &column(done, |(_, tally)| BatchState::stored(tally.need()).as_str()),
            &bodies,
        ],
    )
    .await?;
    Ok(())
}

/// Inserts the events whose ids nothing holds; gives (developer, event id) of those inserted.
pub async fn insert_events(
    tx: &Transaction<'_>,
    events: &[(&str, Entry<'_>)],
) -> Result<Vec<Row>, Trouble> {
    events_into(tx, INSERT_EVENTS, events).await
}

/// Puts the events in the place of those that hold their ids.
pub async fn take_places(
    tx: &Transaction<'_>,
    events: &[(&str, Entry<'_>)],
) -> Result<(), Trouble> {
    if !events.is_empty() {
        events_into(tx, TAKE_PLACES, events).await?;
    }
    Ok(())
}

async fn events_into(
    tx: &Transaction<'_>,
    sql: &'static str,
    events: &[(&str, Entry<'_>)],
) -> Result<Vec<Row>, Trouble> {
    rows(
        tx,
        sql,
        &[
            &column(events, |(_, entry)| entry.at.src),
            &column(events, |(_, entry)| entry.at.seq as i64),
            &column(events, |(_, entry)| entry.at.ordinal as i32),
            &column(events, |(developer, _)| *developer),
            &column(events, |(_, entry)| entry.event.id.as_str()),
            &column(events, |(_, entry)| entry.event.kind.as_str()),
            &column(events, |(_, entry)| entry.event.schema_version.as_str()),
            &column(events, |(_, entry)| entry.event.effective_at),
            &column(events, |(_, entry)| entry.event.local_day.as_str()),
            &column(events, |(_, entry)| entry.event.body.as_slice()),
            &column(events, |(_, entry)| &entry.event.hash[..]),
        ],
    )
    .await
}

/// Inserts refused events, in the order of their references.
pub async fn insert_refused(
    tx: &Transaction<'_>,
    mut refused: Vec<RefusedRow<'_>>,
) -> Result<(), Trouble> {
    if refused.is_empty() {
        return Ok(());
    }
    refused.sort_by_key(|row| row.at);
    execute(
        tx,
        INSERT_REFUSED,
        &[
            &column(&refused, |row| row.at.src),
            &column(&refused, |row| row.at.seq as i64),
            &column(&refused, |row| row.at.ordinal as i32),
            &column(&refused, |row| row.developer),
            &column(&refused, |row| row.event_id),
            &column(&refused, |row| row.code.verdict().as_str()),
            &column(&refused, |row| row.code.as_str()),
            &column(&refused, |row| row.pointer),
            &column(&refused, |row| row.detail),
            &column(&refused, |row| row.body),
            &column(&refused, |row| &row.hash[..]),
        ],
    )
    .await?;
    Ok(())
}

/// Inserts duplicates, in the order of their references; the bytes where they are their own.
pub async fn insert_duplicates(tx: &Transaction<'_>, lost: &[Lost<'_>]) -> Result<(), Trouble> {
    let mut duplicates: Vec<&Lost<'_>> = lost
        .iter()
        .filter(|lost| lost.loser != Loser::Conflict)
        .collect();
    if duplicates.is_empty() {
        return Ok(());
    }
    duplicates.sort_by_key(|lost| lost.submission.at);
    execute(
        tx,
        INSERT_DUPLICATES,
        &[
            &column(&duplicates, |lost| lost.submission.at.src),
            &column(&duplicates, |lost| lost.submission.at.seq as i64),
            &column(&duplicates, |lost| lost.submission.at.ordinal as i32),
            &column(&duplicates, |lost| lost.developer),
            &column(&duplicates, |lost| lost.id),
            &column(&duplicates, |lost| &lost.submission.hash[..]),
            &column(&duplicates, |lost| lost.own_bytes()),
        ],
    )
    .await?;
    Ok(())
}

//! The rows that `store_batches` (T1) writes, many in one statement.

use deadpool_postgres::Transaction;
use types::job::BatchState;
use types::json::replace_nul;

use super::plan::GroupCandidate;
use super::sql::{
    INSERT_BATCHES, INSERT_DUPLICATES, INSERT_EVENTS, INSERT_REFUSED, SUPERSEDE_EVENTS,
    UPDATE_BATCHES,
};
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::DecodedBatch;
use crate::dedup::{Displaced, DisplacedEvent};
use crate::error::StoreError;
use crate::postgres::error::TransactionError;
use crate::postgres::statements::{column, execute, rows};
use crate::refused_row::RefusedRow;
use tokio_postgres::Row;

/// Inserts the batches that are not there, before anything is known of their events.
pub async fn insert_batches(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
) -> Result<Vec<Row>, TransactionError> {
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
    done: &[(&DecodedBatch, &BatchSummary)],
) -> Result<(), TransactionError> {
    let bodies = done
        .iter()
        .map(|(batch, summary)| serde_json::to_string(&summary.job_body(batch)));
    let bodies: Vec<String> = bodies
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let count = |of: fn(&BatchSummary) -> u32| column(done, |(_, summary)| of(summary) as i32);
    execute(
        tx,
        UPDATE_BATCHES,
        &[
            &column(done, |(batch, _)| batch.at.src),
            &column(done, |(batch, _)| batch.at.seq as i64),
            &count(|summary| summary.counts.received),
            &count(|summary| summary.counts.accepted),
            &count(|summary| summary.counts.duplicate),
            &count(|summary| summary.counts.rejected),
            &count(|summary| summary.counts.quarantined),
            &count(|summary| u32::from(summary.need().0)),
            &column(done, |(_, summary)| {
                BatchState::stored(summary.need()).as_str()
            }),
            &bodies,
        ],
    )
    .await?;
    Ok(())
}

/// Inserts the events whose ids nothing holds; gives (developer, event id) of those inserted.
pub async fn insert_events(
    tx: &Transaction<'_>,
    events: &[(&str, GroupCandidate<'_>)],
) -> Result<Vec<Row>, TransactionError> {
    events_into(tx, INSERT_EVENTS, events).await
}

/// Puts the events in the place of those that hold their ids.
pub async fn supersede_events(
    tx: &Transaction<'_>,
    events: &[(&str, GroupCandidate<'_>)],
) -> Result<(), TransactionError> {
    if !events.is_empty() {
        events_into(tx, SUPERSEDE_EVENTS, events).await?;
    }
    Ok(())
}

async fn events_into(
    tx: &Transaction<'_>,
    sql: &'static str,
    events: &[(&str, GroupCandidate<'_>)],
) -> Result<Vec<Row>, TransactionError> {
    rows(
        tx,
        sql,
        &[
            &column(events, |(_, candidate)| candidate.at.src),
            &column(events, |(_, candidate)| candidate.at.seq as i64),
            &column(events, |(_, candidate)| candidate.at.ordinal as i32),
            &column(events, |(developer, _)| *developer),
            &column(events, |(_, candidate)| candidate.event.id.as_str()),
            &column(events, |(_, candidate)| candidate.event.kind.as_str()),
            &column(events, |(_, candidate)| {
                candidate.event.schema_version.as_str()
            }),
            &column(events, |(_, candidate)| candidate.event.effective_at),
            &column(events, |(_, candidate)| candidate.event.local_day.as_str()),
            &column(events, |(_, candidate)| candidate.event.body.as_slice()),
            &column(events, |(_, candidate)| &candidate.event.hash[..]),
        ],
    )
    .await
}

/// Inserts refused events, in the order of their references.
pub async fn insert_refused(
    tx: &Transaction<'_>,
    mut refused: Vec<RefusedRow<'_>>,
) -> Result<(), TransactionError> {
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

/// Inserts duplicates, in the order of their references; the bytes if they are their own.
pub async fn insert_duplicates(
    tx: &Transaction<'_>,
    displaced_events: &[DisplacedEvent<'_>],
) -> Result<(), TransactionError> {
    let mut duplicates: Vec<&DisplacedEvent<'_>> = displaced_events
        .iter()
        .filter(|displaced_events| displaced_events.displaced != Displaced::Conflict)
        .collect();
    if duplicates.is_empty() {
        return Ok(());
    }
    duplicates.sort_by_key(|displaced_events| displaced_events.candidate.at);
    execute(
        tx,
        INSERT_DUPLICATES,
        &[
            &column(&duplicates, |displaced_events| {
                displaced_events.candidate.at.src
            }),
            &column(&duplicates, |displaced_events| {
                displaced_events.candidate.at.seq as i64
            }),
            &column(&duplicates, |displaced_events| {
                displaced_events.candidate.at.ordinal as i32
            }),
            &column(&duplicates, |displaced_events| displaced_events.developer),
            &column(&duplicates, |displaced_events| displaced_events.id),
            &column(&duplicates, |displaced_events| {
                &displaced_events.candidate.hash[..]
            }),
            &column(&duplicates, |displaced_events| displaced_events.own_bytes()),
        ],
    )
    .await?;
    Ok(())
}

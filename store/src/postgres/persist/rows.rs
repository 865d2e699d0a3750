//! The rows that `store_batches` (T1) writes, many in one statement: one array a column, sorted by key.

use deadpool_postgres::Transaction;
use types::job::{BatchState, JobBody};
use types::json::replace_nul;

use super::plan::{GroupCandidate, ResolvedBatch};
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::DecodedBatch;
use crate::dedup::{DisplacedEvent, Displacement};
use crate::error::StoreError;
use crate::postgres::error::TransactionError;
use crate::postgres::statements::{column, execute, rows};
use crate::refused_row::RefusedRow;
use tokio_postgres::Row;

/// Counts, needed jobs and job body follow with `UPDATE_BATCHES`, in the same transaction.
const INSERT_BATCHES: &str = "INSERT INTO batches
    (src, seq, developer, batch_id, message_id, correlation_id, traceparent, schema_version, sent_at,
     skew, collector, client, zone, received_at, validated_at, published_at, persisted_at,
     received, accepted, duplicate, rejected, quarantined, need, state, job_body, lease_until)
    SELECT u.*, 0, 0, 0, 0, 0, 0, 'persisted', '', 0
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bytea[], $13::text[], $14::bigint[],
        $15::bigint[], $16::bigint[], $17::bigint[]) u
    ON CONFLICT (src, seq) DO NOTHING RETURNING src, seq";
/// The storing process has a lease of 5 s by the database's clock to publish the jobs; then the sweep may.
const UPDATE_BATCHES: &str = "UPDATE batches b
    SET received = u.received, accepted = u.accepted, duplicate = u.duplicate, rejected = u.rejected,
        quarantined = u.quarantined, need = u.need, state = u.state, job_body = u.job_body,
        lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 5000000
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[],
        $7::integer[], $8::integer[], $9::text[], $10::text[])
        u (src, seq, received, accepted, duplicate, rejected, quarantined, need, state, job_body)
    WHERE b.src = u.src AND b.seq = u.seq";
/// Of each id the first submission to arrive; gives the references of those whose ids had no owner.
const INSERT_EVENTS: &str = "INSERT INTO events
    (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[])
    ON CONFLICT (developer, event_id) DO NOTHING RETURNING src, seq, ordinal";
/// An update, not a delete and insert: a transaction that waits for the row finds it afterwards.
const SUPERSEDE_EVENTS: &str = "UPDATE events e
    SET src = u.src, seq = u.seq, ordinal = u.ordinal, type = u.type, schema_version = u.schema_version,
        effective_at = u.effective_at, local_day = u.local_day, body = u.body, hash = u.hash
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[])
        u (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    WHERE e.developer = u.developer AND e.event_id = u.event_id";
/// Refused events and conflicts.
const INSERT_REFUSED: &str = "INSERT INTO refused
    (src, seq, ordinal, developer, event_id, verdict, code, pointer, detail, body, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[])";
/// The body is NULL if it equals the original's.
const INSERT_DUPLICATES: &str =
    "INSERT INTO duplicates (src, seq, ordinal, developer, event_id, hash, body)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bytea[],
        $7::bytea[])";

/// Inserts the batches that are not there, before their events are resolved.
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
            &column(batches, |batch| batch.message_id.as_str()),
            &column(batches, |batch| batch.header.correlation_id.as_str()),
            &column(batches, |batch| batch.header.traceparent.as_str()),
            &column(batches, |batch| replace_nul(&batch.header.schema_version)),
            &column(batches, |batch| replace_nul(&batch.header.sent_at)),
            &column(batches, |batch| batch.header.skew),
            &column(batches, |batch| batch.header.collector.as_str()),
            &column(batches, client),
            &column(batches, |batch| batch.header.zone.as_deref()),
            &column(batches, |batch| batch.header.received_at),
            &column(batches, |batch| batch.header.validated_at),
            &column(batches, |batch| batch.published_at),
            &column(batches, |batch| batch.persisted_at),
        ],
    )
    .await
}

/// Writes counts, needed jobs, job bodies and state of the inserted batches.
pub async fn update_batches(
    tx: &Transaction<'_>,
    resolved: &[ResolvedBatch<'_>],
    bodies: &[JobBody],
) -> Result<(), TransactionError> {
    let bodies = bodies.iter().map(serde_json::to_string);
    let bodies: Vec<String> = bodies
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let count = |of: fn(&BatchSummary) -> u32| column(resolved, |done| of(&done.summary) as i32);
    execute(
        tx,
        UPDATE_BATCHES,
        &[
            &column(resolved, |done| done.batch.at.src),
            &column(resolved, |done| done.batch.at.seq as i64),
            &count(|summary| summary.counts.received),
            &count(|summary| summary.counts.accepted),
            &count(|summary| summary.counts.duplicate),
            &count(|summary| summary.counts.rejected),
            &count(|summary| summary.counts.quarantined),
            &count(|summary| u32::from(summary.need().0)),
            &column(resolved, |done| {
                BatchState::stored(done.summary.need()).as_str()
            }),
            &bodies,
        ],
    )
    .await?;
    Ok(())
}

/// Inserts the events whose ids have no owner; gives the references of those inserted.
pub async fn insert_events(
    tx: &Transaction<'_>,
    events: &[GroupCandidate<'_>],
) -> Result<Vec<Row>, TransactionError> {
    events_into(tx, INSERT_EVENTS, events).await
}

/// Puts the events in the place of the owners of their ids.
pub async fn supersede_events(
    tx: &Transaction<'_>,
    events: &[GroupCandidate<'_>],
) -> Result<(), TransactionError> {
    if !events.is_empty() {
        events_into(tx, SUPERSEDE_EVENTS, events).await?;
    }
    Ok(())
}

async fn events_into(
    tx: &Transaction<'_>,
    sql: &'static str,
    events: &[GroupCandidate<'_>],
) -> Result<Vec<Row>, TransactionError> {
    rows(
        tx,
        sql,
        &[
            &column(events, |candidate| candidate.at.src),
            &column(events, |candidate| candidate.at.seq as i64),
            &column(events, |candidate| candidate.at.ordinal as i32),
            &column(events, |candidate| candidate.developer),
            &column(events, |candidate| candidate.event.id.as_str()),
            &column(events, |candidate| candidate.event.kind.as_str()),
            &column(events, |candidate| candidate.event.schema_version.as_str()),
            &column(events, |candidate| candidate.event.effective_at),
            &column(events, |candidate| candidate.event.local_day.as_str()),
            &column(events, |candidate| candidate.event.body.as_slice()),
            &column(events, |candidate| &candidate.event.hash[..]),
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
        .filter(|event| event.displaced != Displacement::Conflict)
        .collect();
    if duplicates.is_empty() {
        return Ok(());
    }
    duplicates.sort_by_key(|event| event.candidate.at);
    execute(
        tx,
        INSERT_DUPLICATES,
        &[
            &column(&duplicates, |event| event.candidate.at.src),
            &column(&duplicates, |event| event.candidate.at.seq as i64),
            &column(&duplicates, |event| event.candidate.at.ordinal as i32),
            &column(&duplicates, |event| event.developer),
            &column(&duplicates, |event| event.id),
            &column(&duplicates, |displaced_events| {
                &displaced_events.candidate.hash[..]
            }),
            &column(&duplicates, |event| event.own_bytes()),
        ],
    )
    .await?;
    Ok(())
}

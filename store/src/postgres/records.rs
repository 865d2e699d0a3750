//! Normalized records: each beside the event it was made from, and gone with its reference.
//!
//! T3 locks the batches of its records before [`write`] looks which events still hold their reference, and [`remove`]
//! locks the batches that lose one. So one waits for the other, and no order leaves a record of a lost reference.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, EventRef};

use super::batches::{self, LockedBatch};
use super::error::TransactionError;
use super::newest::newest;
use super::statements::{column, execute, list};
use crate::effects::{NormalizedClient, NormalizedRow};
use crate::jobs::{insert_clients, insert_records};
use crate::row::event_ref;

/// Events that still hold the reference of one of these batches, by way of the batch's developer.
/// Read as `EVENTS_OF_BATCHES` reads them.
const HELD: &str = "SELECT e.src, e.seq, e.ordinal
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq
    CROSS JOIN LATERAL (SELECT src, seq, ordinal FROM events
      WHERE developer = b.developer AND src = k.src AND seq = k.seq ORDER BY src, seq, ordinal OFFSET 0) e";
const INSERT_RECORDS: &str = insert_records!(
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[],
       $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])"
);
const INSERT_CLIENTS: &str = insert_clients!(
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[])"
);
/// Of every version.
const DELETE_RECORDS: &str = "DELETE FROM normalized_records n
    USING unnest($1::bigint[], $2::bigint[], $3::integer[]) k (src, seq, ordinal)
    WHERE n.src = k.src AND n.seq = k.seq AND n.ordinal = k.ordinal";
/// Of versions that the batch has no record of. OFFSET 0: looked for by the key of each, not in all records.
const DELETE_CLIENTS: &str = "DELETE FROM normalized_clients c
    USING (SELECT DISTINCT src, seq FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)) k
    WHERE c.src = k.src AND c.seq = k.seq
      AND NOT EXISTS (SELECT 1 FROM normalized_records n
        WHERE n.src = c.src AND n.seq = c.seq AND n.version = c.version OFFSET 0)";

/// Writes the records of events that still hold their reference: another original may have superseded them since they
/// were read. With them goes what they have of their batches' clients; the batches of both are locked.
pub async fn write(
    tx: &Transaction<'_>,
    given: &[NormalizedRow],
    clients: &[NormalizedClient],
    locked: &BTreeMap<BatchRef, LockedBatch>,
) -> Result<(), TransactionError> {
    // Without a record there is no client.
    if given.is_empty() {
        return Ok(());
    }
    let keys = batches::KeyColumns::new(locked.keys().copied());
    let held = list(tx, HELD, &[&keys.srcs, &keys.seqs], |row| event_ref(row, 0)).await?;
    let held: HashSet<EventRef> = held.into_iter().collect();
    let key = |record: &'_ NormalizedRow| (record.at, record.version);
    let mut given = newest(given, key, |_, _| true);
    given.retain(|record| held.contains(&record.at));
    execute(
        tx,
        INSERT_RECORDS,
        &[
            &column(&given, |record| record.at.src),
            &column(&given, |record| record.at.seq as i64),
            &column(&given, |record| record.at.ordinal as i32),
            &column(&given, |record| record.version),
            &column(&given, |record| record.utc_offset),
            &column(&given, |record| i32::from(record.is_whole)),
            &column(&given, |record| record.language.as_deref()),
            &column(&given, |record| record.project.as_deref()),
            &column(&given, |record| record.project_name.as_deref()),
            &column(&given, |record| record.path.as_deref()),
            &column(&given, |record| record.category.as_deref()),
            &column(&given, |record| record.data.as_deref()),
        ],
    )
    .await?;
    let written = given
        .iter()
        .map(|record| (record.at.batch(), record.version));
    write_clients(tx, clients, &written.collect()).await
}

/// Writes what the written records have of their batches' clients.
async fn write_clients(
    tx: &Transaction<'_>,
    given: &[NormalizedClient],
    written: &HashSet<(BatchRef, i32)>,
) -> Result<(), TransactionError> {
    let key = |client: &'_ NormalizedClient| (client.batch, client.version);
    let mut given = newest(given, key, |_, _| true);
    given.retain(|client| written.contains(&key(client)));
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        INSERT_CLIENTS,
        &[
            &column(&given, |client| client.batch.src),
            &column(&given, |client| client.batch.seq as i64),
            &column(&given, |client| client.version),
            &column(&given, |client| client.editor.as_deref()),
            &column(&given, |client| client.editor_version.as_deref()),
            &column(&given, |client| client.operating_system.as_deref()),
            &column(&given, |client| client.machine.as_deref()),
        ],
    )
    .await?;
    Ok(())
}

/// Removes what was made from references that their events have lost, and the clients of batches without other records,
/// in this transaction.
pub async fn remove(tx: &Transaction<'_>, lost: &[EventRef]) -> Result<(), TransactionError> {
    batches::lock(tx, lost.iter().map(|at| at.batch())).await?;
    let srcs = column(lost, |at| at.src);
    let seqs = column(lost, |at| at.seq as i64);
    let ordinals = column(lost, |at| at.ordinal as i32);
    execute(tx, DELETE_RECORDS, &[&srcs, &seqs, &ordinals]).await?;
    execute(tx, DELETE_CLIENTS, &[&srcs, &seqs]).await?;
    Ok(())
}

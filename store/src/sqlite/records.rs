//! Normalized records: each beside the event it was made from, and gone with its reference.

use std::collections::{BTreeSet, HashSet};

use rusqlite::{Connection, params};
use types::id::{BatchRef, EventRef};

use super::statements::{execute, list};
use crate::effects::{NormalizedClient, NormalizedRow};
use crate::error::StoreError;
use crate::jobs::{insert_clients, insert_records};
use crate::row::small_count;

/// The places in a batch whose events still hold their reference.
const HELD_ORDINALS: &str = "SELECT ordinal FROM events WHERE src = ?1 AND seq = ?2";
const INSERT_RECORD: &str =
    insert_records!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
const INSERT_CLIENT: &str = insert_clients!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
/// Of every version.
const DELETE_RECORDS: &str =
    "DELETE FROM normalized_records WHERE src = ?1 AND seq = ?2 AND ordinal = ?3";
/// Of versions that the batch has no record of.
const DELETE_CLIENTS: &str = "DELETE FROM normalized_clients AS c WHERE src = ?1 AND seq = ?2
    AND NOT EXISTS (SELECT 1 FROM normalized_records n
      WHERE n.src = c.src AND n.seq = c.seq AND n.version = c.version)";

/// Writes the records of events that still hold their reference: another original may have superseded them since they
/// were read. With them goes what they have of their batches' clients.
pub fn write(
    connection: &Connection,
    records: &[NormalizedRow],
    clients: &[NormalizedClient],
) -> Result<(), StoreError> {
    let written = write_records(connection, records)?;
    let has_records =
        |client: &&NormalizedClient| written.contains(&(client.batch, client.version));
    write_clients(connection, clients.iter().filter(has_records))
}

/// Writes records; gives the batches and versions of those that it wrote.
fn write_records(
    connection: &Connection,
    records: &[NormalizedRow],
) -> Result<HashSet<(BatchRef, i32)>, StoreError> {
    let mut written = HashSet::new();
    let mut statement = connection.prepare_cached(INSERT_RECORD)?;
    for records in records.chunk_by(|one, next| one.at.batch() == next.at.batch()) {
        let at = records[0].at.batch();
        let key = params![at.src, at.seq as i64];
        let held = list(connection, HELD_ORDINALS, key, |row| small_count(row, 0))?;
        let held: BTreeSet<u32> = held.into_iter().collect();
        for record in records.iter().filter(|one| held.contains(&one.at.ordinal)) {
            statement.execute(params![
                record.at.src,
                record.at.seq as i64,
                record.at.ordinal,
                record.version,
                record.utc_offset,
                record.is_whole,
                record.language,
                record.project,
                record.project_name,
                record.path,
                record.category,
                record.data
            ])?;
            written.insert((at, record.version));
        }
    }
    Ok(written)
}

/// Writes what records have of their batches' clients.
fn write_clients<'a>(
    connection: &Connection,
    clients: impl Iterator<Item = &'a NormalizedClient>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(INSERT_CLIENT)?;
    for client in clients {
        statement.execute(params![
            client.batch.src,
            client.batch.seq as i64,
            client.version,
            client.editor,
            client.editor_version,
            client.operating_system,
            client.machine
        ])?;
    }
    Ok(())
}

/// Removes what was made from a reference that its event has lost, and the client of a batch without other records.
pub fn remove(connection: &Connection, lost: EventRef) -> Result<(), StoreError> {
    let key = params![lost.src, lost.seq as i64, lost.ordinal];
    execute(connection, DELETE_RECORDS, key)?;
    let batch = params![lost.src, lost.seq as i64];
    execute(connection, DELETE_CLIENTS, batch)?;
    Ok(())
}

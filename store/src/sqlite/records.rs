//! Normalized records: each beside the event it was made from, and gone with its reference.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use types::id::EventRef;

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

/// Writes the records of events that still hold their reference: another original may have superseded them since they
/// were read.
pub fn write(connection: &Connection, records: &[NormalizedRow]) -> Result<(), StoreError> {
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
        }
    }
    Ok(())
}

/// Writes what records have of their batches' clients.
pub fn write_clients(
    connection: &Connection,
    clients: &[NormalizedClient],
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

/// Removes what was made from a reference that its event has lost.
pub fn remove(connection: &Connection, lost: EventRef) -> Result<(), StoreError> {
    let key = params![lost.src, lost.seq as i64, lost.ordinal];
    execute(connection, DELETE_RECORDS, key)?;
    Ok(())
}

//! What normalize and aggregate jobs leave: each row is written only where it is newer than what is
//! there, so that the order of two writers does not matter.

use rusqlite::{Connection, params};

use crate::{DayRow, NormalizedRow, PartialRow, StoreError};

const NORMALIZED: &str = "INSERT INTO normalized
    (developer, event_id, version, src, seq, ordinal, type, effective_at, local_time, local_day,
     language, project, record)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (developer, event_id, version) DO UPDATE SET
      src = excluded.src, seq = excluded.seq, ordinal = excluded.ordinal, type = excluded.type,
      effective_at = excluded.effective_at, local_time = excluded.local_time,
      local_day = excluded.local_day, language = excluded.language, project = excluded.project,
      record = excluded.record
    WHERE (excluded.src, excluded.seq, excluded.ordinal) <= (normalized.src, normalized.seq, normalized.ordinal)";
const PARTIAL: &str = "INSERT INTO partials (developer, hour, computed_gen, version, body)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (developer, hour) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version, body = excluded.body
    WHERE partials.computed_gen < excluded.computed_gen OR partials.version < excluded.version";
const DAY: &str = "INSERT INTO days (developer, day, computed_gen, version, body)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (developer, day) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version, body = excluded.body
    WHERE days.computed_gen < excluded.computed_gen OR days.version < excluded.version";

/// Writes normalized records.
pub fn normalized(connection: &Connection, rows: &[NormalizedRow]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(NORMALIZED)?;
    for row in rows {
        statement.execute(params![
            row.developer,
            row.event_id,
            row.version,
            row.at.src,
            row.at.seq as i64,
            row.at.ordinal,
            row.kind,
            row.effective_at,
            row.local_time,
            row.local_day,
            row.language,
            row.project,
            row.record
        ])?;
    }
    Ok(())
}

/// Writes hour partials and folded days.
pub fn windows(
    connection: &Connection,
    partials: &[PartialRow],
    days: &[DayRow],
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(PARTIAL)?;
    for PartialRow {
        developer,
        hour,
        computed,
    } in partials
    {
        statement.execute(params![
            developer,
            hour,
            computed.generation,
            computed.version,
            computed.body
        ])?;
    }
    let mut statement = connection.prepare_cached(DAY)?;
    for DayRow {
        developer,
        day,
        computed,
    } in days
    {
        statement.execute(params![
            developer,
            day,
            computed.generation,
            computed.version,
            computed.body
        ])?;
    }
    Ok(())
}

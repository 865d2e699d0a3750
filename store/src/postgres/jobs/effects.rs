//! What normalize and aggregate jobs leave: each row is written only where it is newer than what is
//! there, so that the order of two writers does not matter. Keys are sorted: two writers wait, and do
//! not deadlock.

use deadpool_postgres::Transaction;

use super::newest::newest;
use crate::postgres::trouble::Trouble;
use crate::postgres::{column, execute};
use crate::{Computed, DayRow, NormalizedRow, PartialRow};

const NORMALIZED: &str = "INSERT INTO normalized
    (developer, event_id, version, src, seq, ordinal, type, effective_at, local_time, local_day,
     language, project, record)
    SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::integer[],
        $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
    ON CONFLICT (developer, event_id, version) DO UPDATE SET
      src = excluded.src, seq = excluded.seq, ordinal = excluded.ordinal, type = excluded.type,
      effective_at = excluded.effective_at, local_time = excluded.local_time,
      local_day = excluded.local_day, language = excluded.language, project = excluded.project,
      record = excluded.record
    WHERE (excluded.src, excluded.seq, excluded.ordinal)
      <= (normalized.src, normalized.seq, normalized.ordinal)";
const PARTIALS: &str = "INSERT INTO partials (developer, hour, computed_gen, version, body)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[])
    ON CONFLICT (developer, hour) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version, body = excluded.body
    WHERE partials.computed_gen < excluded.computed_gen OR partials.version < excluded.version";
const DAYS: &str = "INSERT INTO days (developer, day, computed_gen, version, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::text[])
    ON CONFLICT (developer, day) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version, body = excluded.body
    WHERE days.computed_gen < excluded.computed_gen OR days.version < excluded.version";

/// The guard of a computed row.
fn is_newer(new: &Computed, old: &Computed) -> bool {
    old.generation < new.generation || old.version < new.version
}

/// Writes normalized records.
pub async fn normalized(tx: &Transaction<'_>, given: &[NormalizedRow]) -> Result<(), Trouble> {
    let key = |row: &'_ NormalizedRow| (row.developer.clone(), row.event_id.clone(), row.version);
    let given = newest(given, key, |new, old| new.at <= old.at);
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        NORMALIZED,
        &[
            &column(&given, |row| row.developer.as_str()),
            &column(&given, |row| row.event_id.as_str()),
            &column(&given, |row| row.version),
            &column(&given, |row| row.at.src),
            &column(&given, |row| row.at.seq as i64),
            &column(&given, |row| row.at.ordinal as i32),
            &column(&given, |row| row.kind.as_str()),
            &column(&given, |row| row.effective_at),
            &column(&given, |row| row.local_time.as_str()),
            &column(&given, |row| row.local_day.as_str()),
            &column(&given, |row| row.language.as_deref()),
            &column(&given, |row| row.project.as_deref()),
            &column(&given, |row| row.record.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// Writes hour partials.
pub async fn partials(tx: &Transaction<'_>, given: &[PartialRow]) -> Result<(), Trouble> {
    let key = |row: &'_ PartialRow| (row.developer.clone(), row.hour);
    let given = newest(given, key, |new, old| {
        is_newer(&new.computed, &old.computed)
    });
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        PARTIALS,
        &[
            &column(&given, |row| row.developer.as_str()),
            &column(&given, |row| row.hour),
            &column(&given, |row| row.computed.generation),
            &column(&given, |row| row.computed.version),
            &column(&given, |row| row.computed.body.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// Writes folded days.
pub async fn days(tx: &Transaction<'_>, given: &[DayRow]) -> Result<(), Trouble> {
    let key = |row: &'_ DayRow| (row.developer.clone(), row.day.clone());
    let given = newest(given, key, |new, old| {
        is_newer(&new.computed, &old.computed)
    });
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        DAYS,
        &[
            &column(&given, |row| row.developer.as_str()),
            &column(&given, |row| row.day.as_str()),
            &column(&given, |row| row.computed.generation),
            &column(&given, |row| row.computed.version),
            &column(&given, |row| row.computed.body.as_str()),
        ],
    )
    .await?;
    Ok(())
}

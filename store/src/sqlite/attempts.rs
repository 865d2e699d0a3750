//! Rows of `attempts`, and what a dead letter leaves.

use rusqlite::{Connection, OptionalExtension, Row, params};
use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::time::Micros;

use super::Sqlite;
use super::audit::{self, Keep};
use super::{batches, jobs};
use crate::attempts::DeadMessage;
use crate::{Attempt, Attempts, MessageKey, Recovery, StoreError, steps};

const MARK: &str = "INSERT INTO attempts (src, consumer, seq, used, marks, first_at, last_at)
    VALUES (?1, ?2, ?3, 0, 1, ?4, ?4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET marks = marks + 1, last_at = ?4
    RETURNING used, marks, reason, dead_at";
const UNMARK: &str = "UPDATE attempts SET marks = marks - 1
    WHERE src = ?1 AND consumer = ?2 AND seq = ?3 AND marks > 0";
const FAILED: &str =
    "INSERT INTO attempts (src, consumer, seq, used, marks, reason, first_at, last_at)
    VALUES (?1, ?2, ?3, 1, 0, ?5, ?4, ?4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET used = used + 1, reason = ?5, last_at = ?4
    RETURNING used, marks, reason, dead_at";
const DEAD: &str =
    "INSERT INTO attempts (src, consumer, seq, used, marks, reason, first_at, last_at, dead_at)
    VALUES (?1, ?2, ?3, 0, 0, ?5, ?4, ?4, ?4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET dead_at = ?4, reason = ?5, last_at = ?4
      WHERE dead_at IS NULL";
const REMEMBERED: &str = "SELECT used, marks, reason, dead_at FROM attempts
    WHERE src = ?1 AND consumer = ?2 AND seq = ?3";
const TAKEN: &str = "DELETE FROM attempts WHERE src = ?1 AND consumer = ?2 AND seq = ?3
    RETURNING used, marks, reason, dead_at";
const SETTLED: &str = "DELETE FROM attempts WHERE src = ?1 AND consumer = ?2 AND seq = ?3";
const FORGOTTEN: &str = "SELECT 1 FROM developers
    WHERE developer = ?1 AND (tombstone_src, tombstone_seq) >= (?2, ?3)";

impl Attempts for Sqlite {
    async fn state(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let state = move |connection: &Connection| {
            Ok(batches::submission(connection, at)?.map(|one| one.state))
        };
        self.readers.read(state).await
    }

    async fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<Vec<(u64, Attempt)>, StoreError> {
        let remembered = move |connection: &Connection| {
            let mut found = connection.prepare_cached(REMEMBERED)?;
            let mut one = |seq: u64| {
                let row = found
                    .query_row(params![src, consumer, seq as i64], attempt)
                    .optional()?;
                Ok(row.map(|attempt| (seq, attempt)))
            };
            seqs.into_iter()
                .filter_map(|seq| one(seq).transpose())
                .collect()
        };
        self.readers.read(remembered).await
    }

    async fn begin_attempt(&self, key: MessageKey, at: Micros) -> Result<Attempt, StoreError> {
        let mark = move |connection: &Connection| {
            let row = params![key.src, key.consumer, key.seq as i64, at];
            Ok(connection.prepare_cached(MARK)?.query_row(row, attempt)?)
        };
        self.write(mark).await
    }

    async fn clear_attempt(&self, key: MessageKey) -> Result<(), StoreError> {
        let unmark = move |connection: &Connection| {
            connection.prepare_cached(UNMARK)?.execute(params![
                key.src,
                key.consumer,
                key.seq as i64
            ])?;
            Ok(())
        };
        self.write(unmark).await
    }

    async fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> Result<Attempt, StoreError> {
        let failed = move |connection: &Connection| {
            let row = params![key.src, key.consumer, key.seq as i64, at, reason];
            Ok(connection.prepare_cached(FAILED)?.query_row(row, attempt)?)
        };
        self.write(failed).await
    }

    async fn record_dead_letter(
        &self,
        key: MessageKey,
        letter: DeadLetter,
    ) -> Result<(), StoreError> {
        let message = DeadMessage { key, letter };
        self.write(move |connection| dead(connection, &message))
            .await
    }

    async fn record_recovery(&self, recovery: Recovery) -> Result<(), StoreError> {
        self.write(move |connection| recovered(connection, &recovery))
            .await
    }

    async fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<(), StoreError> {
        let settled = move |connection: &Connection| {
            let mut delete = connection.prepare_cached(SETTLED)?;
            for seq in seqs {
                delete.execute(params![src, consumer, seq as i64])?;
            }
            Ok(())
        };
        self.write(settled).await
    }
}

/// Whether the developer was forgotten after this batch.
pub fn is_forgotten(
    connection: &Connection,
    developer: &str,
    at: BatchRef,
) -> Result<bool, StoreError> {
    let own = params![developer, at.src, at.seq as i64];
    Ok(connection.prepare_cached(FORGOTTEN)?.exists(own)?)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        used: row.get(0)?,
        marks: row.get(1)?,
        reason: row.get(2)?,
        dead_at: row.get(3)?,
    })
}

fn dead(connection: &Connection, message: &DeadMessage) -> Result<(), StoreError> {
    let DeadMessage { key, letter } = message;
    let row = params![
        key.src,
        key.consumer,
        key.seq as i64,
        letter.at,
        letter.reason
    ];
    if connection.prepare_cached(DEAD)?.execute(row)? == 0 {
        return Ok(());
    }
    if let Some(failed) = message.job_failed() {
        jobs::fail(connection, &failed)?;
    }
    let place = message.place();
    let known = is_known(
        connection,
        message.is_the_batch(),
        message.developer(),
        place,
    )?;
    audit::append(connection, &[steps::dead(message)], Keep::of(known))
}

fn recovered(connection: &Connection, recovery: &Recovery) -> Result<(), StoreError> {
    let key = params![
        recovery.key.src,
        recovery.key.consumer,
        recovery.key.seq as i64
    ];
    let taken = connection
        .prepare_cached(TAKEN)?
        .query_row(key, attempt)
        .optional()?;
    let Some(failed) = taken.filter(|taken| taken.used > 0 && taken.dead_at.is_none()) else {
        return Ok(());
    };
    let known = is_known(
        connection,
        recovery.job.is_none(),
        &recovery.developer,
        recovery.place(),
    )?;
    audit::append(
        connection,
        &[steps::recovered(recovery, &failed)],
        Keep::of(known),
    )
}

/// Whether the audit may name whose message it is: the batch's own by the tombstone, a job's by its batch.
fn is_known(
    connection: &Connection,
    is_the_batch: bool,
    developer: &str,
    place: BatchRef,
) -> Result<bool, StoreError> {
    if is_the_batch {
        return Ok(!is_forgotten(connection, developer, place)?);
    }
    batches::is_known(connection, place)
}

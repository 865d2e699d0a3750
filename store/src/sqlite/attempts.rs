//! [`Attempts`] in SQLite.

use rusqlite::{Connection, params};
use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::time::Micros;

use super::audit::{self, Keep};
use super::database::Sqlite;
use super::statements::{execute, exists, one};
use super::{batches, jobs};
use crate::attempts::{
    Attempt, Attempts, BEGIN_ATTEMPT, CLEAR_ATTEMPT, DELETE_ATTEMPT, DeadMessage, IS_FORGOTTEN,
    MessageKey, RECORD_DEAD_LETTER, RECORD_FAILURE, Recovery, StoredAttempt,
};
use crate::audit_rows;
use crate::error::StoreError;
use crate::row::state;
use crate::submission::STATE;

const LOAD_ATTEMPT: &str = "SELECT used, guards, reason, dead_at FROM attempts
    WHERE src = ?1 AND consumer = ?2 AND seq = ?3";
const REMOVE_ATTEMPT: &str = "DELETE FROM attempts WHERE src = ?1 AND consumer = ?2 AND seq = ?3";

impl Attempts for Sqlite {
    async fn state(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        self.read(move |connection| {
            let key = params![at.src, at.seq as i64];
            one(connection, STATE.sqlite, key, |row| state(row, 0))
        })
        .await
    }

    async fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<Vec<StoredAttempt>, StoreError> {
        self.read(move |connection| {
            let mut found = Vec::new();
            for seq in seqs {
                let key = params![src, consumer, seq as i64];
                let attempt = one(connection, LOAD_ATTEMPT, key, |row| Attempt::decode(row))?;
                found.extend(attempt.map(|attempt| StoredAttempt { seq, attempt }));
            }
            Ok(found)
        })
        .await
    }

    async fn begin_attempt(&self, key: MessageKey, at: Micros) -> Result<Attempt, StoreError> {
        self.write(move |connection| {
            let row = params![key.src, key.consumer, key.seq as i64, at];
            one(connection, BEGIN_ATTEMPT.sqlite, row, |row| {
                Attempt::decode(row)
            })?
            .ok_or_else(nothing_written)
        })
        .await
    }

    async fn clear_attempt(&self, key: MessageKey) -> Result<(), StoreError> {
        self.write(move |connection| {
            let key = params![key.src, key.consumer, key.seq as i64];
            execute(connection, CLEAR_ATTEMPT.sqlite, key)?;
            Ok(())
        })
        .await
    }

    async fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> Result<Attempt, StoreError> {
        self.write(move |connection| {
            let row = params![key.src, key.consumer, key.seq as i64, at, reason];
            one(connection, RECORD_FAILURE.sqlite, row, |row| {
                Attempt::decode(row)
            })?
            .ok_or_else(nothing_written)
        })
        .await
    }

    async fn record_dead_letter(
        &self,
        key: MessageKey,
        dead_letter: DeadLetter,
    ) -> Result<(), StoreError> {
        let message = DeadMessage { key, dead_letter };
        self.write(move |connection| record_dead_letter(connection, &message))
            .await
    }

    async fn record_recovery(&self, recovery: Recovery) -> Result<(), StoreError> {
        self.write(move |connection| record_recovery(connection, &recovery))
            .await
    }

    async fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            for seq in seqs {
                execute(
                    connection,
                    REMOVE_ATTEMPT,
                    params![src, consumer, seq as i64],
                )?;
            }
            Ok(())
        })
        .await
    }
}

/// Whether the developer was forgotten after this batch.
pub fn is_forgotten(
    connection: &Connection,
    developer: &str,
    at: BatchRef,
) -> Result<bool, StoreError> {
    let key = params![developer, at.src, at.seq as i64];
    exists(connection, IS_FORGOTTEN.sqlite, key)
}

fn record_dead_letter(connection: &Connection, message: &DeadMessage) -> Result<(), StoreError> {
    let DeadMessage { key, dead_letter } = message;
    let row = params![
        key.src,
        key.consumer,
        key.seq as i64,
        dead_letter.at,
        dead_letter.reason
    ];
    if execute(connection, RECORD_DEAD_LETTER.sqlite, row)? == 0 {
        return Ok(());
    }
    if let Some(failed) = message.job_failed() {
        jobs::fail_job(connection, &failed)?;
    }
    let known = if message.is_the_batch() {
        !is_forgotten(connection, message.developer(), message.place())?
    } else {
        batches::is_known(connection, message.place())?
    };
    audit::append(connection, &[audit_rows::dead(message)], Keep::of(known))
}

fn record_recovery(connection: &Connection, recovery: &Recovery) -> Result<(), StoreError> {
    let MessageKey { src, consumer, seq } = &recovery.key;
    let key = params![src, consumer, *seq as i64];
    let removed = one(connection, DELETE_ATTEMPT.sqlite, key, |row| {
        Attempt::decode(row)
    })?;
    let Some(failed) = removed.filter(|attempt| attempt.used > 0 && attempt.dead_at.is_none())
    else {
        return Ok(());
    };
    // The batch's own message is known by the tombstone, a job by its batch.
    let known = if recovery.job.is_none() {
        !is_forgotten(connection, &recovery.developer, recovery.place())?
    } else {
        batches::is_known(connection, recovery.place())?
    };
    audit::append(
        connection,
        &[audit_rows::recovered(recovery, &failed)],
        Keep::of(known),
    )
}

fn nothing_written() -> StoreError {
    StoreError::Failed("the row of an attempt was neither inserted nor updated".to_owned())
}

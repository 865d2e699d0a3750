//! [`Attempts`] in Postgres.

use deadpool_postgres::Transaction;
use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::time::Micros;

use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{Param, column, execute, one, rows};
use super::{audit, batches, jobs};
use crate::attempts::{
    Attempt, Attempts, BEGIN_ATTEMPT, CLEAR_ATTEMPT, DELETE_ATTEMPT, DeadMessage, IS_FORGOTTEN,
    MessageKey, RECORD_DEAD_LETTER, RECORD_FAILURE, Recovery, StoredAttempt,
};
use crate::audit_rows;
use crate::error::StoreError;
use crate::row::{count, state};
use crate::submission::STATE;

const LOAD_ATTEMPTS: &str = "SELECT used, guards, reason, dead_at, seq FROM attempts
    WHERE src = $1 AND consumer = $2 AND seq = ANY($3)";
const REMOVE_ATTEMPTS: &str =
    "DELETE FROM attempts WHERE src = $1 AND consumer = $2 AND seq = ANY($3)";

impl Attempts for Postgres {
    async fn state(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let key: [Param<'_>; 2] = [&at.src, &(at.seq as i64)];
        self.one(STATE.postgres, &key, |row| state(row, 0)).await
    }

    async fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<Vec<StoredAttempt>, StoreError> {
        let seqs = column(&seqs, |seq| *seq as i64);
        self.list(LOAD_ATTEMPTS, &[&src, &consumer, &seqs], |row| {
            Ok(StoredAttempt {
                seq: count(row, 4)?,
                attempt: Attempt::decode(row)?,
            })
        })
        .await
    }

    async fn begin_attempt(&self, key: MessageKey, at: Micros) -> Result<Attempt, StoreError> {
        self.write((key, at), |tx, (key, at)| {
            Box::pin(async move {
                let row: [Param<'_>; 4] = [&key.src, &key.consumer, &(key.seq as i64), at];
                one(tx, BEGIN_ATTEMPT.postgres, &row, Attempt::decode)
                    .await?
                    .ok_or_else(nothing_written)
            })
        })
        .await
    }

    async fn clear_attempt(&self, key: MessageKey) -> Result<(), StoreError> {
        self.write(key, |tx, key| {
            Box::pin(async move {
                let key: [Param<'_>; 3] = [&key.src, &key.consumer, &(key.seq as i64)];
                execute(tx, CLEAR_ATTEMPT.postgres, &key).await?;
                Ok(())
            })
        })
        .await
    }

    async fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> Result<Attempt, StoreError> {
        self.write((key, at, reason), |tx, (key, at, reason)| {
            Box::pin(async move {
                let row: [Param<'_>; 5] = [&key.src, &key.consumer, &(key.seq as i64), at, reason];
                one(tx, RECORD_FAILURE.postgres, &row, Attempt::decode)
                    .await?
                    .ok_or_else(nothing_written)
            })
        })
        .await
    }

    async fn record_dead_letter(
        &self,
        key: MessageKey,
        dead_letter: DeadLetter,
    ) -> Result<(), StoreError> {
        self.write(DeadMessage { key, dead_letter }, |tx, message| {
            Box::pin(record_dead_letter(tx, message))
        })
        .await
    }

    async fn record_recovery(&self, recovery: Recovery) -> Result<(), StoreError> {
        self.write(recovery, |tx, recovery| {
            Box::pin(record_recovery(tx, recovery))
        })
        .await
    }

    async fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<(), StoreError> {
        let seqs = column(&seqs, |seq| *seq as i64);
        self.write((src, consumer, seqs), |tx, (src, consumer, seqs)| {
            Box::pin(async move {
                execute(tx, REMOVE_ATTEMPTS, &[src, consumer, seqs]).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn record_dead_letter(
    tx: &Transaction<'_>,
    message: &DeadMessage,
) -> Result<(), TransactionError> {
    let DeadMessage { key, dead_letter } = message;
    let row: [Param<'_>; 5] = [
        &key.src,
        &key.consumer,
        &(key.seq as i64),
        &dead_letter.at,
        &dead_letter.reason,
    ];
    if execute(tx, RECORD_DEAD_LETTER.postgres, &row).await? == 0 {
        return Ok(());
    }
    if let Some(failed) = message.job_failed() {
        jobs::fail_job(tx, &failed).await?;
    }
    let place = message.place();
    let known = if message.is_the_batch() {
        !is_forgotten(tx, message.developer(), place).await?
    } else {
        batches::is_known(&batches::lock(tx, std::iter::once(place)).await?, place)
    };
    audit::append(tx, &[audit_rows::dead(message)], |_| known).await
}

async fn record_recovery(
    tx: &Transaction<'_>,
    recovery: &Recovery,
) -> Result<(), TransactionError> {
    let MessageKey { src, consumer, seq } = &recovery.key;
    let key: [Param<'_>; 3] = [src, consumer, &(*seq as i64)];
    let removed = one(tx, DELETE_ATTEMPT.postgres, &key, Attempt::decode).await?;
    let Some(failed) = removed.filter(|attempt| attempt.used > 0 && attempt.dead_at.is_none())
    else {
        return Ok(());
    };
    // The batch's own message is known by the tombstone, a job by its batch.
    let place = recovery.place();
    let known = if recovery.job.is_none() {
        !is_forgotten(tx, &recovery.developer, place).await?
    } else {
        batches::is_known(&batches::lock(tx, std::iter::once(place)).await?, place)
    };
    audit::append(tx, &[audit_rows::recovered(recovery, &failed)], |_| known).await
}

/// Whether the developer was forgotten after this batch.
pub async fn is_forgotten(
    tx: &Transaction<'_>,
    developer: &str,
    at: BatchRef,
) -> Result<bool, TransactionError> {
    let key: [Param<'_>; 3] = [&developer, &at.src, &(at.seq as i64)];
    Ok(!rows(tx, IS_FORGOTTEN.postgres, &key).await?.is_empty())
}

fn nothing_written() -> TransactionError {
    StoreError::Failed("the row of an attempt was neither inserted nor updated".to_owned()).into()
}

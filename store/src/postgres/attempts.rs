//! Rows of `attempts`, and what a dead letter leaves.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::time::Micros;

use super::trouble::Trouble;
use super::{Postgres, Work, audit, batches, column, execute, jobs, rows};
use crate::attempts::DeadMessage;
use crate::{Attempt, Attempts, MessageKey, Recovery, StoreError, steps};

const STATE: &str = "SELECT state FROM batches WHERE src = $1 AND seq = $2";
const MARK: &str = "INSERT INTO attempts AS a (src, consumer, seq, used, marks, first_at, last_at)
    VALUES ($1, $2, $3, 0, 1, $4, $4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET marks = a.marks + 1, last_at = $4
    RETURNING used, marks, reason, dead_at";
const UNMARK: &str = "UPDATE attempts SET marks = marks - 1
    WHERE src = $1 AND consumer = $2 AND seq = $3 AND marks > 0";
const FAILED: &str =
    "INSERT INTO attempts AS a (src, consumer, seq, used, marks, reason, first_at, last_at)
    VALUES ($1, $2, $3, 1, 0, $5, $4, $4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET used = a.used + 1, reason = $5, last_at = $4
    RETURNING used, marks, reason, dead_at";
const DEAD: &str = "INSERT INTO attempts AS a
      (src, consumer, seq, used, marks, reason, first_at, last_at, dead_at)
    VALUES ($1, $2, $3, 0, 0, $5, $4, $4, $4)
    ON CONFLICT (src, consumer, seq) DO UPDATE SET dead_at = $4, reason = $5, last_at = $4
      WHERE a.dead_at IS NULL";
const REMEMBERED: &str = "SELECT used, marks, reason, dead_at, seq FROM attempts
    WHERE src = $1 AND consumer = $2 AND seq = ANY($3)";
const TAKEN: &str = "DELETE FROM attempts WHERE src = $1 AND consumer = $2 AND seq = $3
    RETURNING used, marks, reason, dead_at";
const SETTLED: &str = "DELETE FROM attempts WHERE src = $1 AND consumer = $2 AND seq = ANY($3)";
const FORGOTTEN: &str = "SELECT 1 FROM developers
    WHERE developer = $1 AND (tombstone_src, tombstone_seq) >= ($2::bigint, $3::bigint)";

impl Attempts for Postgres {
    async fn state(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let found = self.rows(STATE, &[&at.src, &(at.seq as i64)]).await?;
        Ok(found
            .first()
            .map(|row| batches::state(row, 0))
            .transpose()?)
    }

    async fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<Vec<(u64, Attempt)>, StoreError> {
        let found = self
            .rows(
                REMEMBERED,
                &[&src, &consumer, &column(&seqs, |seq| *seq as i64)],
            )
            .await?;
        let one = |row: &Row| Ok::<_, Trouble>((row.try_get::<_, i64>(4)? as u64, attempt(row)?));
        Ok(found.iter().map(one).collect::<Result<_, _>>()?)
    }

    async fn begin_attempt(&self, key: MessageKey, at: Micros) -> Result<Attempt, StoreError> {
        self.write(Counting {
            key,
            at,
            failed: None,
        })
        .await
    }

    async fn clear_attempt(&self, key: MessageKey) -> Result<(), StoreError> {
        self.write(Unmarking(key)).await
    }

    async fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> Result<Attempt, StoreError> {
        self.write(Counting {
            key,
            at,
            failed: Some(reason),
        })
        .await
    }

    async fn record_dead_letter(
        &self,
        key: MessageKey,
        letter: DeadLetter,
    ) -> Result<(), StoreError> {
        self.write(DeadMessage { key, letter }).await
    }

    async fn record_recovery(&self, recovery: Recovery) -> Result<(), StoreError> {
        self.write(recovery).await
    }

    async fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> Result<(), StoreError> {
        self.write(Settling {
            src,
            consumer,
            seqs: column(&seqs, |seq| *seq as i64),
        })
        .await
    }
}

/// A mark, or a failed attempt with its reason.
struct Counting {
    key: MessageKey,
    at: Micros,
    failed: Option<String>,
}

impl Work for Counting {
    type Done = Attempt;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Attempt, Trouble> {
        let (src, consumer, seq) = (&self.key.src, &self.key.consumer, self.key.seq as i64);
        let counted = match &self.failed {
            None => rows(tx, MARK, &[src, consumer, &seq, &self.at]).await?,
            Some(reason) => rows(tx, FAILED, &[src, consumer, &seq, &self.at, reason]).await?,
        };
        let nothing =
            || StoreError::Failed("the row of an attempt was neither made nor changed".to_owned());
        attempt(counted.first().ok_or_else(nothing)?)
    }
}

fn attempt(row: &Row) -> Result<Attempt, Trouble> {
    let count = |column| Ok::<_, Trouble>(row.try_get::<_, i32>(column)?.unsigned_abs());
    Ok(Attempt {
        used: count(0)?,
        marks: count(1)?,
        reason: row.try_get(2)?,
        dead_at: row.try_get(3)?,
    })
}

struct Unmarking(MessageKey);

impl Work for Unmarking {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        execute(
            tx,
            UNMARK,
            &[&self.0.src, &self.0.consumer, &(self.0.seq as i64)],
        )
        .await?;
        Ok(())
    }
}

struct Settling {
    src: Src,
    consumer: String,
    seqs: Vec<i64>,
}

impl Work for Settling {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        execute(tx, SETTLED, &[&self.src, &self.consumer, &self.seqs]).await?;
        Ok(())
    }
}

impl Work for Recovery {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        let key = &self.key;
        let taken = rows(tx, TAKEN, &[&key.src, &key.consumer, &(key.seq as i64)]).await?;
        let Some(failed) = taken.first().map(attempt).transpose()? else {
            return Ok(());
        };
        if failed.used == 0 || failed.dead_at.is_some() {
            return Ok(());
        }
        let known = is_known(tx, self.job.is_none(), &self.developer, self.place()).await?;
        audit::append(tx, &[steps::recovered(self, &failed)], |_| known).await
    }
}

impl Work for DeadMessage {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        let Self { key, letter } = self;
        let seq = key.seq as i64;
        if execute(
            tx,
            DEAD,
            &[&key.src, &key.consumer, &seq, &letter.at, &letter.reason],
        )
        .await?
            == 0
        {
            return Ok(());
        }
        if let Some(failed) = self.job_failed() {
            jobs::fail(tx, &failed).await?;
        }
        let place = self.place();
        let known = is_known(tx, self.is_the_batch(), self.developer(), place).await?;
        audit::append(tx, &[steps::dead(self)], |_| known).await
    }
}

/// Whether the audit may name whose message it is: the batch's own by the tombstone, a job's by its batch.
async fn is_known(
    tx: &Transaction<'_>,
    is_the_batch: bool,
    developer: &str,
    place: BatchRef,
) -> Result<bool, Trouble> {
    if is_the_batch {
        return Ok(!is_forgotten(tx, developer, place).await?);
    }
    let locked = batches::lock(tx, std::iter::once(place)).await?;
    Ok(locked.get(&place).is_some_and(|batch| batch.is_known))
}

/// Whether the developer was forgotten after this batch.
pub async fn is_forgotten(
    tx: &Transaction<'_>,
    developer: &str,
    at: BatchRef,
) -> Result<bool, Trouble> {
    Ok(
        !rows(tx, FORGOTTEN, &[&developer, &at.src, &(at.seq as i64)])
            .await?
            .is_empty(),
    )
}

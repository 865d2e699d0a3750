//! What administrators decide about dead letters.

use deadpool_postgres::Transaction;
use types::id::BatchRef;

use super::attempts::is_forgotten;
use super::trouble::Trouble;
use super::{Postgres, Work, audit, batches, rows};
use crate::audit::Whose;
use crate::{DeadLetterDecision, DeadLetters, StoreError, steps};

/// Two that write of one letter wait for each other here: the second one finds the row.
const LOCK_SOURCE: &str = "SELECT src FROM sources WHERE src = $1 FOR NO KEY UPDATE";
const WRITTEN: &str = "SELECT 1 FROM audit WHERE id = $1";
const BATCH: &str =
    "SELECT developer, batch_id, correlation_id FROM batches WHERE src = $1 AND seq = $2";
const UNSTORED: &str = "SELECT DISTINCT a.src, a.seq FROM audit a
    WHERE a.src IN (SELECT src FROM sources) AND a.seq = $1
      AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.src = a.src AND b.seq = a.seq)
    ORDER BY a.src LIMIT $2";

impl DeadLetters for Postgres {
    async fn record_decision(&self, decision: DeadLetterDecision) -> Result<bool, StoreError> {
        self.write(decision).await
    }

    async fn unstored(&self, seq: u64, limit: u32) -> Result<Vec<BatchRef>, StoreError> {
        let Ok(seq) = i64::try_from(seq) else {
            return Ok(Vec::new());
        };
        let found = self.rows(UNSTORED, &[&seq, &i64::from(limit)]).await?;
        Ok(found
            .iter()
            .map(batches::batch_ref)
            .collect::<Result<_, _>>()?)
    }
}

impl Work for DeadLetterDecision {
    type Done = bool;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Trouble> {
        rows(tx, LOCK_SOURCE, &[&self.at.src]).await?;
        let batch = rows(tx, BATCH, &[&self.at.src, &(self.at.seq as i64)]).await?;
        if !rows(tx, WRITTEN, &[&self.id().as_bytes().as_slice()])
            .await?
            .is_empty()
        {
            return Ok(!batch.is_empty());
        }
        let claimed = self.developer.as_deref().unwrap_or_default();
        let (whose, is_known) = match batch.first() {
            Some(row) => {
                let developer: &str = row.try_get(0)?;
                let (batch_id, correlation_id) = (row.try_get(1)?, row.try_get(2)?);
                (
                    Whose {
                        developer,
                        batch_id,
                        correlation_id,
                    },
                    !developer.is_empty(),
                )
            }
            None => {
                let whose = Whose {
                    developer: claimed,
                    batch_id: "",
                    correlation_id: "",
                };
                (whose, !is_forgotten(tx, claimed, self.at).await?)
            }
        };
        audit::append(tx, &[steps::decided(self, &whose)], |_| is_known).await?;
        Ok(!batch.is_empty())
    }
}

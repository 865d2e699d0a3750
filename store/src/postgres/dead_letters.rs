//! [`DeadLetters`] in Postgres.

use deadpool_postgres::Transaction;
use types::id::BatchRef;

use super::attempts::is_forgotten;
use super::audit;
use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{Param, one, rows};
use crate::audit::AuditSubject;
use crate::audit_rows;
use crate::dead_letters::{DeadLetterDecision, DeadLetters, IS_RECORDED, UNSTORED};
use crate::error::StoreError;
use crate::row::batch_ref;
use crate::submission::{SUBMISSION, Submission};

/// Two writers about one dead letter wait for each other here: the second one finds the row.
const LOCK_SOURCE: &str = "SELECT src FROM sources WHERE src = $1 FOR NO KEY UPDATE";

impl DeadLetters for Postgres {
    async fn record_decision(&self, decision: DeadLetterDecision) -> Result<bool, StoreError> {
        self.write(decision, |tx, decision| {
            Box::pin(record_decision(tx, decision))
        })
        .await
    }

    async fn unstored(&self, seq: u64, limit: u32) -> Result<Vec<BatchRef>, StoreError> {
        let Ok(seq) = i64::try_from(seq) else {
            return Ok(Vec::new());
        };
        let key: [Param<'_>; 2] = [&seq, &i64::from(limit)];
        self.list(UNSTORED.postgres, &key, |row| batch_ref(row, 0))
            .await
    }
}

async fn record_decision(
    tx: &Transaction<'_>,
    decision: &DeadLetterDecision,
) -> Result<bool, TransactionError> {
    let at = decision.at;
    rows(tx, LOCK_SOURCE, &[&at.src]).await?;
    let key: [Param<'_>; 2] = [&at.src, &(at.seq as i64)];
    let batch = one(tx, SUBMISSION.postgres, &key, Submission::decode)
        .await?
        .filter(|row| decision.is_about(row));
    let id = decision.id();
    let recorded = rows(tx, IS_RECORDED.postgres, &[&id.as_bytes().as_slice()]).await?;
    if !recorded.is_empty() {
        return Ok(batch.is_some());
    }
    let subject = match &batch {
        Some(batch) => AuditSubject::from(batch),
        None => AuditSubject::developer(decision.developer.as_deref().unwrap_or_default()),
    };
    let is_known = match &batch {
        Some(batch) => !batch.developer.is_empty(),
        None => !is_forgotten(tx, subject.developer, at).await?,
    };
    audit::append(tx, &[audit_rows::decided(decision, &subject)], |_| is_known).await?;
    Ok(batch.is_some())
}

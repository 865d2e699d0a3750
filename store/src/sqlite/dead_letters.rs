//! [`DeadLetters`] in SQLite.

use rusqlite::{Connection, params};
use types::id::BatchRef;

use super::attempts::is_forgotten;
use super::audit::{self, Keep};
use super::database::Sqlite;
use super::statements::{exists, list, one};
use crate::audit::AuditSubject;
use crate::audit_rows;
use crate::dead_letters::{DeadLetterDecision, DeadLetters, IS_RECORDED, UNSTORED};
use crate::error::StoreError;
use crate::row::batch_ref;
use crate::submission::{SUBMISSION, Submission};

impl DeadLetters for Sqlite {
    async fn record_decision(&self, decision: DeadLetterDecision) -> Result<bool, StoreError> {
        self.write(move |connection| record_decision(connection, &decision))
            .await
    }

    async fn unstored(&self, seq: u64, limit: u32) -> Result<Vec<BatchRef>, StoreError> {
        let Ok(seq) = i64::try_from(seq) else {
            return Ok(Vec::new());
        };
        self.read(move |connection| {
            let key = params![seq, limit];
            list(connection, UNSTORED.sqlite, key, |row| batch_ref(row, 0))
        })
        .await
    }
}

fn record_decision(
    connection: &Connection,
    decision: &DeadLetterDecision,
) -> Result<bool, StoreError> {
    let at = decision.at;
    let key = params![at.src, at.seq as i64];
    let batch = one(connection, SUBMISSION.sqlite, key, |row| {
        Submission::decode(row)
    })?
    .filter(|row| decision.is_about(row));
    let id = decision.id();
    if exists(connection, IS_RECORDED.sqlite, params![id.as_bytes()])? {
        return Ok(batch.is_some());
    }
    let subject = match &batch {
        Some(batch) => AuditSubject::from(batch),
        None => AuditSubject::developer(decision.developer.as_deref().unwrap_or_default()),
    };
    let is_known = match &batch {
        Some(batch) => !batch.developer.is_empty(),
        None => !is_forgotten(connection, subject.developer, at)?,
    };
    let row = audit_rows::decided(decision, &subject);
    audit::append(connection, &[row], Keep::of(is_known))?;
    Ok(batch.is_some())
}

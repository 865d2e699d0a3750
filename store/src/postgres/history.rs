//! [`History`] from Postgres.

use types::id::BatchRef;
use types::query::ResendNote;

use super::audit;
use super::database::Postgres;
use super::statements::{Param, one};
use crate::audit::AuditSubject;
use crate::audit_rows;
use crate::error::StoreError;
use crate::history::{
    AUDIT, AuditEntry, BATCHES_BY_ALERT, BATCHES_BY_ID, BATCHES_BY_SEQUENCE, Clue, History,
    RESENT_BATCH, ResentBatch,
};
use crate::submission::Submission;

impl History for Postgres {
    async fn find(&self, clue: Clue, limit: u32) -> Result<Vec<Submission>, StoreError> {
        let limit = i64::from(limit);
        let decode = Submission::decode;
        match clue {
            Clue::Id { id, developer } => {
                let key: [Param<'_>; 3] = [&id, &developer, &limit];
                self.list(BATCHES_BY_ID.postgres, &key, decode).await
            }
            Clue::Sequence(seq) => match i64::try_from(seq) {
                Ok(seq) => {
                    let key: [Param<'_>; 2] = [&seq, &limit];
                    self.list(BATCHES_BY_SEQUENCE.postgres, &key, decode).await
                }
                Err(_) => Ok(Vec::new()),
            },
            Clue::Alert(id) => {
                let key: [Param<'_>; 2] = [&id, &limit];
                self.list(BATCHES_BY_ALERT.postgres, &key, decode).await
            }
        }
    }

    async fn audit(&self, at: BatchRef) -> Result<Vec<AuditEntry>, StoreError> {
        let key: [Param<'_>; 2] = [&at.src, &(at.seq as i64)];
        self.list(AUDIT.postgres, &key, AuditEntry::decode).await
    }

    async fn record_resend(&self, note: ResendNote) -> Result<bool, StoreError> {
        self.write(note, |tx, note| {
            Box::pin(async move {
                let incarnation = &note.incarnation;
                let key: [Param<'_>; 4] = [
                    &incarnation.name,
                    &incarnation.created,
                    &(note.seq as i64),
                    &note.message.message_id,
                ];
                let found = one(tx, RESENT_BATCH.postgres, &key, ResentBatch::decode).await?;
                let Some(batch) = found else { return Ok(false) };
                let subject = AuditSubject {
                    developer: &batch.developer,
                    batch_id: &batch.batch_id,
                    correlation_id: &note.correlation_id,
                };
                let row = audit_rows::resent(batch.at, &subject, note.received_at, &note.collector);
                audit::append(tx, &[row], |_| !batch.developer.is_empty()).await?;
                Ok(true)
            })
        })
        .await
    }
}

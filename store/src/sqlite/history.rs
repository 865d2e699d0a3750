//! [`History`] from SQLite.

use rusqlite::params;
use types::id::BatchRef;
use types::query::ResendNote;

use super::audit::{self, Keep};
use super::database::Sqlite;
use super::statements::{list, one};
use crate::audit::AuditSubject;
use crate::audit_rows;
use crate::error::StoreError;
use crate::history::{
    AUDIT, AuditEntry, BATCHES_BY_ALERT, BATCHES_BY_ID, BATCHES_BY_SEQUENCE, Clue, History,
    RESENT_BATCH, ResentBatch,
};
use crate::submission::Submission;

impl History for Sqlite {
    async fn find(&self, clue: Clue, limit: u32) -> Result<Vec<Submission>, StoreError> {
        self.read(move |connection| match clue {
            Clue::Id { id, developer } => {
                let key = params![id, developer, limit];
                list(connection, BATCHES_BY_ID.sqlite, key, |row| {
                    Submission::decode(row)
                })
            }
            Clue::Sequence(seq) => match i64::try_from(seq) {
                Ok(seq) => {
                    let key = params![seq, limit];
                    list(connection, BATCHES_BY_SEQUENCE.sqlite, key, |row| {
                        Submission::decode(row)
                    })
                }
                Err(_) => Ok(Vec::new()),
            },
            Clue::Alert(id) => {
                let key = params![id, limit];
                list(connection, BATCHES_BY_ALERT.sqlite, key, |row| {
                    Submission::decode(row)
                })
            }
        })
        .await
    }

    async fn audit(&self, at: BatchRef) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |connection| {
            let key = params![at.src, at.seq as i64];
            list(connection, AUDIT.sqlite, key, |row| AuditEntry::decode(row))
        })
        .await
    }

    async fn record_resend(&self, note: ResendNote) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let key = params![
                note.incarnation.name,
                note.incarnation.created,
                note.seq as i64,
                note.message.message_id
            ];
            let found = one(connection, RESENT_BATCH.sqlite, key, |row| {
                ResentBatch::decode(row)
            })?;
            let Some(batch) = found else { return Ok(false) };
            let subject = AuditSubject {
                developer: &batch.developer,
                batch_id: &batch.batch_id,
                correlation_id: &note.correlation_id,
            };
            let row = audit_rows::resent(batch.at, &subject, note.received_at, &note.collector);
            audit::append(connection, &[row], Keep::of(!batch.developer.is_empty()))?;
            Ok(true)
        })
        .await
    }
}

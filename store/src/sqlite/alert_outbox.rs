//! [`AlertOutbox`] in SQLite.

use rusqlite::params;

use super::database::Sqlite;
use super::statements::{execute, list};
use crate::alert_outbox::{AlertOutbox, AlertRevision, PublishedRevision, UNPUBLISHED};
use crate::error::StoreError;

const MARK_PUBLISHED: &str =
    "UPDATE alerts SET published = ?2 WHERE alert_id = ?1 AND published < ?2";

impl AlertOutbox for Sqlite {
    async fn unpublished(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        self.read(move |connection| {
            list(connection, UNPUBLISHED.sqlite, [limit], |row| {
                AlertRevision::decode(row)
            })
        })
        .await
    }

    async fn mark_published(
        &self,
        mut revisions: Vec<PublishedRevision>,
    ) -> Result<(), StoreError> {
        revisions.sort_unstable();
        self.write(move |connection| {
            for PublishedRevision { alert_id, revision } in &revisions {
                execute(connection, MARK_PUBLISHED, params![alert_id, revision])?;
            }
            Ok(())
        })
        .await
    }
}

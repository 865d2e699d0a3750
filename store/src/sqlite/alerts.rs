//! Publishing alerts: a row with `published < revision` is the outbox.

use rusqlite::{Row, params};

use super::Sqlite;
use crate::{AlertOutbox, AlertRevision, StoreError};

const UNPUBLISHED: &str =
    "SELECT alert_id, revision, developer, severity, state, push, body, correlation_id FROM alerts
    WHERE published < revision ORDER BY src, seq, alert_id LIMIT ?1";
const PUBLISHED: &str = "UPDATE alerts SET published = ?2 WHERE alert_id = ?1 AND published < ?2";

impl AlertOutbox for Sqlite {
    async fn unpublished(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(UNPUBLISHED)?;
                let rows = statement.query_map([limit], revision)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn mark_published(&self, mut revisions: Vec<(String, i64)>) -> Result<(), StoreError> {
        revisions.sort_unstable();
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(PUBLISHED)?;
            for (alert_id, revision) in &revisions {
                statement.execute(params![alert_id, revision])?;
            }
            Ok(())
        })
        .await
    }
}

fn revision(row: &Row<'_>) -> rusqlite::Result<AlertRevision> {
    Ok(AlertRevision {
        alert_id: row.get(0)?,
        revision: row.get(1)?,
        developer: row.get(2)?,
        severity: row.get(3)?,
        state: row.get(4)?,
        push: row.get(5)?,
        body: row.get(6)?,
        correlation_id: row.get(7)?,
    })
}

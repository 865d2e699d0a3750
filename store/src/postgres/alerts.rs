//! Publishing alerts: a row with `published < revision` is the outbox.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::trouble::Trouble;
use super::{Postgres, Work, column, execute};
use crate::{AlertOutbox, AlertRevision, StoreError};

const UNPUBLISHED: &str =
    "SELECT alert_id, revision, developer, severity, state, push, body, correlation_id FROM alerts
    WHERE published < revision ORDER BY src, seq, alert_id LIMIT $1";
/// Locked by key before they are changed, as T3 does.
const LOCK: &str =
    "SELECT alert_id FROM alerts WHERE alert_id = ANY($1) ORDER BY alert_id FOR NO KEY UPDATE";
const PUBLISHED: &str = "UPDATE alerts a SET published = u.revision
    FROM unnest($1::text[], $2::bigint[]) u (alert_id, revision)
    WHERE a.alert_id = u.alert_id AND a.published < u.revision";

impl AlertOutbox for Postgres {
    async fn unpublished(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        let rows = self.rows(UNPUBLISHED, &[&i64::from(limit)]).await?;
        Ok(rows.iter().map(revision).collect::<Result<_, _>>()?)
    }

    async fn mark_published(&self, revisions: Vec<(String, i64)>) -> Result<(), StoreError> {
        let mut latest: BTreeMap<String, i64> = BTreeMap::new();
        for (alert, revision) in revisions {
            let known = latest.entry(alert).or_insert(revision);
            *known = revision.max(*known);
        }
        self.write(Published(latest.into_iter().collect())).await
    }
}

/// Alerts by id, each with its highest published revision.
struct Published(Vec<(String, i64)>);

impl Work for Published {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        let ids = column(&self.0, |(alert, _)| alert.as_str());
        execute(tx, LOCK, &[&ids]).await?;
        execute(
            tx,
            PUBLISHED,
            &[&ids, &column(&self.0, |(_, revision)| *revision)],
        )
        .await?;
        Ok(())
    }
}

fn revision(row: &Row) -> Result<AlertRevision, Trouble> {
    Ok(AlertRevision {
        alert_id: row.try_get(0)?,
        revision: row.try_get(1)?,
        developer: row.try_get(2)?,
        severity: row.try_get(3)?,
        state: row.try_get(4)?,
        push: row.try_get::<_, i32>(5)? != 0,
        body: row.try_get(6)?,
        correlation_id: row.try_get(7)?,
    })
}

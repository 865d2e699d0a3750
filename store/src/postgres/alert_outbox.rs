//! [`AlertOutbox`] in Postgres.

use std::collections::BTreeMap;

use super::database::Postgres;
use super::statements::execute;
use crate::alert_outbox::{AlertOutbox, AlertRevision, PublishedRevision, UNPUBLISHED};
use crate::error::StoreError;

/// Locked by key before they are changed, as `finish_jobs` does.
const LOCK: &str =
    "SELECT alert_id FROM alerts WHERE alert_id = ANY($1) ORDER BY alert_id FOR NO KEY UPDATE";
const MARK_PUBLISHED: &str = "UPDATE alerts a SET published = u.revision
    FROM unnest($1::text[], $2::bigint[]) u (alert_id, revision)
    WHERE a.alert_id = u.alert_id AND a.published < u.revision";

impl AlertOutbox for Postgres {
    async fn unpublished(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        let limit = i64::from(limit);
        self.list(UNPUBLISHED.postgres, &[&limit], AlertRevision::decode)
            .await
    }

    async fn mark_published(&self, revisions: Vec<PublishedRevision>) -> Result<(), StoreError> {
        let mut latest: BTreeMap<String, i64> = BTreeMap::new();
        for PublishedRevision { alert_id, revision } in revisions {
            let known = latest.entry(alert_id).or_insert(revision);
            *known = revision.max(*known);
        }
        let columns: (Vec<String>, Vec<i64>) = latest.into_iter().unzip();
        self.write(columns, |tx, (alert_ids, revisions)| {
            Box::pin(async move {
                execute(tx, LOCK, &[alert_ids]).await?;
                execute(tx, MARK_PUBLISHED, &[alert_ids, revisions]).await?;
                Ok(())
            })
        })
        .await
    }
}

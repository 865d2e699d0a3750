//! [`Listings`] from Postgres.

use super::database::Postgres;
use super::statements::Param;
use crate::error::StoreError;
use crate::listings::{ALERT, KNOWN_DEVELOPERS, Listings, NEWEST_EVENTS};
use crate::query_reads::StoredAlert;
use crate::row::Row;
use crate::snapshot::StoredEvent;

impl Listings for Postgres {
    async fn known_developers(&self) -> Result<Vec<String>, StoreError> {
        self.list(KNOWN_DEVELOPERS.postgres, &[], |row| row.value(0))
            .await
    }

    async fn newest_events(
        &self,
        developer: String,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let key: [Param<'_>; 2] = [&developer, &i64::from(limit)];
        self.list(NEWEST_EVENTS.postgres, &key, StoredEvent::decode)
            .await
    }

    async fn alert(&self, alert_id: String) -> Result<Option<StoredAlert>, StoreError> {
        let found = self
            .list(ALERT.postgres, &[&alert_id], StoredAlert::decode)
            .await?;
        Ok(found.into_iter().next())
    }
}

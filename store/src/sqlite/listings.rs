//! [`Listings`] from SQLite.

use rusqlite::params;

use super::database::Sqlite;
use super::statements::{list, one};
use crate::error::StoreError;
use crate::listings::{ALERT, KNOWN_DEVELOPERS, Listings, NEWEST_EVENTS};
use crate::query_reads::StoredAlert;
use crate::row::Row;
use crate::snapshot::StoredEvent;

impl Listings for Sqlite {
    async fn known_developers(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| list(connection, KNOWN_DEVELOPERS.sqlite, [], |row| row.value(0)))
            .await
    }

    async fn newest_events(
        &self,
        developer: String,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(move |connection| {
            let key = params![developer, limit];
            list(connection, NEWEST_EVENTS.sqlite, key, |row| {
                StoredEvent::decode(row)
            })
        })
        .await
    }

    async fn alert(&self, alert_id: String) -> Result<Option<StoredAlert>, StoreError> {
        self.read(move |connection| {
            one(connection, ALERT.sqlite, [alert_id], |row| {
                StoredAlert::decode(row)
            })
        })
        .await
    }
}

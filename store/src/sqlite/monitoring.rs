//! [`Monitoring`] of SQLite.

use types::time::Micros;

use super::database::Sqlite;
use super::statements::one;
use crate::error::StoreError;
use crate::monitoring::{Monitoring, OVERDUE, Overdue};

impl Monitoring for Sqlite {
    async fn overdue(&self, before: Micros) -> Result<Option<Overdue>, StoreError> {
        self.read(move |connection| {
            one(connection, OVERDUE.sqlite, [before], |row| {
                Overdue::decode(row)
            })
        })
        .await
    }
}

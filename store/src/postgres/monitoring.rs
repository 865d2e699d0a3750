//! [`Monitoring`] of Postgres.

use types::time::Micros;

use super::database::Postgres;
use crate::error::StoreError;
use crate::monitoring::{Monitoring, OVERDUE, Overdue};

impl Monitoring for Postgres {
    async fn overdue(&self, before: Micros) -> Result<Option<Overdue>, StoreError> {
        self.one(OVERDUE.postgres, &[&before], Overdue::decode)
            .await
    }
}

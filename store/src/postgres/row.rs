//! [`Row`] for Postgres.

use tokio_postgres::types::FromSql;

use super::error::TransactionError;
use crate::error::StoreError;
use crate::row::Row;

impl Row for tokio_postgres::Row {
    fn value<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: rusqlite::types::FromSql + FromSql<'r>,
    {
        Ok(self.try_get(column).map_err(TransactionError::from)?)
    }

    fn text(&self, column: usize) -> Result<&str, StoreError> {
        Ok(self.try_get(column).map_err(TransactionError::from)?)
    }

    fn bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        Ok(self.try_get(column).map_err(TransactionError::from)?)
    }
}

//! [`Row`] for SQLite.

use rusqlite::types::FromSql;

use crate::error::StoreError;
use crate::row::Row;

impl Row for rusqlite::Row<'_> {
    fn value<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: FromSql + tokio_postgres::types::FromSql<'r>,
    {
        Ok(self.get(column)?)
    }

    fn text(&self, column: usize) -> Result<&str, StoreError> {
        let value = self.get_ref(column)?.as_str();
        value.map_err(|error| StoreError::Failed(format!("column {column}: {error}")))
    }

    fn bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        let value = self.get_ref(column)?.as_blob();
        value.map_err(|error| StoreError::Failed(format!("column {column}: {error}")))
    }
}

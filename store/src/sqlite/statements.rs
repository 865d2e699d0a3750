//! Running prepared statements: each is prepared once for each connection.

use rusqlite::{CachedStatement, Connection, Params, Row, ToSql};

use crate::error::StoreError;

/// Runs a statement; gives how many rows it changed.
pub fn execute(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// All rows, decoded.
pub fn list<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    decode: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_and_then(params, decode)?.collect()
}

/// The first row, decoded.
pub fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    decode: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(decode).transpose()
}

/// Whether there is a row.
pub fn exists(connection: &Connection, sql: &str, params: impl Params) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(sql)?.exists(params)?)
}

/// Ten rows for a `VALUES`. A statement for many rows costs less a row than one for each.
macro_rules! ten_rows {
    ($row:expr) => {
        concat!(
            $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",",
            $row, ",", $row
        )
    };
}
pub(crate) use ten_rows;

/// The values of a statement whose rows are given one after the other.
pub struct BoundRows<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    bound: usize,
}

impl<'s, 'c> BoundRows<'s, 'c> {
    /// Of a statement to which nothing is bound yet.
    pub fn of(statement: &'s mut CachedStatement<'c>) -> Self {
        Self {
            statement,
            bound: 0,
        }
    }

    /// Binds the values of the next row.
    pub fn bind(&mut self, row: &[&dyn ToSql]) -> Result<(), StoreError> {
        for value in row {
            self.bound += 1;
            self.statement.raw_bind_parameter(self.bound, value)?;
        }
        Ok(())
    }

    /// Runs the statement; gives how many rows it changed.
    pub fn execute(self) -> Result<usize, StoreError> {
        Ok(self.statement.raw_execute()?)
    }
}

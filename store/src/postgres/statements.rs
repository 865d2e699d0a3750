//! Running prepared statements in a transaction: each is prepared once for each session.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::TransactionError;
use crate::error::StoreError;

/// A value bound to a `$n` of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);
/// The values of a statement, by number.
pub type Params<'a> = [Param<'a>];

/// Runs a statement; gives its rows.
pub async fn rows(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
) -> Result<Vec<Row>, TransactionError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query(&statement, params).await?)
}

/// Runs a statement; gives how many rows it changed.
pub async fn execute(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
) -> Result<u64, TransactionError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, params).await?)
}

/// All rows, decoded.
pub async fn list<T>(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
    decode: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, TransactionError> {
    let found = rows(transaction, sql, params).await?;
    Ok(found.iter().map(decode).collect::<Result<_, _>>()?)
}

/// The first row, decoded.
pub async fn one<T>(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
    decode: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Option<T>, TransactionError> {
    let found = rows(transaction, sql, params).await?;
    Ok(found.first().map(decode).transpose()?)
}

/// One column of many rows: statements get their rows as an array a column.
pub fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

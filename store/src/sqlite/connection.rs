//! Connections to the file.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::StoreError;

/// If the file is no database, no other error about it helps.
pub fn expect_database(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let version: rusqlite::Result<i64> =
        connection.pragma_query_value(None, "schema_version", |row| row.get(0));
    match version {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(StoreError::Incompatible(format!(
                "{} cannot be used as database: it is no SQLite file, or a damaged one. Put its backup back, or name \
                 another folder or database.",
                path.display()
            )))
        }
        // Other errors are reported by whoever uses it.
        _ => Ok(()),
    }
}

/// The pages of the database that a writing connection keeps in memory, in KiB.
pub const SQLITE_CACHE_KIB: i64 = 48 * 1024;

/// FULL: a commit is on disk (R2.3). Checkpoints are the writer's, off the path of a commit. What a savepoint keeps, to
/// undo one work of a turn, stays in memory: it never needs to outlive the process.
pub fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -SQLITE_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    plan_once(connection)?;
    Ok(())
}

/// A statement is planned once, whatever values are bound to it later
/// ([QPSG](https://sqlite.org/queryplanner-ng.html#qpsg)). Else SQLite plans many statements again whenever one of
/// their values changes, such as a limit: 11,000 times a second in a storm of resends.
fn plan_once(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Opens `path` for reading only.
pub fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        StoreError::Unavailable(format!(
            "the database {} cannot be read: {error}",
            path.display()
        ))
    })?;
    connection.busy_timeout(Duration::from_secs(5))?;
    plan_once(&connection)?;
    expect_database(&connection, path)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound_to_it() {
        let connection = Connection::open_in_memory().unwrap();
        configure(&connection).unwrap();
        connection
            .execute_batch("CREATE TABLE one (n INTEGER)")
            .unwrap();
        let planned_again = |limit: i64| {
            let mut statement = connection
                .prepare_cached("SELECT n FROM one ORDER BY n LIMIT ?1")
                .unwrap();
            assert!(!statement.exists([limit]).unwrap());
            statement.get_status(StatementStatus::RePrepare)
        };
        assert_eq!([1, 10, 100].map(planned_again), [0, 0, 0]);
    }
}

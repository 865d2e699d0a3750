//! What an error of SQLite means.

use rusqlite::ErrorCode;

use crate::error::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable(error.to_string()),
            Some(
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::PermissionDenied,
            ) => Self::Incompatible(unusable(&error)),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::Refused(error.to_string())
            }
            _ if is_half_restored(&error) => Self::Incompatible(unusable(&error)),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What an administrator has to fix.
fn unusable(error: &rusqlite::Error) -> String {
    format!(
        "The database file is damaged, not whole, or closed to this program: {error}. Stop the program, put a whole \
         backup back or give its user access to the file, and start it again."
    )
}

/// SQLite has no code of its own for a table or a column that is not there.
fn is_half_restored(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    ["no such table", "no such column"]
        .iter()
        .any(|what| text.starts_with(what))
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, ffi};

    use super::*;

    #[test]
    fn an_error_says_who_can_fix_it() {
        let of =
            |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let transient = [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_PROTOCOL,
        ];
        assert!(
            transient
                .iter()
                .all(|code| matches!(of(*code), StoreError::Unavailable(_)))
        );
        let administrator = [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_PERM];
        assert!(administrator.iter().all(|code| {
            matches!(of(*code), StoreError::Incompatible(text) if text.contains("put a whole backup back"))
        }));
        assert!(matches!(of(ffi::SQLITE_CONSTRAINT), StoreError::Refused(_)));
        assert!(matches!(of(ffi::SQLITE_MISUSE), StoreError::Failed(_)));
        let connection = Connection::open_in_memory().unwrap();
        let missing = |sql| StoreError::from(connection.prepare(sql).err().unwrap());
        connection
            .execute_batch("CREATE TABLE one (n INTEGER)")
            .unwrap();
        for sql in ["SELECT n FROM two", "SELECT m FROM one"] {
            assert!(
                matches!(missing(sql), StoreError::Incompatible(_)),
                "{sql}: {}",
                missing(sql)
            );
        }
        assert!(matches!(missing("SELEC 1"), StoreError::Failed(_)));
    }
}

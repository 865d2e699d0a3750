//! SQLite: one file, one writer that groups everyone's statements, readers on their own connections.

mod alerts;
mod answers;
mod attempts;
mod audit;
mod batches;
mod checkpoint;
mod dead;
mod history;
mod jobs;
mod outbox;
mod overdue;
mod persist;
mod quarantine;
mod read;
mod readers;
mod retention;
mod writer;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::migrations::{self, misfit, tell};
use readers::Readers;
use writer::Writer;

const HAS_HISTORY: &str =
    "SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'";
const VERSION: &str = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The store in one SQLite file. Cheap to clone; all clones share the writer.
#[derive(Clone)]
pub struct Sqlite {
    /// `None` where the file was opened for reading only.
    writer: Option<Writer>,
    readers: Readers,
}

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
            ) => Self::Incompatible(unfit(&error)),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::Refused(error.to_string())
            }
            _ if is_half_restored(&error) => Self::Incompatible(unfit(&error)),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What an administrator has to mend.
fn unfit(error: &rusqlite::Error) -> String {
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

impl Sqlite {
    /// Opens or makes the database at `path`, brings it up to this program's version, and starts
    /// its writer thread.
    ///
    /// # Errors
    /// Where the file cannot be opened, or a newer program made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |error: StoreError| {
            StoreError::Unavailable(format!(
                "{} cannot be used as database: {error}",
                path.display()
            ))
        };
        let mut connection = Connection::open(path).map_err(|error| unusable(error.into()))?;
        expect_database(&connection, path)?;
        configure(&connection).map_err(unusable)?;
        migrate(&mut connection, path)?;
        let writer = Some(Writer::start(connection, path)?);
        Ok(Self {
            writer,
            readers: Readers::open(path)?,
        })
    }

    /// Opens the database at `path` for reading, beside the process that writes it.
    ///
    /// # Errors
    /// Where there is none, it cannot be read, or it is of another version than this program's.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        check(&open_read_only(path)?, path)?;
        Ok(Self {
            writer: None,
            readers: Readers::open(path)?,
        })
    }

    /// Runs `write` in the writer's next transaction; answers when that is committed.
    async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(write).await,
            None => Err(StoreError::Failed(
                "the database was opened for reading only".to_owned(),
            )),
        }
    }
}

/// Where the file is no database, nothing else said of it helps.
fn expect_database(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let looked: rusqlite::Result<i64> =
        connection.pragma_query_value(None, "schema_version", |row| row.get(0));
    match looked {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(StoreError::Incompatible(format!(
                "{} cannot be used as database: it is no SQLite file, or a damaged one. Put its backup back, or name \
                 another folder or database.",
                path.display()
            )))
        }
        // What else is wrong is said by whoever uses it.
        _ => Ok(()),
    }
}

/// FULL: a commit is on disk (R2.3). Checkpoints are the writer's, off the path of a commit.
fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    // refinery does not keep two programs from migrating at once; the writer's lock file does.
    let report = runner.run(connection).map_err(|error| {
        migrations::incompatible(&path.display(), &misfit(error.kind()), &runner)
    })?;
    tell(&report);
    Ok(())
}

/// Looks whether the database fits this program, and changes nothing.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = if number(HAS_HISTORY)? == 0 {
        0
    } else {
        number(VERSION)?
    };
    migrations::fits(&path.display(), version, &embedded::migrations::runner())
}

/// Opens `path` for reading only.
fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        StoreError::Unavailable(format!(
            "the database {} cannot be read: {error}",
            path.display()
        ))
    })?;
    connection.busy_timeout(Duration::from_secs(5))?;
    expect_database(&connection, path)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn an_error_says_who_can_mend_it() {
        let of =
            |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let surroundings = [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_PROTOCOL,
        ];
        assert!(
            surroundings
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

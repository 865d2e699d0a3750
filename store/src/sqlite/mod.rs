//! SQLite: one file, one writer that groups everyone's statements, readers on their own connections.

mod alerts;
mod answers;
mod audit;
mod batches;
mod checkpoint;
mod history;
mod jobs;
mod outbox;
mod persist;
mod quarantine;
mod read;
mod readers;
mod writer;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use readers::Readers;
use writer::Writer;

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
                | ErrorCode::ReadOnly,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl Sqlite {
    /// Opens or makes the database at `path`, brings it up to this program's version, and starts
    /// its writer thread.
    ///
    /// # Errors
    /// Where the file cannot be opened, or a newer program made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |error: StoreError| {
            StoreError::Unavailable(format!("{} cannot be used as database: {error}", path.display()))
        };
        let mut connection = Connection::open(path).map_err(|error| unusable(error.into()))?;
        configure(&connection).map_err(unusable)?;
        migrate(&mut connection, path)?;
        let writer = Some(Writer::start(connection, path)?);
        Ok(Self { writer, readers: Readers::open(path)? })
    }

    /// Opens the database at `path` for reading, beside the process that writes it.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { writer: None, readers: Readers::open(path)? })
    }

    /// Runs `write` in the writer's next transaction; answers when that is committed.
    async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(write).await,
            None => Err(StoreError::Failed("the database was opened for reading only".to_owned())),
        }
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
    let newest =
        runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or_default();
    // refinery does not keep two programs from migrating at once; the writer's lock file does.
    let report = runner.run(connection).map_err(|error| {
        StoreError::Incompatible(format!(
            "The database {} does not fit this program, which knows version {newest}: {error}. \
             Start the program that made it, or a newer one.",
            path.display()
        ))
    })?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "database migrated");
    }
    Ok(())
}

/// Opens `path` for reading only.
fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        StoreError::Unavailable(format!("the database {} cannot be read: {error}", path.display()))
    })?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

//! The store in one SQLite file.

use std::path::Path;

use rusqlite::Connection;

use super::connection::{configure, expect_database, open_read_only};
use super::readers::Readers;
use super::statements::list;
use super::writer::Writer;
use crate::error::StoreError;
use crate::schema::{self, APPLIED_MIGRATIONS, AppliedMigration};

const HAS_HISTORY: &str =
    "SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'";

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The store in one SQLite file. Cheap to clone; all clones share the writer.
#[derive(Clone)]
pub struct Sqlite {
    /// `None` if the file was opened for reading only.
    writer: Option<Writer>,
    readers: Readers,
}

impl Sqlite {
    /// Opens or makes the database at `path`, and starts its writer thread.
    ///
    /// # Errors
    /// Returns `StoreError::Unavailable` if the file cannot be opened, and `StoreError::Incompatible` if it has another
    /// shape than this program needs or is no database.
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
    /// Returns `StoreError::Unavailable` if there is none or it cannot be read, and `StoreError::Incompatible` if it
    /// has another shape than this program needs.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        check(&open_read_only(path)?, path)?;
        Ok(Self {
            writer: None,
            readers: Readers::open(path)?,
        })
    }

    /// Runs `read` in one snapshot.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.readers.read(read).await
    }

    /// Runs `write` in the writer's next transaction; answers when that is committed.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
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

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    let name = path.display();
    schema::expect_empty_or_ours(&name, &applied(connection)?, &runner)?;
    // refinery does not keep two programs from migrating at once; the writer's lock file does.
    let report = runner.run(connection);
    let report = report.map_err(|error| schema::incompatible(&name, &error.kind().to_string()))?;
    schema::log_report(&report);
    Ok(())
}

/// Checks whether the database fits this program, and changes nothing.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    schema::expect_ours(&path.display(), &applied(connection)?, &runner)
}

fn applied(connection: &Connection) -> Result<Vec<AppliedMigration>, StoreError> {
    let has_history: i64 = connection.query_row(HAS_HISTORY, [], |row| row.get(0))?;
    if has_history == 0 {
        return Ok(Vec::new());
    }
    let sql = APPLIED_MIGRATIONS.sqlite;
    list(connection, sql, [], |row| AppliedMigration::decode(row))
}

//! Whether a database has the shape that this program needs, the same for both engines.

use std::fmt::Display;

use refinery::{Report, Runner};

use crate::error::StoreError;
use crate::row::Row;
use crate::sql::shared_sql;

shared_sql! {
    /// What refinery recorded; the table is there as soon as a program began to make the database.
    APPLIED_MIGRATIONS =
        "SELECT CAST(version AS bigint), name, checksum FROM refinery_schema_history ORDER BY version";
}

/// A migration that made a part of a database.
#[derive(Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    version: i64,
    name: String,
    checksum: String,
}

impl AppliedMigration {
    /// From the columns of [`APPLIED_MIGRATIONS`].
    pub fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.value(0)?,
            name: row.value(1)?,
            checksum: row.value(2)?,
        })
    }
}

/// Expects that the database is empty or was made by exactly this program's migrations.
///
/// # Errors
/// Returns `StoreError::Incompatible` if it has another shape.
pub fn expect_empty_or_ours(
    database: &impl Display,
    applied: &[AppliedMigration],
    runner: &Runner,
) -> Result<(), StoreError> {
    let ours = runner.get_migrations().iter();
    let ours: Vec<_> = ours
        .map(|migration| AppliedMigration {
            version: i64::from(migration.version()),
            name: migration.name().to_owned(),
            checksum: migration.checksum().to_string(),
        })
        .collect();
    if applied.is_empty() || applied == ours {
        return Ok(());
    }
    let names = applied
        .iter()
        .map(|migration| format!("V{}__{}", migration.version, migration.name));
    let reason = format!("it was made by {}", names.collect::<Vec<_>>().join(", "));
    Err(incompatible(database, &reason))
}

/// The same for a program that only reads: the database must be there.
///
/// # Errors
/// Returns `StoreError::Incompatible` if it is empty or has another shape.
pub fn expect_ours(
    database: &impl Display,
    applied: &[AppliedMigration],
    runner: &Runner,
) -> Result<(), StoreError> {
    if applied.is_empty() {
        return Err(StoreError::Incompatible(format!(
            "The database {database} has no tables of this program. Start the workers: they make them."
        )));
    }
    expect_empty_or_ours(database, applied, runner)
}

/// The error of a database that this program must not touch.
pub fn incompatible(database: &impl Display, reason: &str) -> StoreError {
    StoreError::Incompatible(format!(
        "The database {database} has another shape than this program needs: {reason}. Start the program that made it, \
         or rebuild it from the stream: let an empty database take over with `devtrail streams adopt`, and start the \
         workers on it, which read EVENTS again."
    ))
}

/// Logs what was done.
pub fn log_report(report: &Report) {
    for migration in report.applied_migrations() {
        tracing::debug!(%migration, "database made");
    }
}

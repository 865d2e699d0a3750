//! What is said of migrations, the same for both engines.

use std::fmt::Display;

use refinery::error::Kind;
use refinery::{Report, Runner};

use crate::StoreError;

/// Whether a database of `version` is one that this program reads.
pub fn fits(database: &impl Display, version: i64, runner: &Runner) -> Result<(), StoreError> {
    let newest = newest(runner);
    if version == newest {
        return Ok(());
    }
    if version > newest {
        let reason = format!("a newer program brought it to version {version}");
        return Err(incompatible(database, &reason, runner));
    }
    Err(StoreError::Incompatible(format!(
        "The database {database} has version {version}, this program needs {newest}. Start the workers of this \
         program's version: they bring it up to date."
    )))
}

/// The error of a database that this program must not touch.
pub fn incompatible(database: &impl Display, reason: &str, runner: &Runner) -> StoreError {
    StoreError::Incompatible(format!(
        "The database {database} does not fit this program, which knows version {}: {reason}. Start the program \
         that made it, or a newer one.",
        newest(runner)
    ))
}

fn newest(runner: &Runner) -> i64 {
    runner
        .get_migrations()
        .iter()
        .map(|migration| i64::from(migration.version()))
        .max()
        .unwrap_or_default()
}

/// Why a database does not fit this program.
pub fn misfit(kind: &Kind) -> String {
    match kind {
        Kind::MissingVersion(newer) => {
            format!(
                "a newer program brought it to version {} ({})",
                newer.version(),
                newer.name()
            )
        }
        Kind::DivergentVersion(..) => format!("another program made it: {kind}"),
        _ => kind.to_string(),
    }
}

/// Logs what was done: an upgrade is news, making a database is not.
pub fn tell(report: &Report) {
    let is_new = report
        .applied_migrations()
        .iter()
        .any(|migration| migration.version() == 1);
    for migration in report.applied_migrations() {
        if is_new {
            tracing::debug!(%migration, "database made");
        } else {
            tracing::info!(%migration, "database migrated");
        }
    }
}

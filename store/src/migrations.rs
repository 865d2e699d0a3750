//! What is said of migrations, the same for both engines.

use refinery::Report;
use refinery::error::Kind;

/// Why a database does not fit this program.
pub fn misfit(kind: &Kind) -> String {
    match kind {
        Kind::MissingVersion(newer) => {
            format!("a newer program brought it to version {} ({})", newer.version(), newer.name())
        }
        Kind::DivergentVersion(..) => format!("another program made it: {kind}"),
        _ => kind.to_string(),
    }
}

/// Logs what was done: an upgrade is news, making a database is not.
pub fn tell(report: &Report) {
    let is_new = report.applied_migrations().iter().any(|migration| migration.version() == 1);
    for migration in report.applied_migrations() {
        if is_new {
            tracing::debug!(%migration, "database made");
        } else {
            tracing::info!(%migration, "database migrated");
        }
    }
}

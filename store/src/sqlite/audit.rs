//! Audit rows into their two tables, in the transaction of the step they describe.

use rusqlite::{Connection, params};

use crate::audit::AuditRow;
use crate::error::StoreError;

const INSERT_SKELETON: &str = "INSERT INTO audit
    (id, time, step, outcome, actor, src, seq, replay_id, shared, personal_hash, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const INSERT_PERSONAL: &str = "INSERT INTO audit_personal
    (id, salt, developer, batch_id, event_id, correlation_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Which parts of the rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Both.
    All,
    /// The skeleton alone: the developer is forgotten.
    Skeleton,
}

impl Keep {
    /// The person is kept only if the batch is known: else its developer is forgotten, and a job
    /// message that still names one must not bring the name back.
    pub fn of(is_known: bool) -> Self {
        if is_known { Self::All } else { Self::Skeleton }
    }
}

/// Appends the rows.
pub fn append(connection: &Connection, rows: &[AuditRow], keep: Keep) -> Result<(), StoreError> {
    let mut skeletons = connection.prepare_cached(INSERT_SKELETON)?;
    let mut personal = connection.prepare_cached(INSERT_PERSONAL)?;
    for row in rows {
        let skeleton = &row.skeleton;
        let person = &row.personal;
        skeletons.execute(params![
            skeleton.id.as_bytes(),
            skeleton.time,
            skeleton.step.as_str(),
            skeleton.outcome,
            skeleton.actor,
            skeleton.src,
            skeleton.seq as i64,
            skeleton.replay_id,
            skeleton.shared,
            row.personal_hash,
            row.hash
        ])?;
        if keep == Keep::All {
            personal.execute(params![
                skeleton.id.as_bytes(),
                row.salt,
                person.developer,
                person.batch_id,
                person.event_id,
                person.correlation_id,
                person.detail
            ])?;
        }
    }
    Ok(())
}

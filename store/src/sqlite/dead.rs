//! What administrators decide about dead letters.

use rusqlite::{Connection, params};
use types::id::BatchRef;

use super::audit::{self, Keep};
use super::{Sqlite, attempts::is_forgotten, batches};
use crate::audit::Whose;
use crate::{DeadLetterDecision, DeadLetters, StoreError, steps};

const WRITTEN: &str = "SELECT 1 FROM audit WHERE id = ?1";
const UNSTORED: &str = "SELECT DISTINCT a.src, a.seq FROM audit a
    WHERE a.src IN (SELECT src FROM sources) AND a.seq = ?1
      AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.src = a.src AND b.seq = a.seq)
    ORDER BY a.src LIMIT ?2";

impl DeadLetters for Sqlite {
    async fn record_decision(&self, decision: DeadLetterDecision) -> Result<bool, StoreError> {
        self.write(move |connection| write(connection, &decision))
            .await
    }

    async fn unstored(&self, seq: u64, limit: u32) -> Result<Vec<BatchRef>, StoreError> {
        let Ok(seq) = i64::try_from(seq) else {
            return Ok(Vec::new());
        };
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(UNSTORED)?;
            let rows = statement.query_map(params![seq, limit], batches::batch_ref)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }
}

fn write(connection: &Connection, decision: &DeadLetterDecision) -> Result<bool, StoreError> {
    let batch = batches::submission(connection, decision.at)?;
    if connection
        .prepare_cached(WRITTEN)?
        .exists(params![decision.id().as_bytes()])?
    {
        return Ok(batch.is_some());
    }
    let claimed = decision.developer.as_deref().unwrap_or_default();
    let (whose, is_known) = match &batch {
        Some(row) => {
            let (developer, batch_id) = (row.developer.as_str(), row.batch_id.as_str());
            (
                Whose {
                    developer,
                    batch_id,
                    correlation_id: &row.correlation_id,
                },
                !developer.is_empty(),
            )
        }
        None => {
            let whose = Whose {
                developer: claimed,
                batch_id: "",
                correlation_id: "",
            };
            (whose, !is_forgotten(connection, claimed, decision.at)?)
        }
    };
    audit::append(
        connection,
        &[steps::decided(decision, &whose)],
        Keep::of(is_known),
    )?;
    Ok(batch.is_some())
}

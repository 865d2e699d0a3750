//! Following what happened: from a clue to its batches, and a batch's audit.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::id::BatchRef;
use types::stream::StreamIncarnation;
use types::time::Micros;

use super::trouble::Trouble;
use super::{Postgres, Work, audit, batches, rows};
use crate::audit::Whose;
use crate::{AuditEntry, Clue, History, StoreError, Submission, steps};

/// By way of `developers`, so that the indexes, which all begin with the developer, serve.
const BY_ID: &str = "WITH who AS (SELECT developer FROM developers WHERE $2::text IS NULL OR developer = $2),
    found AS (
      SELECT b.src, b.seq FROM who JOIN batches b ON b.developer = who.developer AND b.batch_id = $1
      UNION SELECT e.src, e.seq FROM who JOIN events e ON e.developer = who.developer AND e.event_id = $1
      UNION SELECT d.src, d.seq FROM who JOIN duplicates d ON d.developer = who.developer AND d.event_id = $1
      UNION SELECT r.src, r.seq FROM who JOIN refused r ON r.developer = who.developer AND r.event_id = $1
      UNION SELECT src, seq FROM batches WHERE correlation_id = $1 AND ($2 IS NULL OR developer = $2))
    SELECT b.src, b.seq, b.developer, b.batch_id, b.correlation_id, b.state, b.need, b.done, b.failed,
      b.received, b.accepted, b.duplicate, b.rejected, b.quarantined, b.received_at, b.published_at,
      b.persisted_at
    FROM found f JOIN batches b ON b.src = f.src AND b.seq = f.seq ORDER BY b.src, b.seq LIMIT $3";
const BY_SEQUENCE: &str =
    "SELECT src, seq, developer, batch_id, correlation_id, state, need, done, failed, received, accepted,
      duplicate, rejected, quarantined, received_at, published_at, persisted_at
    FROM batches WHERE src IN (SELECT src FROM sources) AND seq = $1 ORDER BY src LIMIT $2";
const BY_ALERT: &str =
    "SELECT b.src, b.seq, b.developer, b.batch_id, b.correlation_id, b.state, b.need, b.done, b.failed,
      b.received, b.accepted, b.duplicate, b.rejected, b.quarantined, b.received_at, b.published_at,
      b.persisted_at
    FROM alerts a JOIN batches b ON b.src = a.src AND b.seq = a.seq WHERE a.alert_id = $1 LIMIT $2";
const AUDIT: &str = "SELECT a.src, a.seq, a.time, a.step, a.outcome, a.actor, a.replay_id,
      p.developer, p.batch_id, p.event_id, p.correlation_id, p.detail
    FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
    WHERE a.src = $1 AND a.seq = $2 ORDER BY a.time, a.id";
const ORIGINAL: &str = "SELECT b.src, b.seq, b.developer, b.batch_id
    FROM sources s JOIN batches b ON b.src = s.src
    WHERE s.stream = $1 AND s.created_at = $2 AND b.seq = $3";

impl History for Postgres {
    async fn find(&self, clue: Clue, limit: u32) -> Result<Vec<Submission>, StoreError> {
        let limit = i64::from(limit);
        let rows = match clue {
            Clue::Id { id, developer } => self.rows(BY_ID, &[&id, &developer, &limit]).await?,
            Clue::Sequence(seq) => match i64::try_from(seq) {
                Ok(seq) => self.rows(BY_SEQUENCE, &[&seq, &limit]).await?,
                Err(_) => Vec::new(),
            },
            Clue::Alert(id) => self.rows(BY_ALERT, &[&id, &limit]).await?,
        };
        rows.iter().map(batches::submission).collect()
    }

    async fn audit(&self, at: BatchRef) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.rows(AUDIT, &[&at.src, &(at.seq as i64)]).await?;
        Ok(rows.iter().map(entry).collect::<Result<_, _>>()?)
    }

    async fn record_resend(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        correlation_id: String,
        time: Micros,
        actor: String,
    ) -> Result<bool, StoreError> {
        self.write(Resend {
            incarnation,
            seq: seq as i64,
            correlation_id,
            time,
            actor,
        })
        .await
    }
}

/// A resend that the stream dropped.
struct Resend {
    incarnation: StreamIncarnation,
    seq: i64,
    correlation_id: String,
    time: Micros,
    actor: String,
}

impl Work for Resend {
    type Done = bool;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Trouble> {
        let found = rows(
            tx,
            ORIGINAL,
            &[&self.incarnation.name, &self.incarnation.created, &self.seq],
        )
        .await?;
        let Some(original) = found.first() else {
            return Ok(false);
        };
        let developer: &str = original.try_get(2)?;
        let whose = Whose {
            developer,
            batch_id: original.try_get(3)?,
            correlation_id: &self.correlation_id,
        };
        let row = steps::resent(
            batches::batch_ref(original)?,
            &whose,
            self.time,
            &self.actor,
        );
        audit::append(tx, &[row], |_| !developer.is_empty()).await?;
        Ok(true)
    }
}

fn entry(row: &Row) -> Result<AuditEntry, Trouble> {
    Ok(AuditEntry {
        at: batches::batch_ref(row)?,
        time: row.try_get(2)?,
        step: row.try_get(3)?,
        outcome: row.try_get(4)?,
        actor: row.try_get(5)?,
        replay_id: row.try_get(6)?,
        developer: row.try_get(7)?,
        batch_id: row.try_get(8)?,
        event_id: row.try_get(9)?,
        correlation_id: row.try_get(10)?,
        detail: row.try_get(11)?,
    })
}

//! Answers about batches, days and alerts.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::id::{BatchRef, EventRef};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use super::trouble::Trouble;
use super::{Postgres, Work, batches, rows};
use crate::{Answers, Computed, NotAccepted, StoreError, StoredAlert, Submission};

const SUBMISSIONS: &str =
    "SELECT src, seq, developer, batch_id, correlation_id, state, need, done, failed, received, accepted,
      duplicate, rejected, quarantined, received_at, published_at, persisted_at
    FROM batches WHERE developer = $1 AND batch_id = $2 ORDER BY src, seq";
/// A forgotten developer's batches are all alike, and each is its own.
const FIRST: &str =
    "SELECT f.src, f.seq, f.developer, f.batch_id, f.correlation_id, f.state, f.need, f.done, f.failed,
      f.received, f.accepted, f.duplicate, f.rejected, f.quarantined, f.received_at, f.published_at,
      f.persisted_at
    FROM sources s JOIN batches b ON b.src = s.src
    JOIN batches f ON f.developer = b.developer AND f.batch_id = b.batch_id
      AND f.events_hash = b.events_hash
    WHERE s.stream = $1 AND s.created_at = $2 AND b.seq = $3
      AND (b.developer <> '' OR (f.src = b.src AND f.seq = b.seq))
    ORDER BY f.src, f.seq LIMIT 1";
const NOT_ACCEPTED: &str = "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail,
      e.src, e.seq, e.ordinal, b.batch_id, b.received_at
    FROM refused r
    LEFT JOIN events e ON r.code = 'id_conflict' AND e.developer = r.developer AND e.event_id = r.event_id
    LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE r.src = $1 AND r.seq = $2
    UNION ALL
    SELECT d.src, d.seq, d.ordinal, d.event_id, 'duplicate_id', NULL, NULL,
      e.src, e.seq, e.ordinal, b.batch_id, b.received_at
    FROM duplicates d
    LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
    LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE d.src = $1 AND d.seq = $2
    ORDER BY 3";
const DAYS: &str = "SELECT day, computed_gen, version, body FROM days
    WHERE developer = $1 AND day BETWEEN $2 AND $3 ORDER BY day";
const DEVELOPERS: &str = "SELECT DISTINCT developer FROM days ORDER BY developer";
const ALERTS: &str =
    "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
    FROM alerts ORDER BY window_start DESC, alert_id LIMIT $1";
const ALERTS_OF: &str =
    "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
    FROM alerts WHERE developer = $2 ORDER BY window_start DESC, alert_id LIMIT $1";

impl Answers for Postgres {
    async fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> Result<Vec<Submission>, StoreError> {
        self.rows(SUBMISSIONS, &[&developer, &batch_id])
            .await?
            .iter()
            .map(batches::submission)
            .collect()
    }

    async fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
    ) -> Result<Option<(Submission, Vec<NotAccepted>)>, StoreError> {
        self.read(FirstSubmission {
            incarnation,
            seq: seq as i64,
        })
        .await
    }

    async fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<(String, Computed)>, StoreError> {
        let day = |row: &Row| -> Result<(String, Computed), Trouble> {
            let (generation, version, body) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok((
                row.try_get(0)?,
                Computed {
                    generation,
                    version,
                    body,
                },
            ))
        };
        let rows = self.rows(DAYS, &[&developer, &from, &to]).await?;
        Ok(rows.iter().map(day).collect::<Result<_, _>>()?)
    }

    async fn developers(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(DEVELOPERS, &[]).await?;
        let names = rows.iter().map(|row| row.try_get(0));
        Ok(names.collect::<Result<_, _>>().map_err(Trouble::from)?)
    }

    async fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<StoredAlert>, StoreError> {
        let limit = i64::from(limit);
        let rows = match developer {
            Some(developer) => self.rows(ALERTS_OF, &[&limit, &developer]).await?,
            None => self.rows(ALERTS, &[&limit]).await?,
        };
        Ok(rows.iter().map(stored_alert).collect::<Result<_, _>>()?)
    }
}

/// The first submission of the events in one message.
struct FirstSubmission {
    incarnation: StreamIncarnation,
    seq: i64,
}

impl Work for FirstSubmission {
    type Done = Option<(Submission, Vec<NotAccepted>)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Trouble> {
        let first = rows(
            tx,
            FIRST,
            &[&self.incarnation.name, &self.incarnation.created, &self.seq],
        )
        .await?;
        let Some(first) = first.first().map(batches::submission).transpose()? else {
            return Ok(None);
        };
        let BatchRef { src, seq } = first.at;
        let rows = rows(tx, NOT_ACCEPTED, &[&src, &(seq as i64)]).await?;
        Ok(Some((
            first,
            rows.iter().map(not_accepted).collect::<Result<_, _>>()?,
        )))
    }
}

fn not_accepted(row: &Row) -> Result<NotAccepted, Trouble> {
    Ok(NotAccepted {
        at: batches::event_ref(row, 0)?,
        event_id: row.try_get(3)?,
        code: code(row.try_get(4)?)?,
        pointer: row.try_get(5)?,
        detail: row.try_get(6)?,
        original: original(row)?,
    })
}

fn original(row: &Row) -> Result<Option<(EventRef, String, Micros)>, Trouble> {
    let Some(batch_id) = row.try_get::<_, Option<String>>(10)? else {
        return Ok(None);
    };
    Ok(Some((
        batches::event_ref(row, 7)?,
        batch_id,
        row.try_get(11)?,
    )))
}

/// The code of this name.
pub fn code(name: &str) -> Result<Code, StoreError> {
    let unknown = || {
        StoreError::Failed(format!(
            "the database holds the unknown code {name:?} of an event"
        ))
    };
    Code::named(name).ok_or_else(unknown)
}

fn stored_alert(row: &Row) -> Result<StoredAlert, Trouble> {
    Ok(StoredAlert {
        alert_id: row.try_get(0)?,
        developer: row.try_get(1)?,
        rule: row.try_get(2)?,
        severity: row.try_get(3)?,
        window_start: row.try_get(4)?,
        title: row.try_get(5)?,
        state: row.try_get(6)?,
        revision: row.try_get(7)?,
        push: row.try_get::<_, i32>(8)? != 0,
        body: row.try_get(9)?,
    })
}

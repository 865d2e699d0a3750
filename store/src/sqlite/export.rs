//! [`ExportReads`] from SQLite.

use rusqlite::{Connection, Params, params};
use types::export::{AlertPosition, EventPosition, ExportRange};
use types::id::EventRef;

use super::database::Sqlite;
use super::statements::list;
use crate::error::StoreError;
use crate::export::{
    ALERT_LENGTHS, ALERTS, AlertBounds, DAY_LENGTHS, DAYS, EVENT_LENGTHS, EVENTS, EventBounds,
    ExportReads, ExportedEvent, ExportedRefusal, PageLimits, REFUSED, REFUSED_LENGTHS, behind,
    fitting, length,
};
use crate::query_reads::{StoredAlert, StoredDay};

/// The number of rows that fit, of those that the statement of lengths finds.
fn rows(
    connection: &Connection,
    lengths: &str,
    params: impl Params,
    limits: PageLimits,
) -> Result<i64, StoreError> {
    let lengths = list(connection, lengths, params, |row| length(row))?;
    Ok(fitting(&lengths, limits))
}

impl ExportReads for Sqlite {
    async fn export_events(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<EventPosition>,
        limits: PageLimits,
    ) -> Result<Vec<ExportedEvent>, StoreError> {
        self.read(move |connection| {
            let EventBounds {
                first,
                last,
                first_day,
                last_day,
                behind,
            } = EventBounds::new(&range, after);
            let key = params![
                developer,
                first,
                last,
                first_day,
                last_day,
                behind,
                limits.rows
            ];
            let rows = rows(connection, EVENT_LENGTHS.sqlite, key, limits)?;
            let key = params![developer, first, last, first_day, last_day, behind, rows];
            list(connection, EVENTS.sqlite, key, |row| {
                ExportedEvent::decode(row)
            })
        })
        .await
    }

    async fn export_refused(
        &self,
        developer: String,
        after: Option<EventRef>,
        limits: PageLimits,
    ) -> Result<Vec<ExportedRefusal>, StoreError> {
        self.read(move |connection| {
            let (src, seq, ordinal) = behind(after);
            let key = params![developer, src, seq, ordinal, limits.rows];
            let rows = rows(connection, REFUSED_LENGTHS.sqlite, key, limits)?;
            let key = params![developer, src, seq, ordinal, rows];
            list(connection, REFUSED.sqlite, key, |row| {
                ExportedRefusal::decode(row)
            })
        })
        .await
    }

    async fn export_days(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<String>,
        limits: PageLimits,
    ) -> Result<Vec<StoredDay>, StoreError> {
        self.read(move |connection| {
            let (first, last) = (range.first_day(), range.last_day());
            let behind = after.unwrap_or_default();
            let key = params![developer, first, last, behind, limits.rows];
            let rows = rows(connection, DAY_LENGTHS.sqlite, key, limits)?;
            let key = params![developer, first, last, behind, rows];
            list(connection, DAYS.sqlite, key, |row| StoredDay::decode(row))
        })
        .await
    }

    async fn export_alerts(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<AlertPosition>,
        limits: PageLimits,
    ) -> Result<Vec<StoredAlert>, StoreError> {
        self.read(move |connection| {
            let AlertBounds {
                first,
                last,
                behind,
            } = AlertBounds::new(&range, after);
            let key = params![developer, first, last, behind, limits.rows];
            let rows = rows(connection, ALERT_LENGTHS.sqlite, key, limits)?;
            let key = params![developer, first, last, behind, rows];
            list(connection, ALERTS.sqlite, key, |row| {
                StoredAlert::decode(row)
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_page_is_read_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("devtrail.db")).unwrap();
        for (sql, index) in [
            (
                EVENT_LENGTHS,
                "USING INDEX events_by_time (developer=? AND effective_at>? AND effective_at<?)",
            ),
            (
                EVENTS,
                "USING INDEX events_by_time (developer=? AND effective_at>? AND effective_at<?)",
            ),
            (
                REFUSED_LENGTHS,
                "USING INDEX refused_by_developer (developer=? AND (src,seq,ordinal)>(?,?,?))",
            ),
            (
                REFUSED,
                "USING INDEX refused_by_developer (developer=? AND (src,seq,ordinal)>(?,?,?))",
            ),
            (
                DAY_LENGTHS,
                "USING PRIMARY KEY (developer=? AND day>? AND day<?)",
            ),
            (DAYS, "USING PRIMARY KEY (developer=? AND day>? AND day<?)"),
            (
                ALERT_LENGTHS,
                "USING INDEX alerts_by_developer (developer=? AND window_start>? AND window_start<?)",
            ),
            (
                ALERTS,
                "USING INDEX alerts_by_developer (developer=? AND window_start>? AND window_start<?)",
            ),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN {}", sql.sqlite);
            let numbers = sql.sqlite.matches('?').map(|_| rusqlite::types::Null);
            let most = (1..=7).rfind(|number| sql.sqlite.contains(&format!("?{number}")));
            let key: Vec<_> = numbers.take(most.unwrap_or_default()).collect();
            let plan = store.read(move |connection| {
                let key = rusqlite::params_from_iter(key);
                list(
                    connection,
                    &explain,
                    key,
                    |row| Ok(row.get::<_, String>(3)?),
                )
            });
            let plan = plan.await.unwrap().join("\n");
            assert!(
                plan.contains(index) && !plan.contains("SCAN"),
                "{}\n{plan}",
                sql.sqlite
            );
        }
    }
}

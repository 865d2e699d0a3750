//! [`ExportReads`] from Postgres.

use deadpool_postgres::Transaction;
use types::export::{AlertPosition, EventPosition, ExportRange};
use types::id::EventRef;

use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{Param, Params, list};
use crate::error::StoreError;
use crate::export::{
    ALERT_LENGTHS, ALERTS, AlertBounds, DAY_LENGTHS, DAYS, EVENT_LENGTHS, EVENTS, EventBounds,
    ExportReads, ExportedEvent, ExportedRefusal, PageLimits, REFUSED, REFUSED_LENGTHS, behind,
    fitting, length,
};
use crate::query_reads::{StoredAlert, StoredDay};

/// The number of rows that fit, of those that the statement of lengths finds.
async fn rows(
    tx: &Transaction<'_>,
    lengths: &'static str,
    params: &Params<'_>,
    limits: PageLimits,
) -> Result<i64, TransactionError> {
    Ok(fitting(&list(tx, lengths, params, length).await?, limits))
}

impl ExportReads for Postgres {
    async fn export_events(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<EventPosition>,
        limits: PageLimits,
    ) -> Result<Vec<ExportedEvent>, StoreError> {
        let query = (developer, EventBounds::new(&range, after), limits);
        self.read(query, |tx, (developer, bounds, limits)| {
            Box::pin(async move {
                let limit = i64::from(limits.rows);
                let mut key: [Param<'_>; 7] = [
                    developer,
                    &bounds.first,
                    &bounds.last,
                    &bounds.first_day,
                    &bounds.last_day,
                    &bounds.behind,
                    &limit,
                ];
                let rows = rows(tx, EVENT_LENGTHS.postgres, &key, *limits).await?;
                key[6] = &rows;
                list(tx, EVENTS.postgres, &key, ExportedEvent::decode).await
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
        let query = (developer, behind(after), limits);
        self.read(query, |tx, (developer, (src, seq, ordinal), limits)| {
            Box::pin(async move {
                let limit = i64::from(limits.rows);
                let mut key: [Param<'_>; 5] = [developer, src, seq, ordinal, &limit];
                let rows = rows(tx, REFUSED_LENGTHS.postgres, &key, *limits).await?;
                key[4] = &rows;
                list(tx, REFUSED.postgres, &key, ExportedRefusal::decode).await
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
        let query = (developer, range, after.unwrap_or_default(), limits);
        self.read(query, |tx, (developer, range, behind, limits)| {
            Box::pin(async move {
                let limit = i64::from(limits.rows);
                let (first, last) = (range.first_day(), range.last_day());
                let mut key: [Param<'_>; 5] = [developer, &first, &last, behind, &limit];
                let rows = rows(tx, DAY_LENGTHS.postgres, &key, *limits).await?;
                key[4] = &rows;
                list(tx, DAYS.postgres, &key, StoredDay::decode).await
            })
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
        let query = (developer, AlertBounds::new(&range, after), limits);
        self.read(query, |tx, (developer, bounds, limits)| {
            Box::pin(async move {
                let limit = i64::from(limits.rows);
                let mut key: [Param<'_>; 5] = [
                    developer,
                    &bounds.first,
                    &bounds.last,
                    &bounds.behind,
                    &limit,
                ];
                let rows = rows(tx, ALERT_LENGTHS.postgres, &key, *limits).await?;
                key[4] = &rows;
                list(tx, ALERTS.postgres, &key, StoredAlert::decode).await
            })
        })
        .await
    }
}

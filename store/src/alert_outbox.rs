//! Publishing alerts: an alert row with `published < revision` is the outbox.

use crate::error::StoreError;
use crate::row::{Row, flag};
use crate::sql::shared_sql;

/// A revision of an alert that ALERTS must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRevision {
    pub alert_id: String,
    /// 0 raised, 1 retracted, 2 raised again, and so on.
    pub revision: i64,
    pub developer: String,
    pub severity: String,
    /// `raised` or `retracted`.
    pub state: String,
    /// Whether it is news.
    pub push: bool,
    /// The alert as JSON.
    pub body: String,
    /// The correlation id of the batch whose job raised, found or retracted it last.
    pub correlation_id: String,
}

/// A revision of an alert that has its PubAck.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedRevision {
    pub alert_id: String,
    pub revision: i64,
}

/// Publishing alerts: the alert row is the outbox.
pub trait AlertOutbox: Send + Sync + 'static {
    /// Up to `limit` revisions that are not marked as published, oldest first.
    fn unpublished(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<AlertRevision>, StoreError>> + Send;

    /// Marks these revisions, and those before them, as published.
    fn mark_published(
        &self,
        revisions: Vec<PublishedRevision>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

shared_sql! {
    UNPUBLISHED = "SELECT alert_id, revision, developer, severity, state, push, body, correlation_id
        FROM alerts WHERE published < revision ORDER BY src, seq, alert_id LIMIT $1";
}

impl AlertRevision {
    /// From the columns of [`UNPUBLISHED`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            alert_id: row.value(0)?,
            revision: row.value(1)?,
            developer: row.value(2)?,
            severity: row.value(3)?,
            state: row.value(4)?,
            push: flag(row, 5)?,
            body: row.value(6)?,
            correlation_id: row.value(7)?,
        })
    }
}

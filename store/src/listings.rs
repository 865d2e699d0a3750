//! What administrators list: who there is, the newest events of someone, one alert.

use crate::error::StoreError;
use crate::query_reads::StoredAlert;
use crate::snapshot::StoredEvent;
use crate::sql::shared_sql;

/// What administrators list: who there is, the newest events of someone, one alert.
pub trait Listings: Send + Sync + 'static {
    /// Everyone of whom a batch is stored, by name.
    fn known_developers(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// The developer's events with the latest effective time, the latest first; at most `limit`.
    fn newest_events(
        &self,
        developer: String,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, StoreError>> + Send;

    /// The alert of this id.
    fn alert(
        &self,
        alert_id: String,
    ) -> impl Future<Output = Result<Option<StoredAlert>, StoreError>> + Send;
}

shared_sql! {
    KNOWN_DEVELOPERS = "SELECT developer FROM developers WHERE developer <> '' ORDER BY developer";
    NEWEST_EVENTS = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version, e.effective_at,
          e.local_day, e.body, b.client, b.zone
        FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
        WHERE e.developer = $1 ORDER BY e.effective_at DESC, e.event_id DESC LIMIT $2";
    ALERT = "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
        FROM alerts WHERE alert_id = $1";
}

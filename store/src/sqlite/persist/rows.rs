//! The rows that T1 writes for one batch.

use rusqlite::{named_params, params};
use types::id::EventRef;
use types::job::BatchState;
use types::time::{Micros, SECOND};

use super::T1;
use super::sql::{INSERT_BATCH, INSERT_DUPLICATE, INSERT_EVENT, INSERT_REFUSED};
use crate::StoreError;
use crate::contest::{Lost, Submission};
use crate::incoming::AdmittedEvent;
use crate::refused::RefusedRow;
use crate::tally::Tally;

/// A stored batch's jobs belong to its own worker for this long, then to the sweep.
const OWN_LEASE: Micros = 5 * SECOND;

impl T1<'_> {
    pub(super) fn insert_event(
        &self,
        at: EventRef,
        event: &AdmittedEvent,
    ) -> Result<bool, StoreError> {
        let developer = self.batch.header.developer.as_str();
        let inserted = self
            .connection
            .prepare_cached(INSERT_EVENT)?
            .execute(params![
                at.src,
                at.seq as i64,
                at.ordinal,
                developer,
                event.id,
                event.kind,
                event.schema_version,
                event.effective_at,
                event.local_day,
                event.body,
                event.hash
            ])?;
        Ok(inserted == 1)
    }

    pub(super) fn insert_refused(&self, refused: &RefusedRow<'_>) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(INSERT_REFUSED)?
            .execute(params![
                refused.at.src,
                refused.at.seq as i64,
                refused.at.ordinal,
                refused.developer,
                refused.event_id,
                refused.code.verdict().as_str(),
                refused.code.as_str(),
                refused.pointer,
                refused.detail,
                refused.body,
                refused.hash
            ])?;
        Ok(())
    }

    pub(super) fn insert_duplicate(&self, lost: &Lost<'_>) -> Result<(), StoreError> {
        let Submission { at, hash, .. } = lost.submission;
        self.connection
            .prepare_cached(INSERT_DUPLICATE)?
            .execute(params![
                at.src,
                at.seq as i64,
                at.ordinal,
                lost.developer,
                lost.id,
                hash,
                lost.own_bytes()
            ])?;
        Ok(())
    }

    pub(super) fn insert_batch(&self, tally: &Tally) -> Result<(), StoreError> {
        let (at, header) = (self.batch.at, &self.batch.header);
        let (counts, need) = (tally.counts, tally.need());
        let job_body = serde_json::to_string(&tally.job_body(self.batch))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        self.connection
            .prepare_cached(INSERT_BATCH)?
            .execute(named_params! {
                ":src": at.src,
                ":seq": at.seq as i64,
                ":developer": header.developer.as_str(),
                ":batch_id": header.batch_id,
                ":events_hash": self.batch.events_hash,
                ":correlation_id": header.correlation_id,
                ":traceparent": header.traceparent,
                ":schema_version": header.schema_version,
                ":sent_at": header.sent_at,
                ":skew": header.skew,
                ":collector": header.collector,
                ":client": header.envelope.get("client").map(|client| client.get().as_bytes()),
                ":received_at": header.received_at,
                ":validated_at": header.validated_at,
                ":published_at": self.batch.published_at,
                ":persisted_at": self.batch.persisted_at,
                ":received": counts.received,
                ":accepted": counts.accepted,
                ":duplicate": counts.duplicate,
                ":rejected": counts.rejected,
                ":quarantined": counts.quarantined,
                ":need": need.0,
                ":state": BatchState::stored(need).as_str(),
                ":job_body": job_body,
                ":own_lease": OWN_LEASE,
            })?;
        Ok(())
    }
}

//! The rows that T1 writes for one batch.

use std::collections::{BTreeMap, BTreeSet};

use common::clock::{Micros, SECOND};
use common::id::EventRef;
use common::job::{BatchState, EventSummary, JobBody, Mask};
use common::verdict::Counts;
use rusqlite::{named_params, params};

use super::T1;
use super::sql::{INSERT_AUDIT, INSERT_BATCH, INSERT_EVENT, INSERT_PERSONAL, INSERT_REFUSED};
use crate::StoreError;
use crate::audit::AuditTrail;
use crate::incoming::{Competitor, Refused};

/// A stored batch's jobs belong to its own worker for this long, then to the sweep.
const OWN_LEASE: Micros = 5 * SECOND;

impl T1<'_> {
    /// What the batch's job messages will say of its new events.
    pub(super) fn job_body(&self, new: &BTreeSet<u32>) -> JobBody {
        let header = &self.batch.header;
        let mut body = JobBody {
            batch_id: header.batch_id.clone(),
            developer: header.developer.to_string(),
            correlation_id: header.correlation_id.clone(),
            traceparent: header.traceparent.clone(),
            batch: self.batch.at,
            counts_by_type: BTreeMap::new(),
            first_occurred_at: None,
            last_occurred_at: None,
            touched_days: BTreeSet::new(),
            schema_versions: BTreeSet::new(),
        };
        for event in self.batch.competitors.iter().filter(|event| new.contains(&event.ordinal)) {
            body.add(EventSummary {
                kind: &event.kind,
                schema_version: &event.schema_version,
                effective_at: event.effective_at,
                local_day: &event.local_day,
            });
        }
        body
    }

    pub(super) fn insert_event(&self, at: EventRef, event: &Competitor) -> Result<bool, StoreError> {
        let developer = self.batch.header.developer.as_str();
        let inserted = self.connection.prepare_cached(INSERT_EVENT)?.execute(params![
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

    pub(super) fn insert_refused(&self, at: EventRef, refused: &Refused) -> Result<(), StoreError> {
        self.connection.prepare_cached(INSERT_REFUSED)?.execute(params![
            at.src,
            at.seq as i64,
            at.ordinal,
            self.batch.header.developer.as_str(),
            refused.id,
            refused.verdict.as_str(),
            refused.code.as_str(),
            refused.pointer,
            refused.detail,
            refused.body,
            refused.hash
        ])?;
        Ok(())
    }

    pub(super) fn insert_batch(
        &self,
        counts: Counts,
        need: Mask,
        job_body: &JobBody,
    ) -> Result<(), StoreError> {
        let (at, header) = (self.batch.at, &self.batch.header);
        let job_body =
            serde_json::to_string(job_body).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.connection.prepare_cached(INSERT_BATCH)?.execute(named_params! {
            ":src": at.src,
            ":seq": at.seq as i64,
            ":developer": header.developer.as_str(),
            ":batch_id": header.batch_id,
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
            ":lease_until": self.batch.persisted_at + OWN_LEASE,
        })?;
        Ok(())
    }

    /// The audit's rows with their personal parts.
    pub(super) fn insert_audit(&self, trail: &AuditTrail<'_>) -> Result<(), StoreError> {
        self.insert_skeletons(trail)?;
        let mut personal = self.connection.prepare_cached(INSERT_PERSONAL)?;
        for row in &trail.rows {
            let person = &row.personal;
            personal.execute(params![
                row.skeleton.id.as_bytes(),
                row.salt,
                person.developer,
                person.batch_id,
                person.event_id,
                person.correlation_id,
                person.detail
            ])?;
        }
        Ok(())
    }

    /// The audit's rows alone: all that is kept of a forgotten developer's batch.
    pub(super) fn insert_skeletons(&self, trail: &AuditTrail<'_>) -> Result<(), StoreError> {
        let mut audit = self.connection.prepare_cached(INSERT_AUDIT)?;
        for row in &trail.rows {
            let skeleton = &row.skeleton;
            audit.execute(params![
                skeleton.id.as_bytes(),
                skeleton.time,
                skeleton.step.as_str(),
                skeleton.outcome,
                skeleton.actor,
                skeleton.src,
                skeleton.seq as i64,
                skeleton.replay_id,
                row.personal_hash,
                row.hash
            ])?;
        }
        Ok(())
    }
}

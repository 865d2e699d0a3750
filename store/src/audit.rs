//! The audit rows of T1: one a step of the batch, one an event that was a duplicate or refused.

use common::audit::{Personal, Skeleton, Step, personal_hash, row_hash};
use common::clock::Micros;
use serde_json::json;
use uuid::Uuid;

use crate::incoming::Incoming;

/// A row, complete with salt and hashes.
pub struct AuditRow {
    /// The part that never names a person.
    pub skeleton: Skeleton,
    /// The part that `forget` removes.
    pub personal: Personal,
    /// Makes the personal hash useless for guessing.
    pub salt: [u8; 16],
    /// H(salt ‖ personal).
    pub personal_hash: [u8; 32],
    /// H(skeleton ‖ personal hash).
    pub hash: [u8; 32],
}

/// Writes the rows of one batch.
pub struct AuditTrail<'a> {
    batch: &'a Incoming,
    /// The rows so far.
    pub rows: Vec<AuditRow>,
}

impl<'a> AuditTrail<'a> {
    /// The steps that every stored batch has gone through. The collector's travelled with the
    /// message; "published" is the stream's own timestamp.
    pub fn of(batch: &'a Incoming) -> Self {
        let mut trail = Self { batch, rows: Vec::new() };
        let header = &batch.header;
        trail.step(Step::Received, header.received_at, &header.collector);
        trail.step(Step::Validated, header.validated_at, &header.collector);
        trail.step(Step::Published, batch.published_at, "nats");
        trail.step(Step::Persisted, batch.persisted_at, &batch.actor);
        trail
    }

    fn step(&mut self, step: Step, time: Micros, actor: &str) {
        self.add(step, "ok", time, (actor, None, None));
    }

    /// The batch needs no job.
    pub fn completed(&mut self) {
        self.step(Step::Completed, self.batch.persisted_at, &self.batch.actor);
    }

    /// An event was refused, at admission or because another one holds its id.
    pub fn refused(
        &mut self,
        code: &str,
        ordinal: u32,
        id: Option<&str>,
        original: Option<&serde_json::Value>,
    ) {
        let detail = json!({"ordinal": ordinal, "original": original});
        let actor = self.batch.actor.clone();
        self.add(Step::Refused, code, self.batch.persisted_at, (&actor, id, Some(detail.to_string())));
    }

    /// An event was dropped as the duplicate of `original` (R7.2).
    pub fn deduplicated(&mut self, ordinal: u32, id: &str, original: &serde_json::Value) {
        let detail = json!({"ordinal": ordinal, "original": original});
        let actor = self.batch.actor.clone();
        let rest = (actor.as_str(), Some(id), Some(detail.to_string()));
        self.add(Step::Deduplicated, "duplicate_id", self.batch.persisted_at, rest);
    }

    fn add(&mut self, step: Step, outcome: &str, time: Micros, rest: (&str, Option<&str>, Option<String>)) {
        let (actor, event_id, detail) = rest;
        let header = &self.batch.header;
        let skeleton = Skeleton {
            id: Uuid::now_v7(),
            time,
            step,
            outcome: outcome.to_owned(),
            actor: actor.to_owned(),
            src: self.batch.at.src,
            seq: self.batch.at.seq,
            replay_id: None,
        };
        let personal = Personal {
            developer: header.developer.to_string(),
            batch_id: header.batch_id.clone(),
            event_id: event_id.map(str::to_owned),
            correlation_id: header.correlation_id.clone(),
            detail,
        };
        let salt = *Uuid::new_v4().as_bytes();
        let personal_hash = personal_hash(&salt, &personal);
        let hash = row_hash(&skeleton, &personal_hash);
        self.rows.push(AuditRow { skeleton, personal, salt, personal_hash, hash });
    }
}

//! Audit rows: one for the steps of a batch in one transaction, one an event that was a duplicate or refused.

use serde_json::{Value, json};
use types::audit::{Personal, SharedStep, Skeleton, Step, personal_hash, row_hash};
use types::id::{BatchRef, EventRef};
use types::job::JobBody;
use types::time::{Micros, rfc3339};
use types::verdict::Code;
use uuid::Uuid;

use crate::decoded_batch::{AdmittedEvent, DecodedBatch, RefusedEvent};
use crate::dedup::Displacement;
use crate::submission::Submission;

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

/// The batch that a row is about: its personal part, except the event id and the detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSubject<'a> {
    pub developer: &'a str,
    /// The client's batch id.
    pub batch_id: &'a str,
    /// Follows the batch everywhere.
    pub correlation_id: &'a str,
}

impl<'a> From<&'a JobBody> for AuditSubject<'a> {
    fn from(body: &'a JobBody) -> Self {
        Self {
            developer: &body.developer,
            batch_id: &body.batch_id,
            correlation_id: &body.correlation_id,
        }
    }
}

impl<'a> From<&'a Submission> for AuditSubject<'a> {
    fn from(batch: &'a Submission) -> Self {
        Self {
            developer: &batch.developer,
            batch_id: &batch.batch_id,
            correlation_id: &batch.correlation_id,
        }
    }
}

impl<'a> AuditSubject<'a> {
    /// A message that is not stored: only the developer may be known.
    pub fn developer(developer: &'a str) -> Self {
        Self {
            developer,
            batch_id: "",
            correlation_id: "",
        }
    }
}

/// A step that a row records: its part that names no person, and the event and detail of its personal part.
#[derive(Debug, Clone)]
pub struct RecordedStep<'a> {
    pub at: BatchRef,
    pub step: Step,
    /// How it ended: `ok`, or a code.
    pub outcome: &'a str,
    pub time: Micros,
    /// The executable and instance that performed it.
    pub actor: &'a str,
    /// The event, if one is meant.
    pub event_id: Option<&'a str>,
    pub detail: Option<serde_json::Value>,
    /// The replay it belongs to.
    pub replay_id: Option<&'a str>,
    /// The other steps of the batch in the same transaction, in their order.
    pub shared: &'a [SharedStep<'a>],
}

impl<'a> RecordedStep<'a> {
    /// A step of a batch that went well.
    pub fn ok(at: BatchRef, step: Step, time: Micros, actor: &'a str) -> Self {
        Self {
            at,
            step,
            outcome: "ok",
            time,
            actor,
            event_id: None,
            detail: None,
            replay_id: None,
            shared: &[],
        }
    }
}

impl AuditRow {
    /// A fresh row, with an id and a salt of its own.
    #[must_use]
    pub fn new(subject: &AuditSubject<'_>, recorded: RecordedStep<'_>) -> Self {
        Self::with_id(Uuid::now_v7(), subject, recorded)
    }

    /// The same with an id that is given: of a step that is written once, however often it is recorded.
    #[must_use]
    pub fn with_id(id: Uuid, subject: &AuditSubject<'_>, recorded: RecordedStep<'_>) -> Self {
        let skeleton = Skeleton {
            id,
            time: recorded.time,
            step: recorded.step,
            outcome: recorded.outcome.to_owned(),
            actor: recorded.actor.to_owned(),
            src: recorded.at.src,
            seq: recorded.at.seq,
            replay_id: recorded.replay_id.map(str::to_owned),
            shared: SharedStep::list(recorded.shared),
        };
        let personal = Personal {
            developer: subject.developer.to_owned(),
            batch_id: subject.batch_id.to_owned(),
            event_id: recorded.event_id.map(str::to_owned),
            correlation_id: subject.correlation_id.to_owned(),
            detail: recorded.detail.map(|detail| detail.to_string()),
        };
        let salt = *Uuid::new_v4().as_bytes();
        let personal_hash = personal_hash(&salt, &personal);
        let hash = row_hash(&skeleton, &personal_hash);
        Self {
            skeleton,
            personal,
            salt,
            personal_hash,
            hash,
        }
    }
}

/// Names the batch of an original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalBatch {
    /// The client's batch id.
    pub batch_id: String,
    /// When the collector received it.
    pub received_at: Micros,
}

/// The rows that `store_batches` writes of one batch.
pub struct AuditTrail<'a> {
    batch: &'a DecodedBatch,
    /// Of the row that tells of the batch: it sorts before those of its events.
    id: Uuid,
    /// The rows of events.
    events: Vec<AuditRow>,
}

impl<'a> AuditTrail<'a> {
    /// Of a batch, before its events are resolved.
    pub fn of(batch: &'a DecodedBatch) -> Self {
        Self {
            batch,
            id: Uuid::now_v7(),
            events: Vec::new(),
        }
    }

    /// All rows; they are taken once.
    ///
    /// The first one has the steps that every stored batch has gone through, and, if it needs no job, that it is
    /// completed. The collector's steps travelled with the message; "published" is the stream's own timestamp.
    pub fn take_rows(&mut self, is_completed: bool) -> Vec<AuditRow> {
        let batch = self.batch;
        let header = &batch.header;
        // A readmitted batch was received long ago, and not by the program that validated it again.
        let origin = header.origin.as_ref();
        let received_by = origin.map_or(&header.collector, |origin| &origin.collector);
        let step = |step, time, actor| SharedStep { step, time, actor };
        let shared = [
            step(Step::Received, header.received_at, received_by),
            step(Step::Validated, header.validated_at, &header.collector),
            step(Step::Published, batch.published_at, "nats"),
            step(Step::Completed, batch.persisted_at, &batch.actor),
        ];
        let recorded =
            RecordedStep::ok(batch.at, Step::Persisted, batch.persisted_at, &batch.actor);
        let row = AuditRow::with_id(
            self.id,
            &self.subject(),
            RecordedStep {
                detail: origin.map(|origin| json!({"origin": origin})),
                shared: &shared[..if is_completed { 4 } else { 3 }],
                ..recorded
            },
        );
        std::iter::once(row).chain(self.events.drain(..)).collect()
    }

    /// An event was refused at admission.
    pub fn refused(&mut self, refused: &RefusedEvent) {
        let detail = json!({"ordinal": refused.ordinal, "original": null});
        self.event(Step::Refused, refused.code, refused.id.as_deref(), detail);
    }

    /// An event was displaced by `original` (R7.2), of the batch `original_batch`; `None` if that is this batch.
    pub fn displaced(
        &mut self,
        event: &AdmittedEvent,
        displaced: Displacement,
        original: EventRef,
        original_batch: Option<&OriginalBatch>,
    ) {
        let header = &self.batch.header;
        let batch_id = original_batch.map_or(&header.batch_id, |batch| &batch.batch_id);
        let received_at = original_batch.map_or(header.received_at, |batch| batch.received_at);
        let original = json!({
            "src": original.src, "seq": original.seq, "ordinal": original.ordinal,
            "batch_id": batch_id, "received_at": rfc3339(received_at),
        });
        let (step, code) = match displaced {
            Displacement::Duplicate { .. } => (Step::Deduplicated, Code::DuplicateId),
            Displacement::Conflict => (Step::Refused, Code::IdConflict),
        };
        let detail = json!({"ordinal": event.ordinal, "original": original});
        self.event(step, code, Some(&event.id), detail);
    }

    fn event(&mut self, step: Step, code: Code, event_id: Option<&str>, detail: Value) {
        let batch = self.batch;
        let recorded = RecordedStep::ok(batch.at, step, batch.persisted_at, &batch.actor);
        let recorded = RecordedStep {
            outcome: code.as_str(),
            event_id,
            detail: Some(detail),
            ..recorded
        };
        self.events.push(AuditRow::new(&self.subject(), recorded));
    }

    fn subject(&self) -> AuditSubject<'a> {
        let header = &self.batch.header;
        AuditSubject {
            developer: header.developer.as_str(),
            batch_id: &header.batch_id,
            correlation_id: &header.correlation_id,
        }
    }
}

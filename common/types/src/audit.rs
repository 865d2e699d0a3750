//! The audit row: what happened to a batch or event at a step, with a hash that survives `forget`.
//!
//! Row hash = H(skeleton ‖ H(salt ‖ personal part)), where H is BLAKE3. `forget` deletes the salt and the personal
//! part. The skeleton and the inner hash stay, so a sealed row can still be checked.
//!
//! Steps of one transaction share a row: it is the row of one of them, and its skeleton lists the others
//! ([`SharedStep`]).

use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::time::Micros;

/// Steps that are recorded (R7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The collector read the whole request.
    Received,
    /// Every event had its verdict.
    Validated,
    /// The stream had it on disk: the stream's own timestamp.
    Published,
    /// The transaction that stores the batch (T1) committed.
    Persisted,
    /// An event was dropped as a duplicate; the detail names the original.
    Deduplicated,
    /// An event was rejected or quarantined.
    Refused,
    /// Every needed job is published; the detail has their ids, subjects and sequences (R7.3).
    Triggered,
    /// Jobs that were in the stream, and are neither there nor done, are published again; the detail is that of
    /// `Triggered`.
    Retriggered,
    /// A worker began a job.
    JobStarted,
    /// A job's result was written.
    JobFinished,
    /// An alert was raised or retracted.
    Alerted,
    /// A job is in DEAD: its batch fails. With the outcome `recovered`: attempts of a message failed before one
    /// succeeded.
    Failed,
    /// A message was dead-lettered; the detail has the reason, the attempts and the events that it holds (R7.4).
    Dead,
    /// An administrator redrove a dead letter; the detail says who.
    Redriven,
    /// An administrator dropped a dead letter; the detail says who, and why.
    Dropped,
    /// Every needed job is done.
    Completed,
    /// The store took the streams over from another one; the detail says who decided, and why.
    Adopted,
    /// The store lacked what its consumer had acked, so it reads the stream again.
    Reread,
}

impl Step {
    /// Every step, in the order a batch goes through them.
    pub const ALL: [Self; 18] = [
        Self::Received,
        Self::Validated,
        Self::Published,
        Self::Persisted,
        Self::Deduplicated,
        Self::Refused,
        Self::Triggered,
        Self::Retriggered,
        Self::JobStarted,
        Self::JobFinished,
        Self::Alerted,
        Self::Failed,
        Self::Dead,
        Self::Redriven,
        Self::Dropped,
        Self::Completed,
        Self::Adopted,
        Self::Reread,
    ];

    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Validated => "validated",
            Self::Published => "published",
            Self::Persisted => "persisted",
            Self::Deduplicated => "deduplicated",
            Self::Refused => "refused",
            Self::Triggered => "triggered",
            Self::Retriggered => "retriggered",
            Self::JobStarted => "job_started",
            Self::JobFinished => "job_finished",
            Self::Alerted => "alerted",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Redriven => "redriven",
            Self::Dropped => "dropped",
            Self::Completed => "completed",
            Self::Adopted => "adopted",
            Self::Reread => "reread",
        }
    }
}

/// The part that never names a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// UUIDv7: unique, and near in time to its neighbours.
    pub id: Uuid,
    /// When the step happened.
    pub time: Micros,
    /// The step.
    pub step: Step,
    /// How it ended: `ok`, or a verdict's code.
    pub outcome: String,
    /// The executable and instance that did it.
    pub actor: String,
    /// The stream's incarnation.
    pub src: i64,
    /// The stream sequence.
    pub seq: u64,
    /// The replay it belongs to.
    pub replay_id: Option<String>,
    /// The other steps that the row tells of, as [`SharedStep::list`] writes them.
    pub shared: Option<String>,
}

/// A step that is told in the row of another one, written in the same transaction. It went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SharedStep<'a> {
    /// The step.
    pub step: Step,
    /// When it happened.
    pub time: Micros,
    /// The executable and instance that did it.
    pub actor: &'a str,
}

impl SharedStep<'_> {
    /// The steps in their order as a JSON array of objects; `None` if there is none.
    #[must_use]
    pub fn list(steps: &[SharedStep<'_>]) -> Option<String> {
        (!steps.is_empty()).then(|| json!(steps).to_string())
    }
}

/// The part that `forget` removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Personal {
    /// The developer who sent the batch.
    pub developer: String,
    /// The client's batch id.
    pub batch_id: String,
    /// The event, if the row is about a single one.
    pub event_id: Option<String>,
    /// The batch's correlation id.
    pub correlation_id: String,
    /// Further facts, as JSON; their shape depends on the step.
    pub detail: Option<String>,
}

/// H(salt ‖ personal part): all that stays of the personal part once it is forgotten.
#[must_use]
pub fn personal_hash(salt: &[u8; 16], personal: &Personal) -> [u8; 32] {
    let mut fields = Fields::default();
    fields.bytes(salt);
    fields.text(&personal.developer);
    fields.text(&personal.batch_id);
    fields.optional(personal.event_id.as_deref());
    fields.text(&personal.correlation_id);
    fields.optional(personal.detail.as_deref());
    fields.finish()
}

/// The row's hash, from its skeleton and its [`personal_hash`].
#[must_use]
pub fn row_hash(skeleton: &Skeleton, personal: &[u8; 32]) -> [u8; 32] {
    let mut fields = Fields::default();
    fields.bytes(skeleton.id.as_bytes());
    fields.bytes(&skeleton.time.to_le_bytes());
    fields.text(skeleton.step.as_str());
    fields.text(&skeleton.outcome);
    fields.text(&skeleton.actor);
    fields.bytes(&skeleton.src.to_le_bytes());
    fields.bytes(&skeleton.seq.to_le_bytes());
    fields.optional(skeleton.replay_id.as_deref());
    fields.optional(skeleton.shared.as_deref());
    fields.bytes(personal);
    fields.finish()
}

/// Hashes fields so that no border between two can move. Each field is preceded by its length as eight little-endian
/// bytes; an absent one is marked by a length that no field has.
#[derive(Default)]
struct Fields(blake3::Hasher);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => drop(self.0.update(&u64::MAX.to_le_bytes())),
        }
    }

    fn finish(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn personal() -> Personal {
        let text = |text: &str| text.to_owned();
        Personal {
            developer: text("ada"),
            batch_id: text("b"),
            correlation_id: text("c"),
            ..Personal::default()
        }
    }

    fn skeleton() -> Skeleton {
        Skeleton {
            id: Uuid::from_u128(7),
            time: 5,
            step: Step::Persisted,
            outcome: "ok".to_owned(),
            actor: "worker/1".to_owned(),
            src: 1,
            seq: 2,
            replay_id: None,
            shared: None,
        }
    }

    #[test]
    fn every_field_and_the_salt_change_the_hash() {
        let of = |salt: u8, skeleton: &Skeleton, personal: &Personal| {
            row_hash(skeleton, &personal_hash(&[salt; 16], personal))
        };
        let base = of(0, &skeleton(), &personal());
        let others = [
            of(1, &skeleton(), &personal()),
            of(
                0,
                &Skeleton {
                    seq: 3,
                    ..skeleton()
                },
                &personal(),
            ),
            of(
                0,
                &Skeleton {
                    replay_id: Some(String::new()),
                    ..skeleton()
                },
                &personal(),
            ),
            of(
                0,
                &Skeleton {
                    shared: Some(String::new()),
                    ..skeleton()
                },
                &personal(),
            ),
            of(
                0,
                &skeleton(),
                &Personal {
                    event_id: Some(String::new()),
                    ..personal()
                },
            ),
            of(
                0,
                &skeleton(),
                &Personal {
                    developer: "ad".into(),
                    batch_id: "ab".into(),
                    ..personal()
                },
            ),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base, of(0, &skeleton(), &personal()));
    }

    #[test]
    fn shared_steps_are_listed_in_their_order() {
        let step = |step, time| SharedStep {
            step,
            time,
            actor: "c/1",
        };
        let steps = [step(Step::Received, 1), step(Step::Validated, 2)];
        assert_eq!(
            SharedStep::list(&steps).as_deref(),
            Some(
                r#"[{"actor":"c/1","step":"received","time":1},{"actor":"c/1","step":"validated","time":2}]"#
            )
        );
        assert_eq!(SharedStep::list(&[]), None);
    }
}

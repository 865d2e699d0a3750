//! What administrators decide about dead letters.

use types::audit::Step;
use types::id::{BatchRef, MessageIdentity};
use types::time::Micros;
use uuid::Uuid;

use crate::error::StoreError;
use crate::sql::shared_sql;
use crate::submission::Submission;

/// What an administrator decided about one dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterDecision {
    /// The batch; if none is known, the message's own place.
    pub at: BatchRef,
    /// `redriven` or `dropped`.
    pub step: Step,
    /// The dead letter's sequence in DEAD.
    pub dead_sequence: u64,
    /// When DEAD stored it.
    pub dead_at: Micros,
    /// What the message says of itself, if it is a batch.
    pub message: Option<MessageIdentity>,
    /// The developer that the dead letter names; the batch row, if there is one, knows better.
    pub developer: Option<String>,
    /// The job, if it is one.
    pub job_id: Option<String>,
    /// Who decided: `user@host`.
    pub by: String,
    /// Why it is dropped.
    pub reason: Option<String>,
    /// Why the message was dead-lettered.
    pub dead_reason: String,
    pub time: Micros,
    /// Which executable and instance asked for it.
    pub actor: String,
}

impl DeadLetterDecision {
    /// Whether the row at its place is of the batch that the dead letter is about: a stream that was restored to an
    /// older state gives sequences out again. A forgotten developer's row names nobody, and is taken for it.
    pub(crate) fn is_about(&self, row: &Submission) -> bool {
        let of = |named: &str, stored: &str| stored.is_empty() || named == stored;
        match (&self.message, &self.developer) {
            (Some(message), _) => of(&message.message_id, &row.message_id),
            (None, Some(developer)) => of(developer, &row.developer),
            (None, None) => true,
        }
    }

    /// The id of its audit row: the same for the same dead letter and step, so that it is written once. Made
    /// as a UUIDv7 from the dead letter's time, with BLAKE3 instead of the random bits.
    pub(crate) fn id(&self) -> Uuid {
        let name = format!(
            "{}:{}:{}",
            self.step.as_str(),
            self.dead_sequence,
            self.dead_at
        );
        let hash = blake3::hash(name.as_bytes());
        let mut bits = [0; 10];
        bits.copy_from_slice(&hash.as_bytes()[..10]);
        let millis = u64::try_from(self.dead_at / 1000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
    }
}

/// Recording what administrators decide about dead letters, and reading what became of messages that
/// were never stored.
pub trait DeadLetters: Send + Sync + 'static {
    /// Writes the decision to the audit, once for each dead letter and step; gives whether the batch is stored.
    /// Of a forgotten developer only the skeleton is written.
    fn record_decision(
        &self,
        decision: DeadLetterDecision,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The messages of this sequence, in any incarnation of a stream, that the audit names and that are not
    /// stored, by src; at most `limit`.
    fn unstored(
        &self,
        seq: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<BatchRef>, StoreError>> + Send;
}

shared_sql! {
    IS_RECORDED = "SELECT 1 FROM audit WHERE id = $1";
    UNSTORED = "SELECT DISTINCT a.src, a.seq FROM audit a
        WHERE a.src IN (SELECT src FROM sources) AND a.seq = $1
          AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.src = a.src AND b.seq = a.seq)
        ORDER BY a.src LIMIT $2";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_one_id_per_dead_letter_and_step() {
        let one = DeadLetterDecision {
            at: BatchRef { src: 1, seq: 5 },
            step: Step::Redriven,
            dead_sequence: 7,
            dead_at: 1_772_323_200_000_000,
            message: None,
            developer: None,
            job_id: None,
            by: "ada@host".to_owned(),
            reason: None,
            dead_reason: "x".to_owned(),
            time: 0,
            actor: "devtrail/1".to_owned(),
        };
        let again = DeadLetterDecision {
            by: "bob@host".to_owned(),
            time: 9,
            ..one.clone()
        };
        assert_eq!(one.id(), again.id());
        let others = [
            DeadLetterDecision {
                step: Step::Dropped,
                ..one.clone()
            },
            DeadLetterDecision {
                dead_sequence: 8,
                ..one.clone()
            },
            DeadLetterDecision {
                dead_at: one.dead_at + 1,
                ..one.clone()
            },
        ];
        assert!(others.iter().all(|other| other.id() != one.id()));
        assert_eq!(one.id().get_version_num(), 7);
    }
}

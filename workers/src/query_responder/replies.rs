//! What the store holds, as the reply types of `types::query`. Pure.

use store::{NotAccepted, StoredBatch, StoredOriginal, Submission};
use types::event_streams::StreamSequence;
use types::query::{StoredReply, SubmissionReply};
use types::time::rfc3339;
use types::verdict::{Exception, Original};

/// A submission in this stream, as `GET /v1/batches/{batch_id}` lists it.
#[must_use]
pub fn submission(stored: Submission, stream: &str) -> SubmissionReply {
    let [need, done, failed] = stored.masks.map(|mask| mask.kinds().collect());
    SubmissionReply {
        batch_id: stored.batch_id,
        correlation_id: stored.correlation_id,
        stream_sequence: StreamSequence::new(stream, stored.at.seq),
        state: stored.state,
        counts: stored.counts,
        need,
        done,
        failed,
        received_at: rfc3339(stored.received_at),
        published_at: rfc3339(stored.published_at),
        persisted_at: rfc3339(stored.persisted_at),
    }
}

/// A stored batch in this stream, as `Prefer: wait` reports it. `is_queried` if it is the very message that was
/// queried.
#[must_use]
pub fn stored(batch: StoredBatch, stream: &str, is_queried: bool) -> StoredReply {
    StoredReply {
        stream_sequence: StreamSequence::new(stream, batch.first.at.seq),
        duplicate_batch: !is_queried,
        counts: batch.first.counts,
        exceptions: batch.not_accepted.into_iter().map(exception).collect(),
    }
}

fn exception(event: NotAccepted) -> Exception {
    let original = |original: StoredOriginal| {
        if original.at.batch() == event.at.batch() {
            Original::SameBatch {
                index: original.at.ordinal,
            }
        } else {
            Original::Stored {
                at: original.at,
                batch_id: original.batch_id,
                received_at: rfc3339(original.received_at),
            }
        }
    };
    Exception {
        index: event.at.ordinal,
        id: event.event_id,
        verdict: event.code.verdict(),
        code: event.code,
        pointer: event.pointer,
        detail: event.detail,
        // The collector that queries fills it in: it has the schemas.
        supported: None,
        original: event.original.map(original),
    }
}

#[cfg(test)]
mod tests {
    use types::id::BatchRef;
    use types::id::EventRef;
    use types::job::{BatchState, JobKind, Mask};
    use types::verdict::{Code, Counts, Verdict};

    use super::*;

    fn stored_batch(at: BatchRef) -> Submission {
        Submission {
            at,
            developer: "ada".to_owned(),
            batch_id: "b1".to_owned(),
            message_id: String::new(),
            correlation_id: "c1".to_owned(),
            state: BatchState::Failed,
            masks: [Mask::ALL, JobKind::Normalize.bit(), Mask(1 | 4)],
            counts: Counts {
                received: 3,
                accepted: 1,
                duplicate: 2,
                ..Counts::default()
            },
            received_at: 1_500_000,
            published_at: 1_600_000,
            persisted_at: 1_700_000,
        }
    }

    fn refused(at: EventRef, code: Code, original: Option<StoredOriginal>) -> NotAccepted {
        let event_id = Some("e1".to_owned());
        NotAccepted {
            at,
            event_id,
            code,
            pointer: None,
            detail: None,
            original,
        }
    }

    #[test]
    fn masks_become_kinds_and_instants_become_times() {
        let reply = submission(stored_batch(BatchRef { src: 2, seq: 7 }), "EVENTS-1-of-3");
        assert_eq!(
            (reply.stream_sequence.to_string().as_str(), reply.state),
            ("EVENTS-1-of-3:7", BatchState::Failed)
        );
        assert_eq!(reply.need, JobKind::ALL);
        assert_eq!(reply.done, [JobKind::Normalize]);
        assert_eq!(reply.failed, [JobKind::Aggregate, JobKind::Alert]);
        assert_eq!(reply.received_at, "1970-01-01T00:00:01.500000Z");
        assert_eq!(reply.persisted_at, "1970-01-01T00:00:01.700000Z");
    }

    #[test]
    fn an_original_is_named_by_its_place_or_by_its_batch() {
        let at = BatchRef { src: 2, seq: 7 };
        let elsewhere = BatchRef { src: 1, seq: 7 }.event(0);
        let original = |at, batch_id: &str, received_at| StoredOriginal {
            at,
            batch_id: batch_id.to_owned(),
            received_at,
        };
        let not_accepted = vec![
            refused(
                at.event(1),
                Code::DuplicateId,
                Some(original(at.event(0), "b1", 1_500_000)),
            ),
            refused(
                at.event(2),
                Code::IdConflict,
                Some(original(elsewhere, "b0", 1_000_000)),
            ),
            refused(at.event(3), Code::SchemaVersionUnsupported, None),
        ];
        let batch = |not_accepted| StoredBatch {
            first: stored_batch(at),
            not_accepted,
        };
        let reply = stored(batch(not_accepted), "EVENTS", true);
        assert!(!reply.duplicate_batch && reply.stream_sequence.to_string() == "7");
        let [one, two, three] = &reply.exceptions[..] else {
            panic!("{reply:?}")
        };
        assert_eq!((one.index, one.verdict), (1, Verdict::Duplicate));
        assert_eq!(one.original, Some(Original::SameBatch { index: 0 }));
        assert_eq!((two.index, two.verdict), (2, Verdict::Quarantined));
        let received_at = "1970-01-01T00:00:01.000000Z".to_owned();
        assert_eq!(
            two.original,
            Some(Original::Stored {
                at: elsewhere,
                batch_id: "b0".to_owned(),
                received_at
            })
        );
        assert_eq!(
            (three.index, three.code),
            (3, Code::SchemaVersionUnsupported)
        );
        assert!(stored(batch(Vec::new()), "EVENTS", false).duplicate_batch);
    }
}

//! Audit notes of what administrators decided about dead letters.

use store::{DeadLetterDecision, DeadLetters, Persist};
use types::audit::Step;
use types::id::{BatchRef, DeveloperId, is_id};
use types::json::shorten;
use types::query::{DecisionRecorded, DecisionRequest};

use super::responder::QueryFailure;

/// Longest text of the audit row's detail, in bytes: a dead letter's reason is no longer.
const MAX_TEXT: usize = 1024;

/// Writes the note as `step`; the reply says whether its batch is stored.
pub async fn write<S: Persist + DeadLetters>(
    store: &S,
    note: DecisionRequest,
    step: Step,
) -> Result<DecisionRecorded, QueryFailure> {
    // The actor goes into a column that takes no control characters.
    if !is_id(&note.actor) {
        return Err(QueryFailure::BadName("an actor"));
    }
    let at = match note.batch {
        Some(at) => at,
        None => BatchRef {
            src: store.source(&note.incarnation).await?,
            seq: note.seq,
        },
    };
    let short = |text: String| shorten(&text, MAX_TEXT);
    let decision = DeadLetterDecision {
        at,
        step,
        dead_sequence: note.dead_sequence,
        dead_at: note.dead_at,
        message: note.message,
        developer: note
            .developer
            .filter(|name| name.parse::<DeveloperId>().is_ok()),
        job_id: note.job_id.map(short),
        by: short(note.by),
        reason: note.reason.map(short),
        dead_reason: short(note.dead_reason),
        time: note.at,
        actor: note.actor,
    };
    tracing::info!(batch = %at, step = step.as_str(), by = decision.by, "a dead letter is decided about");
    Ok(DecisionRecorded {
        stored: store.record_decision(decision).await?,
    })
}

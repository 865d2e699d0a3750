//! Notes of resends that the stream dropped, written to the audit (R7.2).

use std::time::Duration;

use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::History;
use types::id::is_id;
use types::query::ResendNote;

/// How often a note is tried to be written: over up to nine seconds, as its batch may not be stored yet.
const TRIES: u32 = 9;
const RETRY: RetryPolicy = RetryPolicy {
    cap: Duration::from_secs(3),
    ..RetryPolicy::DEFAULT
};

/// Writes a note down, once its batch is stored.
pub async fn write<S: History>(store: &S, note: ResendNote, actor: &str, shutdown: &Shutdown) {
    // Texts go into columns that take no control characters.
    if !is_id(&note.correlation_id) || !is_id(&note.collector) {
        tracing::warn!(
            actor,
            seq = note.seq,
            "a note of a resend with damaged ids is dropped"
        );
        return;
    }
    let mut last = String::new();
    for attempt in 0..TRIES {
        let (incarnation, correlation_id) = (note.incarnation.clone(), note.correlation_id.clone());
        let written = store.record_resend(
            incarnation,
            note.seq,
            correlation_id,
            note.received_at,
            note.collector.clone(),
        );
        match written.await {
            Ok(true) => return,
            Ok(false) => last = "its batch is not stored".to_owned(),
            Err(error) if error.is_transient() => last = error.to_string(),
            Err(error) => {
                tracing::error!(actor, seq = note.seq, %error, "a note of a resend cannot be written");
                return;
            }
        }
        if attempt + 1 == TRIES {
            break;
        }
        tokio::select! { () = RETRY.pause(attempt) => {}, () = shutdown.draining() => break }
    }
    tracing::debug!(actor, seq = note.seq, last, "a note of a resend is dropped");
}

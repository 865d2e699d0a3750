//! Audit notes of resends that the stream dropped (R7.2).

use std::time::Duration;

use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::History;
use types::id::is_id;
use types::query::ResendNote;

/// Attempts to write a note, over up to nine seconds: its batch may not be stored yet.
const ATTEMPTS: u32 = 9;
const RETRY: RetryPolicy = RetryPolicy {
    cap: Duration::from_secs(3),
    ..RetryPolicy::DEFAULT
};

/// Writes a note once its batch is stored.
pub async fn write<S: History>(store: &S, note: ResendNote, actor: &str, shutdown: &Shutdown) {
    // Texts go into columns that take no control characters.
    if !is_id(&note.correlation_id) || !is_id(&note.collector) {
        tracing::warn!(
            actor,
            seq = note.seq,
            "an audit note of a resend with damaged ids is dropped"
        );
        return;
    }
    let mut backoff = RETRY.backoff(shutdown);
    let reason = loop {
        let written = store.record_resend(note.clone());
        let reason = match written.await {
            Ok(true) => return,
            Ok(false) => "its batch is not stored".to_owned(),
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => {
                tracing::error!(actor, seq = note.seq, %error, "an audit note of a resend cannot be written");
                return;
            }
        };
        if backoff.attempt() + 1 == ATTEMPTS || !backoff.wait().await {
            break reason;
        }
    };
    tracing::debug!(
        actor,
        seq = note.seq,
        reason,
        "an audit note of a resend is dropped"
    );
}

//! One probe, within a bounded time.

use std::fmt::Display;
use std::time::Duration;

/// What a probe does not find out by then stays as it was.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// The result of a probe of `what`; `None`, which is logged, if it fails or takes too long.
pub async fn probe<T, E: Display>(
    what: &str,
    probing: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match tokio::time::timeout(PROBE_TIMEOUT, probing).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the watcher cannot probe {what}; its alerts stay as they are");
            None
        }
        Err(_) => {
            let seconds = PROBE_TIMEOUT.as_secs();
            tracing::warn!(
                seconds,
                "the watcher got no answer in time about {what}; its alerts stay as they are"
            );
            None
        }
    }
}

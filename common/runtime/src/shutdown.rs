//! Shutdown in two bounded steps: first drain, then abort.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells the parts of a program when to shut down.
///
/// *Drain*: take no new work, finish what is in flight. *Abort*: return what is still in flight.
#[derive(Debug, Clone)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
    timeout: Duration,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::begin`] starts.
    #[must_use]
    pub fn manual(timeout: Duration) -> Self {
        Self {
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            timeout,
        }
    }

    /// A shutdown that SIGTERM or SIGINT begins; a second signal aborts at once.
    ///
    /// # Errors
    /// Returns the system's [`io::Error`](std::io::Error) if the signals cannot be caught.
    pub fn on_signals(timeout: Duration) -> std::io::Result<Self> {
        let shutdown = Self::manual(timeout);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let signalled = shutdown.clone();
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                if signalled.is_draining() {
                    tracing::warn!("a second signal: stopping at once");
                    signalled.abort.cancel();
                } else {
                    tracing::info!(
                        timeout = ?signalled.timeout,
                        "stopping: finishing what is in flight; a second signal stops at once"
                    );
                    signalled.begin();
                }
            }
        });
        Ok(shutdown)
    }

    /// Begins to drain; aborts when the timeout has passed. Must be called in a runtime.
    pub fn begin(&self) {
        if self.is_draining() {
            return;
        }
        self.drain.cancel();
        let abort = self.abort.clone();
        let timeout = self.timeout;
        tokio::spawn(async move {
            if tokio::time::timeout(timeout, abort.cancelled())
                .await
                .is_err()
            {
                abort.cancel();
            }
        });
    }

    /// Whether no new work may be taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until no new work may be taken.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until everything must be returned.
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    /// The token that is cancelled when draining begins.
    #[must_use]
    pub fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// The token that is cancelled when everything must be returned.
    #[must_use]
    pub fn abort_token(&self) -> CancellationToken {
        self.abort.clone()
    }
}

//! How the breaker before the stream closes again, whether or not a batch comes.
//!
//! No batch tells of two things: the connection is back, and nobody sends. After the first an open breaker need not
//! stay open for its time. In the second case the collector probes by itself, since nothing else would ever decide.

use std::time::Duration;

use async_nats::jetstream;
use bus::BindError;
use runtime::breaker::{BreakerState, CallOutcome, CallPermit, Guard};
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;
use types::event_streams::EventStream;

/// Half-open, batches have so long to be the probes: they tell more than a request for the stream's state.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// A server that has not answered by then does not work.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Closes the stream's breaker as soon as the stream works again.
pub struct BreakerRecovery {
    pub js: jetstream::Context,
    pub stream: EventStream,
    pub breaker: Guard,
    /// Changes with each connection that the client makes.
    pub connected: watch::Receiver<()>,
    pub retry: RetryPolicy,
    pub shutdown: Shutdown,
}

impl BreakerRecovery {
    /// Runs until the process shuts down.
    pub async fn run(mut self) {
        let drain = self.shutdown.drain_token();
        let recover = async {
            loop {
                tokio::select! {
                    permit = self.breaker.idle(IDLE_TIMEOUT) => self.probe(permit).await,
                    changed = self.connected.changed() => match changed {
                        Ok(()) => self.reconnected().await,
                        // The client has ended, and with it the process.
                        Err(_) => return,
                    },
                }
            }
        };
        drain.run_until_cancelled(recover).await;
    }

    /// Probes in place of a batch.
    async fn probe(&self, permit: CallPermit) {
        match self.stream_answers().await {
            Ok(()) => permit.done(CallOutcome::Ok),
            Err(reason) => permit.failed(&reason),
        }
    }

    /// Lets batches be tried at once when the stream answers, unless the breaker is no longer open by then.
    ///
    /// A server that takes connections may still have no stream, or a cluster no leader. Batches tried then would
    /// fail, and keep the breaker open for longer.
    async fn reconnected(&self) {
        let mut backoff = self.retry.backoff(&self.shutdown);
        while self.breaker.state() == BreakerState::Open {
            match self.stream_answers().await {
                Ok(()) => {
                    tracing::info!(
                        "NATS is connected again and the stream answers: batches are tried at once"
                    );
                    return self.breaker.hint();
                }
                Err(reason) => {
                    let attempt = backoff.attempt();
                    tracing::debug!(
                        reason,
                        attempt,
                        "NATS is connected, its stream does not answer yet"
                    );
                }
            }
            if !backoff.wait().await {
                return;
            }
        }
    }

    /// Whether the stream answers. One with other settings than declared does, too.
    async fn stream_answers(&self) -> Result<(), String> {
        let name = self.stream.to_string();
        match timeout(ANSWER_TIMEOUT, bus::bind_stream(&self.js, &name)).await {
            Ok(Ok(_) | Err(BindError::Unsafe { .. })) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "the stream {name} did not answer within {ANSWER_TIMEOUT:?}"
            )),
        }
    }
}

//! How the breaker before the stream closes again, whether or not a batch comes.
//!
//! Two things that no batch tells: the connection is back, and nobody sends. After the first an opening need not run
//! out; in the second case the collector asks by itself, since nothing else would ever decide.

use std::time::Duration;

use async_nats::jetstream;
use bus::BindError;
use runtime::breaker::{Guard, Outcome, Permit, State};
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;

/// Half-open, batches have so long to be the probes: they tell more than a question does.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that has not answered by then is not well.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Looks after `breaker` until the process stops. `connected` is told at each connection that the client makes.
pub async fn run(
    js: jetstream::Context,
    breaker: Guard,
    mut connected: watch::Receiver<()>,
    pauses: RetryPolicy,
    shutdown: Shutdown,
) {
    let forever = async {
        loop {
            tokio::select! {
                permit = breaker.idle(PATIENCE) => probe(&js, permit).await,
                told = connected.changed() => match told {
                    Ok(()) => hint(&js, &breaker, pauses).await,
                    // The client has ended, and with it the process.
                    Err(_) => return,
                },
            }
        }
    };
    // Whether it answers is nobody's business then.
    shutdown.drain_token().run_until_cancelled(forever).await;
}

/// Asks for no batch's sake.
async fn probe(js: &jetstream::Context, permit: Permit) {
    match answers(js).await {
        Ok(()) => permit.done(Outcome::Ok),
        Err(reason) => permit.failed(&reason),
    }
}

/// A server that takes connections may still have no stream, or a cluster no leader: batches that were tried then
/// would fail and lengthen the pause. So they are tried when the stream answers, or the opening is over anyway.
async fn hint(js: &jetstream::Context, breaker: &Guard, pauses: RetryPolicy) {
    for attempt in 0.. {
        if breaker.state() != State::Open {
            return;
        }
        match answers(js).await {
            Ok(()) => {
                tracing::info!(
                    "NATS is connected again and the stream answers: batches are tried at once"
                );
                return breaker.hint();
            }
            Err(reason) => {
                tracing::debug!(
                    reason,
                    attempt,
                    "NATS is connected, its stream does not answer yet"
                );
            }
        }
        pauses.pause(attempt).await;
    }
}

/// Whether the stream answers. One with other settings than it must have does, too.
async fn answers(js: &jetstream::Context) -> Result<(), String> {
    match timeout(ANSWERS_WITHIN, bus::bind_stream(js, bus::EVENTS)).await {
        Ok(Ok(_) | Err(BindError::Unsafe { .. })) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "the stream {} did not tell of itself within {ANSWERS_WITHIN:?}",
            bus::EVENTS
        )),
    }
}

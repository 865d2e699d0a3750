//! A breaker that the tasks of a process share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use types::json::shorten;

use super::machine::{Breaker, BreakerState, CallOutcome, Ticket};
use super::settings::BreakerSettings;

/// Most bytes kept of a failure's reason.
const MAX_REASON: usize = 256;

/// A shared breaker. Cheap to clone; all clones are one breaker.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    name: String,
    started: Instant,
    shared: Mutex<Shared>,
    /// The state that was last published.
    state: watch::Sender<BreakerState>,
    /// Counted up with `state`, for whoever watches all breakers.
    changes: watch::Sender<u64>,
    /// The end of a call, which may free the place of a probe.
    ended: Notify,
}

struct Shared {
    breaker: Breaker,
    /// Of the last failure that counted.
    reason: Option<Box<str>>,
}

/// A call that was let through. Dropped without an end, it counts as [`CallOutcome::Ignored`].
pub struct CallPermit {
    guard: Guard,
    ticket: Option<Ticket>,
}

/// A breaker's state, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerReport {
    /// The dependency it protects: `store`, `stream`, `webhook:<name>`.
    pub name: String,
    /// Its state.
    pub state: BreakerState,
    /// The last failure that counted, while it is not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Guard {
    pub(super) fn new(name: &str, settings: BreakerSettings, changes: watch::Sender<u64>) -> Self {
        let shared = Mutex::new(Shared {
            breaker: Breaker::new(settings),
            reason: None,
        });
        Self(Arc::new(Inner {
            name: name.to_owned(),
            started: Instant::now(),
            shared,
            state: watch::Sender::new(BreakerState::Closed),
            changes,
            ended: Notify::new(),
        }))
    }

    /// The dependency it protects.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// Returns how long to wait if it is open. That is zero if all probes are in flight: the end of one decides.
    pub fn acquire(&self) -> Result<CallPermit, Duration> {
        let acquired = self.step(|shared, now| shared.breaker.acquire(now));
        acquired.map(|ticket| CallPermit {
            guard: self.clone(),
            ticket: Some(ticket),
        })
    }

    /// Waits until a call is let through.
    pub async fn admitted(&self) -> CallPermit {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            match self.acquire() {
                Ok(permit) => return permit,
                // The end of a probe decides.
                Err(Duration::ZERO) => ended.await,
                // A hint ends an opening early: it counts as an end, too.
                Err(open_for) => tokio::select! {
                    () = ended => {}
                    () = tokio::time::sleep(open_for) => {} // sleep: as long as the breaker is open
                },
            }
        }
    }

    /// Waits until it has been half-open for `timeout` without a call, and lets an artificial probe through. Real
    /// calls are the better probes, if there are any.
    pub async fn idle(&self, timeout: Duration) -> CallPermit {
        let mut state = self.0.state.subscribe();
        loop {
            if *state.borrow_and_update() == BreakerState::Closed {
                // The sender lives as long as this breaker.
                let _ = state.changed().await;
                continue;
            }
            tokio::select! {
                // A new state begins a new timeout; an error cannot occur, as above.
                _ = state.changed() => continue,
                () = tokio::time::sleep(self.open_for() + timeout) => {} // sleep: open, and then idle
            }
            if self.state() == BreakerState::HalfOpen
                && let Ok(permit) = self.acquire()
            {
                return permit;
            }
        }
    }

    /// The dependency may be healthy again: if it is open, probes are let through from now on.
    pub fn hint(&self) {
        self.step(|shared, now| shared.breaker.hint(now));
        self.0.ended.notify_waiters();
    }

    /// How long to wait if a call would be refused now; zero if the end of a probe decides.
    /// For work that is not worth beginning then; whoever goes on still needs a [`CallPermit`].
    #[must_use]
    pub fn refuses(&self) -> Option<Duration> {
        self.read(|shared, now| shared.breaker.refuses(now))
    }

    /// Waits until it is open. Calls in flight need not be waited for then.
    pub async fn opened(&self) {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as this breaker.
        let _ = state.wait_for(|state| *state == BreakerState::Open).await;
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.read(|shared, now| shared.breaker.state(now))
    }

    /// How long it stays open; zero if it is not open.
    #[must_use]
    pub fn open_for(&self) -> Duration {
        self.read(|shared, now| shared.breaker.open_for(now))
    }

    /// Its state and, while that is not closed, the reason.
    #[must_use]
    pub fn report(&self) -> BreakerReport {
        let (state, reason) =
            self.read(|shared, now| (shared.breaker.state(now), shared.reason.clone()));
        let reason = reason
            .filter(|_| state != BreakerState::Closed)
            .map(String::from);
        BreakerReport {
            name: self.name().to_owned(),
            state,
            reason,
        }
    }

    fn read<T>(&self, at: impl FnOnce(&Shared, Duration) -> T) -> T {
        let shared = self.shared();
        at(&shared, self.0.started.elapsed())
    }

    /// Takes a step, and publishes a change of state once, in the order of the changes.
    fn step<T>(&self, step: impl FnOnce(&mut Shared, Duration) -> T) -> T {
        let mut shared = self.shared();
        // Read under the lock: no step is earlier than the one before.
        let now = self.0.started.elapsed();
        let done = step(&mut shared, now);
        let state = shared.breaker.state(now);
        let open_for = shared.breaker.open_for(now);
        let mut was = state;
        let changed = self.0.state.send_if_modified(|published| {
            was = std::mem::replace(published, state);
            was != state
        });
        if changed {
            self.0.changes.send_modify(|changes| *changes += 1);
            let reason = shared.reason.as_deref().unwrap_or("unknown");
            log_change(self.name(), was, state, open_for, reason);
        }
        done
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // The breaker's own steps do not panic half-way.
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_change(
    breaker: &str,
    was: BreakerState,
    is: BreakerState,
    open_for: Duration,
    reason: &str,
) {
    let was = was.as_str();
    let now = is.as_str();
    match is {
        BreakerState::Open => {
            let message = "a circuit breaker opened: calls are not tried";
            tracing::error!(breaker, was, is = now, ?open_for, reason, "{message}");
        }
        BreakerState::HalfOpen => {
            tracing::info!(
                breaker,
                was,
                is = now,
                "a circuit breaker lets probes through"
            );
        }
        BreakerState::Closed => {
            tracing::info!(
                breaker,
                was,
                is = now,
                "a circuit breaker closed: calls are tried again"
            );
        }
    }
}

impl CallPermit {
    /// Counts how the call ended.
    pub fn done(mut self, outcome: CallOutcome) {
        self.end(outcome, None);
    }

    /// Counts a failure, with its reason for the log and `devtrail status`.
    pub fn failed(mut self, reason: &str) {
        self.end(CallOutcome::Failed, Some(reason));
    }

    fn end(&mut self, outcome: CallOutcome, reason: Option<&str>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        self.guard.step(|shared, now| {
            if outcome == CallOutcome::Failed && shared.breaker.counts(ticket) {
                shared.reason = reason.map(|reason| shorten(reason, MAX_REASON).into());
            }
            shared.breaker.done(ticket, outcome, now);
        });
        self.guard.0.ended.notify_waiters();
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.end(CallOutcome::Ignored, None);
    }
}

#[cfg(test)]
mod tests;

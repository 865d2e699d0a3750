//! A breaker that the tasks of a process share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Breaker, BreakerSettings, Outcome, State, Ticket};
use types::json::shorten;

/// Most bytes kept of a failure's reason.
const MAX_REASON: usize = 256;

/// A shared breaker. Cheap to clone; all clones are one breaker.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    name: String,
    started: Instant,
    shared: Mutex<Shared>,
    /// The state as it was told last.
    told: watch::Sender<State>,
    /// Told with `told`, for whoever watches all breakers.
    changes: watch::Sender<u64>,
    /// The end of a call, where it may free a probe's place.
    ended: Notify,
}

struct Shared {
    breaker: Breaker,
    /// Of the last failure that counted.
    reason: Option<Box<str>>,
}

/// A call that was let through. Dropped without an end, it counts as [`Outcome::Ignored`].
pub struct Permit {
    guard: Guard,
    ticket: Option<Ticket>,
}

/// A breaker's state, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it stands before: `store`, `stream`, `webhook:<name>`.
    pub name: String,
    /// Its state.
    pub state: State,
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
        let told = watch::Sender::new(State::Closed);
        let (name, started, ended) = (name.to_owned(), Instant::now(), Notify::new());
        Self(Arc::new(Inner {
            name,
            started,
            shared,
            told,
            changes,
            ended,
        }))
    }

    /// What it stands before.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets a call through, or says after how long to try again; zero where a probe's end decides.
    ///
    /// # Errors
    /// Where it is open, or as many probes as it allows are under way.
    pub fn acquire(&self) -> Result<Permit, Duration> {
        let acquired = self.step(|shared, now| shared.breaker.acquire(now));
        acquired.map(|ticket| Permit {
            guard: self.clone(),
            ticket: Some(ticket),
        })
    }

    /// Waits until a call is let through.
    pub async fn admitted(&self) -> Permit {
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

    /// Waits until it has been half-open for `patience` with no call that decided, and lets one through that asks for
    /// nobody. Calls that are wanted are the better probes, where there are any.
    pub async fn idle(&self, patience: Duration) -> Permit {
        let mut told = self.0.told.subscribe();
        loop {
            if *told.borrow_and_update() == State::Closed {
                // The sender lives as long as this breaker.
                let _ = told.changed().await;
                continue;
            }
            tokio::select! {
                // A new state, a new patience; an error cannot be, as above.
                _ = told.changed() => continue,
                () = tokio::time::sleep(self.open_for() + patience) => {} // sleep: open, and then idle
            }
            if self.state() == State::HalfOpen
                && let Ok(permit) = self.acquire()
            {
                return permit;
            }
        }
    }

    /// What stands behind it may be well again: where it is open, probes are let through from now on.
    pub fn hint(&self) {
        self.step(|shared, now| shared.breaker.hint(now));
        self.0.ended.notify_waiters();
    }

    /// Whether a call would be refused now, and after how long to try again; zero where a probe's end decides.
    /// For what is not worth beginning then; whoever goes on still needs a [`Permit`].
    #[must_use]
    pub fn refuses(&self) -> Option<Duration> {
        self.look(|shared, now| shared.breaker.refuses(now))
    }

    /// Waits until it is open. What is under way then need not be waited for.
    pub async fn opened(&self) {
        let mut told = self.0.told.subscribe();
        // The sender lives as long as this breaker.
        let _ = told.wait_for(|state| *state == State::Open).await;
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.look(|shared, now| shared.breaker.state(now))
    }

    /// How long it stays open; zero where it is not open.
    #[must_use]
    pub fn open_for(&self) -> Duration {
        self.look(|shared, now| shared.breaker.open_for(now))
    }

    /// Its state and, while that is not closed, the reason.
    #[must_use]
    pub fn report(&self) -> Report {
        let (state, reason) =
            self.look(|shared, now| (shared.breaker.state(now), shared.reason.clone()));
        let reason = reason.filter(|_| state != State::Closed).map(String::from);
        Report {
            name: self.name().to_owned(),
            state,
            reason,
        }
    }

    fn look<T>(&self, at: impl FnOnce(&Shared, Duration) -> T) -> T {
        let shared = self.shared();
        at(&shared, self.0.started.elapsed())
    }

    /// Takes a step, and tells a change of state once, in the order of the changes.
    fn step<T>(&self, step: impl FnOnce(&mut Shared, Duration) -> T) -> T {
        let mut shared = self.shared();
        // Read under the lock: no step is earlier than the one before.
        let now = self.0.started.elapsed();
        let done = step(&mut shared, now);
        let (state, open_for) = (shared.breaker.state(now), shared.breaker.open_for(now));
        let mut was = state;
        let changed = self.0.told.send_if_modified(|told| {
            was = std::mem::replace(told, state);
            was != state
        });
        if changed {
            self.0.changes.send_modify(|changes| *changes += 1);
            let reason = shared.reason.as_deref().unwrap_or("unknown");
            log(self.name(), (was, state), open_for, reason);
        }
        done
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // The breaker's own steps do not panic half-way.
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(breaker: &str, (was, is): (State, State), open_for: Duration, reason: &str) {
    let (was, now) = (was.as_str(), is.as_str());
    match is {
        State::Open => {
            let told = "a circuit breaker opened: calls are not tried";
            tracing::error!(breaker, was, is = now, ?open_for, reason, "{told}");
        }
        State::HalfOpen => {
            tracing::info!(
                breaker,
                was,
                is = now,
                "a circuit breaker lets probes through"
            );
        }
        State::Closed => {
            tracing::info!(
                breaker,
                was,
                is = now,
                "a circuit breaker closed: all is well again"
            );
        }
    }
}

impl Permit {
    /// Counts how the call ended.
    pub fn done(mut self, outcome: Outcome) {
        self.end(outcome, None);
    }

    /// Counts a failure, with its reason for the log and `devtrail status`.
    pub fn failed(mut self, reason: &str) {
        self.end(Outcome::Failed, Some(reason));
    }

    fn end(&mut self, outcome: Outcome, reason: Option<&str>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        self.guard.step(|shared, now| {
            if outcome == Outcome::Failed && shared.breaker.counts(ticket) {
                shared.reason = reason.map(|reason| shorten(reason, MAX_REASON).into());
            }
            shared.breaker.done(ticket, outcome, now);
        });
        self.guard.0.ended.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Outcome::Ignored, None);
    }
}

#[cfg(test)]
mod tests;

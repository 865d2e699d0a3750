//! A breaker that the tasks of a process share, by name; and all breakers of the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Breaker, BreakerSettings, Outcome, State, Ticket};

/// A shared breaker. Cheap to clone; all clones are one breaker.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    name: String,
    started: Instant,
    breaker: Mutex<Breaker>,
    /// The state as it was told last; changes with the end of each call, so that waiters look again.
    told: watch::Sender<State>,
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
}

impl Guard {
    fn new(name: &str, settings: BreakerSettings) -> Self {
        let (told, _) = watch::channel(State::Closed);
        let breaker = Mutex::new(Breaker::new(settings));
        Self(Arc::new(Inner { name: name.to_owned(), started: Instant::now(), breaker, told }))
    }

    /// What it stands before.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets a call through, or says after how long to try again.
    ///
    /// # Errors
    /// Where it is open, or as many probes as it allows are under way.
    pub fn acquire(&self) -> Result<Permit, Duration> {
        let acquired = self.breaker().acquire(self.now());
        self.tell();
        acquired.map(|ticket| Permit { guard: self.clone(), ticket: Some(ticket) })
    }

    /// Waits until a call is let through.
    pub async fn admitted(&self) -> Permit {
        let mut ended = self.0.told.subscribe();
        loop {
            ended.mark_unchanged();
            match self.acquire() {
                Ok(permit) => return permit,
                // The end of a probe decides. The sender lives as long as this breaker.
                Err(Duration::ZERO) => {
                    let _ = ended.changed().await;
                }
                Err(open_for) => tokio::time::sleep(open_for).await, // sleep: as long as the breaker is open
            }
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.breaker().state(self.now())
    }

    /// How long it stays open; zero where it is not open.
    #[must_use]
    pub fn open_for(&self) -> Duration {
        self.breaker().open_for(self.now())
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // The breaker's own steps do not panic half-way.
        self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a change of state once, and wakes those who wait.
    fn tell(&self) {
        let (state, open_for) = (self.state(), self.open_for());
        let before = self.0.told.send_replace(state);
        if before == state {
            return;
        }
        let (breaker, was, is) = (self.name(), before.as_str(), state.as_str());
        match state {
            State::Open => {
                tracing::error!(breaker, was, is, ?open_for, "a circuit breaker opened: calls are not tried");
            }
            State::HalfOpen => tracing::info!(breaker, was, is, "a circuit breaker lets probes through"),
            State::Closed => tracing::info!(breaker, was, is, "a circuit breaker closed: all is well again"),
        }
    }
}

impl Permit {
    /// Counts how the call ended.
    pub fn done(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let now = self.guard.now();
            self.guard.breaker().done(ticket, outcome, now);
            self.guard.tell();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Outcome::Ignored);
    }
}

/// The breakers of a process, by name. Cheap to clone; all clones are one list.
#[derive(Clone, Default)]
pub struct Breakers(Arc<Mutex<Vec<Guard>>>);

impl Breakers {
    /// The breaker of this name: made where there is none yet, else the one there is.
    #[must_use]
    pub fn guard(&self, name: &str, settings: BreakerSettings) -> Guard {
        let mut all = self.all();
        if let Some(guard) = all.iter().find(|guard| guard.name() == name) {
            return guard.clone();
        }
        let guard = Guard::new(name, settings);
        all.push(guard.clone());
        guard
    }

    /// The state of each.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.all()
            .iter()
            .map(|guard| Report { name: guard.name().to_owned(), state: guard.state() })
            .collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Guard>> {
        // A list that is only pushed to cannot be left half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_through_when_the_opening_has_run_out_and_probes_are_bounded() {
        let guard = Breakers::default().guard("store", BreakerSettings::DEFAULT);
        for _ in 0..5 {
            guard.acquire().ok().unwrap().done(Outcome::Failed);
        }
        assert_eq!((guard.state(), guard.acquire().err()), (State::Open, Some(Duration::from_secs(5))));
        let began = Instant::now();
        let mut probes = Vec::new();
        for _ in 0..3 {
            probes.push(guard.admitted().await);
        }
        assert_eq!((began.elapsed(), guard.state()), (Duration::from_secs(5), State::HalfOpen));
        assert_eq!(guard.acquire().err(), Some(Duration::ZERO), "no fourth probe");
        // One that says nothing gives its place back, and who waits for it gets it.
        let waiting = tokio::spawn({
            let guard = guard.clone();
            async move { guard.admitted().await.done(Outcome::Ok) }
        });
        tokio::task::yield_now().await;
        drop(probes.pop());
        waiting.await.unwrap();
        assert_eq!(guard.state(), State::HalfOpen);
        probes.into_iter().for_each(|probe| probe.done(Outcome::Ok));
        assert_eq!(guard.state(), State::Closed);
    }
}

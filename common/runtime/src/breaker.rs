//! Circuit breakers: what fails again and again is left alone for a while. Pure; time is passed in.
//!
//! Closed, a call is let through and its outcome counted. Open, none is. Half-open, a few probes are,
//! and their outcomes decide. The state machine is that of M. Nygard, *Release It!* (2007), the
//! sliding window and the bounded probes those of resilience4j; the third outcome, [`Outcome::Ignored`],
//! is ours: input that is bad says nothing of whether the other side is well.

mod guard;
mod list;
mod settings;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

pub use guard::{Guard, Permit, Report};
pub use list::Breakers;
pub use settings::BreakerSettings;
use window::Window;

/// What a call says of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is well.
    Ok,
    /// It failed, and not because of what was asked.
    Failed,
    /// Nothing: the input was bad, or nobody waited for the end. Gives a probe's place back.
    Ignored,
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Lets it through.
    Closed,
    /// Refuses it.
    Open,
    /// Lets it through as a probe, while there is a place for one.
    HalfOpen,
}

impl State {
    /// Its name in metrics, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A call that was let through: it belongs to the state, and the time of it, that let it through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    generation: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Closed { window: Window, in_a_row: u32 },
    Open { until: Duration },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// A circuit breaker. Times are those of one monotonic clock, from any start.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Rises with each change of phase: what was let through before says nothing any more.
    generation: u64,
    /// How long the next opening lasts.
    open_for: Duration,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let phase = Phase::Closed {
            window: Window::new(settings.window),
            in_a_row: 0,
        };
        Self {
            settings,
            phase,
            generation: 0,
            open_for: settings.first_opening(),
        }
    }

    /// Its state at `now`: an opening that has run out is half-open.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Whether a call would be refused at `now`, and after how long to ask again; zero where a probe's end decides.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Some(until - now),
            Phase::HalfOpen {
                under_way,
                succeeded,
            } if under_way + succeeded >= self.settings.probes => Some(Duration::ZERO),
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Lets a call through, or says after how long to ask again; zero where a probe's end decides.
    ///
    /// # Errors
    /// Where it is open, or all probes are under way.
    pub fn acquire(&mut self, now: Duration) -> Result<Ticket, Duration> {
        if let Some(left) = self.refuses(now) {
            return Err(left);
        }
        if matches!(self.phase, Phase::Open { .. }) {
            self.enter(Phase::HalfOpen {
                under_way: 0,
                succeeded: 0,
            });
        }
        if let Phase::HalfOpen { under_way, .. } = &mut self.phase {
            *under_way += 1;
        }
        Ok(Ticket {
            generation: self.generation,
        })
    }

    /// Whether the end of a call would still count: it was let through by the state that there is now.
    #[must_use]
    pub fn counts(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation
    }

    /// Counts how a call ended. One of an older state is not counted.
    pub fn done(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) {
        if !self.counts(ticket) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { window, in_a_row } => {
                match outcome {
                    Outcome::Ok => *in_a_row = 0,
                    Outcome::Failed => *in_a_row += 1,
                    Outcome::Ignored => return,
                }
                window.count(outcome == Outcome::Failed, now);
                if *in_a_row >= self.settings.in_a_row || self.settings.is_too_many(window) {
                    self.open(now);
                }
            }
            Phase::HalfOpen {
                under_way,
                succeeded,
            } => {
                *under_way -= 1;
                match outcome {
                    Outcome::Ok => *succeeded += 1,
                    Outcome::Failed => return self.open(now),
                    Outcome::Ignored => {}
                }
                if *succeeded >= self.settings.probes {
                    self.open_for = self.settings.first_opening();
                    self.enter(Phase::Closed {
                        window: Window::new(self.settings.window),
                        in_a_row: 0,
                    });
                }
            }
            // Nothing was let through in this generation.
            Phase::Open { .. } => {}
        }
    }

    /// How long it stays open from `now`; zero where it is not open.
    #[must_use]
    pub fn open_for(&self, now: Duration) -> Duration {
        match self.phase {
            Phase::Open { until } => until.saturating_sub(now),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// What stands behind it may be well again: an opening ends at `now`, so that probes may go out. The next one
    /// is as long as it would have been: where the hint was wrong, the pause goes on doubling.
    pub fn hint(&mut self, now: Duration) {
        if let Phase::Open { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    fn open(&mut self, now: Duration) {
        self.enter(Phase::Open {
            until: now + self.open_for,
        });
        self.open_for = (self.open_for * 2).min(self.settings.open_at_most);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

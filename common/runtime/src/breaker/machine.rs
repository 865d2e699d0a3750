//! The state machine of one breaker. Pure; time is passed in.

use std::time::Duration;

use super::settings::BreakerSettings;
use super::window::Window;

/// What the end of a call shows about the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It works.
    Ok,
    /// It failed, and not because of what was asked.
    Failed,
    /// Nothing: the input was bad, or the call was cancelled. Frees the place of a probe.
    Ignored,
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Lets it through.
    Closed,
    /// Refuses it.
    Open,
    /// Lets it through as a probe, while there is a place for one.
    HalfOpen,
}

impl BreakerState {
    /// The name in metrics, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A call that was let through. It counts only while the state that let it through lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    generation: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Closed { window: Window, in_a_row: u32 },
    Open { until: Duration },
    HalfOpen { in_flight: u32, succeeded: u32 },
}

/// A circuit breaker. Times are those of one monotonic clock, from any start.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Rises with each change of phase, so that calls of an earlier phase are not counted.
    generation: u64,
    /// How long the next opening lasts.
    open_for: Duration,
}

impl Breaker {
    /// A closed breaker.
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
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long to wait if a call would be refused at `now`; zero if the end of a probe decides.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Some(until - now),
            Phase::HalfOpen {
                in_flight,
                succeeded,
            } if in_flight + succeeded >= self.settings.probes => Some(Duration::ZERO),
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// Returns how long to wait if it is open. That is zero if all probes are in flight: the end of one decides.
    pub fn acquire(&mut self, now: Duration) -> Result<Ticket, Duration> {
        if let Some(left) = self.refuses(now) {
            return Err(left);
        }
        if matches!(self.phase, Phase::Open { .. }) {
            self.enter(Phase::HalfOpen {
                in_flight: 0,
                succeeded: 0,
            });
        }
        if let Phase::HalfOpen { in_flight, .. } = &mut self.phase {
            *in_flight += 1;
        }
        Ok(Ticket {
            generation: self.generation,
        })
    }

    /// Whether the end of a call would still count: the state that let it through lasts.
    #[must_use]
    pub fn counts(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation
    }

    /// Counts the outcome of a call. One of an earlier state is not counted.
    pub fn done(&mut self, ticket: Ticket, outcome: CallOutcome, now: Duration) {
        if !self.counts(ticket) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { window, in_a_row } => {
                match outcome {
                    CallOutcome::Ok => *in_a_row = 0,
                    CallOutcome::Failed => *in_a_row += 1,
                    CallOutcome::Ignored => return,
                }
                window.count(outcome == CallOutcome::Failed, now);
                if *in_a_row >= self.settings.in_a_row || self.settings.is_too_many(window) {
                    self.open(now);
                }
            }
            Phase::HalfOpen {
                in_flight,
                succeeded,
            } => {
                *in_flight -= 1;
                match outcome {
                    CallOutcome::Ok => *succeeded += 1,
                    CallOutcome::Failed => return self.open(now),
                    CallOutcome::Ignored => {}
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

    /// How long it stays open from `now`; zero if it is not open.
    #[must_use]
    pub fn open_for(&self, now: Duration) -> Duration {
        match self.phase {
            Phase::Open { until } => until.saturating_sub(now),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// The dependency may be healthy again: an opening ends at `now`, so that probes may go out. The next opening
    /// is as long as it would have been: if the hint was wrong, the backoff goes on doubling.
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

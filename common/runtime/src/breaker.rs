//! Circuit breakers: what fails again and again is left alone for a while.
//!
//! Closed, a call is let through and its outcome counted. Open, none is. Half-open, a few probes are,
//! and their outcomes decide. The state machine is that of M. Nygard, *Release It!* (2007), the
//! sliding window and the bounded probes those of resilience4j. The third outcome, [`CallOutcome::Ignored`],
//! is our own: bad input does not show whether the dependency is healthy.

mod guard;
mod list;
mod machine;
mod settings;
#[cfg(test)]
mod tests;
mod window;

pub use guard::{BreakerReport, CallPermit, Guard};
pub use list::Breakers;
pub use machine::{Breaker, BreakerState, CallOutcome, Ticket};
pub use settings::BreakerSettings;

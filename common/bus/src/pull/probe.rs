//! Half-open without a message at hand: the worker asks by itself whether what its messages need is there.
//!
//! Messages in hand are the better probes. But where none comes, nothing would ever decide, and the breaker would stay
//! half-open until the next ones.

use super::delivery::Role;
use super::delivery_state::{DeliveryState, Place};
use super::{Loop, Unsettled, lock};
use runtime::breaker::{BreakerState, CallOutcome};

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// Waits until the breaker lets calls through, and, where nothing is in hand, until it is closed.
    /// Returns early where the process stops.
    pub(super) async fn let_through(&self, unsettled: &Unsettled) {
        let guard = &self.settings.guard;
        loop {
            let permit = tokio::select! {
                permit = guard.admitted() => permit,
                () = self.shutdown.draining() => return,
            };
            // Dropped, a permit gives its place as a probe back: handling is what probes, where it can.
            if guard.state() == BreakerState::Closed || !lock(unsettled).is_empty() {
                return;
            }
            let nobodys = Place {
                incarnation: &self.incarnation,
                consumer: &self.consumer,
                seq: 0,
            };
            let probed = tokio::select! {
                probed = self.delivery_state.probe(nobodys) => probed,
                () = self.shutdown.draining() => return,
            };
            match probed {
                Ok(true) => permit.done(CallOutcome::Ok),
                // Nothing can be asked without a message.
                Ok(false) => return,
                Err(failure) => permit.failed(&failure.reason),
            }
        }
    }
}

//! How many connections there may be at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::options::ServeOptions;

/// The slots of a server.
pub(super) struct ConnectionSlots {
    served: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

/// How a connection is treated. Its slot is free again when this is dropped.
pub(super) enum ConnectionSlot {
    Served(OwnedSemaphorePermit),
    TurnedAway(OwnedSemaphorePermit),
}

impl ConnectionSlots {
    pub(super) fn new(options: &ServeOptions) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            served: semaphore(options.max_connections),
            turned_away: semaphore(options.max_turned_away),
        }
    }

    /// A slot for the next connection.
    ///
    /// A refusal is better than silence: the client can go elsewhere. If even refusals are too many, this waits, and
    /// further connections wait in the kernel.
    pub(super) async fn next(&self) -> ConnectionSlot {
        tokio::select! {
            biased;
            Ok(permit) = self.served.clone().acquire_owned() => ConnectionSlot::Served(permit),
            Ok(permit) = self.turned_away.clone().acquire_owned() => ConnectionSlot::TurnedAway(permit),
        }
    }
}

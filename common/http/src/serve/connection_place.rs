//! The place of a connection among those that a server serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_address::ClientAddress;
use crate::quota::Place;

/// The place that a connection holds while it is served: an extension of each request of HTTP/1. A connection of HTTP/2
/// also carries other requests, and keeps its place.
#[derive(Debug, Clone)]
pub struct ConnectionPlace(Arc<Mutex<Option<Place<ClientAddress>>>>);

impl ConnectionPlace {
    pub(super) fn new(place: Place<ClientAddress>) -> Self {
        Self(Arc::new(Mutex::new(Some(place))))
    }

    /// Gives the place back while the connection goes on: for a reply that stays open for hours and has a bound of its
    /// own. The connection is closed after the reply.
    pub fn give_back(&self) {
        self.place().take();
    }

    pub(super) fn is_given_back(&self) -> bool {
        self.place().is_none()
    }

    fn place(&self) -> MutexGuard<'_, Option<Place<ClientAddress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

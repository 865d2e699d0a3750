//! What every request can reach, and whether a batch would be accepted now.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream;
use runtime::breaker::{BreakerSettings, Guard};
use runtime::health;
use runtime::process::Process;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use types::schema::Schemas;

use crate::Limits;
use crate::ask::{Asker, Unanswered};
use crate::auth::Keys;
use crate::body::BodyLimits;
use crate::incarnation::SeenIncarnation;
use crate::notes::Notes;
use crate::publish::{self, Publisher};
use crate::room::Room;
use crate::wait::Hints;
use http_server::Problem;

/// Why no batch would be accepted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the stream is not bound yet")]
    NotBound,
    #[error("the API keys are not loaded yet")]
    NoKeys,
    #[error("NATS is not connected")]
    NotConnected,
}

/// What every request can reach.
pub struct App {
    pub schemas: Schemas,
    pub supported: Vec<String>,
    pub keys: Keys,
    pub keys_loaded: watch::Receiver<bool>,
    pub limits: Limits,
    pub body_limits: BodyLimits,
    pub actor: String,
    pub shutdown: Shutdown,
    pub process: Process,
    /// Metrics are served on another address.
    pub hides_metrics: bool,
    pub room: Arc<Room>,
    /// Before the stream.
    pub breaker: Guard,
    /// Set once the stream is bound.
    pub stream: OnceLock<Stream>,
}

/// The bound stream.
pub struct Stream {
    pub client: async_nats::Client,
    pub js: jetstream::Context,
    pub incarnation: Arc<SeenIncarnation>,
    pub publisher: Publisher,
    pub hints: Arc<Hints>,
    pub notes: Notes,
    pub asker: Asker,
}

impl App {
    /// Without a stream as yet.
    pub fn new(
        limits: Limits,
        breakers: BreakerSettings,
        schemas: Schemas,
        keys_loaded: watch::Receiver<bool>,
        process: &Process,
    ) -> Self {
        Self {
            supported: schemas.supported(),
            schemas,
            keys: Keys::new(limits.rate, limits.max_events),
            keys_loaded,
            body_limits: BodyLimits {
                max_inflated: limits.max_body,
                max_ratio: limits.max_ratio,
                timeout: limits.body_timeout,
            },
            actor: process.actor.to_string(),
            shutdown: process.shutdown.clone(),
            process: process.clone(),
            hides_metrics: false,
            room: Room::new(&limits.room),
            breaker: process.breakers.guard("stream", breakers),
            stream: OnceLock::new(),
            limits,
        }
    }

    /// The stream, where batches would be accepted now.
    ///
    /// # Errors
    /// The reason why they would not.
    pub fn ready(&self) -> Result<&Stream, NotReady> {
        let stream = self.stream.get().ok_or(NotReady::NotBound)?;
        if !*self.keys_loaded.borrow() {
            return Err(NotReady::NoKeys);
        }
        match stream.client.connection_state() {
            async_nats::connection::State::Connected => Ok(stream),
            _ => Err(NotReady::NotConnected),
        }
    }

    /// The same for administrators; the breaker is looked at beside it.
    ///
    /// # Errors
    /// The reason why no batch would be accepted.
    pub fn check(&self) -> Result<(), health::NotReady> {
        self.ready()
            .map(drop)
            .map_err(|reason| health::NotReady::stream(reason.to_string()))
    }

    /// Asks the workers what is stored, where not too many ask already.
    ///
    /// # Errors
    /// `overloaded`, or `store_unavailable` where there is no answer within `patience`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        subject: &'static str,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Problem> {
        let _place = self.room.ask()?;
        let stream = self.stream.get().ok_or(Unanswered::NotConnected)?;
        Ok(stream.asker.ask(subject, question, patience).await?)
    }
}

impl Stream {
    /// The most bytes that a message may have.
    pub fn max_message(&self) -> usize {
        publish::max_message(&self.client)
    }
}

//! What every request can reach, and whether a batch would be accepted now.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use http_server::Problem;
use runtime::health;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use types::schema::Schemas;

use crate::admission_control::{AdmissionControl, BatchPermit};
use crate::alert_feed::AlertFeed;
use crate::alert_log::AlertLog;
use crate::api_keys::{ApiKeys, Caller};
use crate::audit_notes::AuditNotes;
use crate::body::{self, BodyLimits};
use crate::partitions::Partitions;
use crate::publisher;
use crate::query_client::{QueryClient, QueryError};
use crate::settings::RequestLimits;
use crate::settings_mirror::SettingsMirror;
use crate::stored_wait::Notifications;

/// How often [`AppState::query_surely`] queries.
const ATTEMPTS: u32 = 6;
/// The delays between: about ten seconds in all, as long as a worker takes to start again.
const BETWEEN_ATTEMPTS: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(4),
};

/// Why no batch would be accepted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepting {
    #[error("the stream is not bound yet")]
    NotBound,
    #[error("the API keys are not loaded yet")]
    KeysNotLoaded,
    #[error("the developers' settings are not loaded yet")]
    SettingsNotLoaded,
    #[error("NATS is not connected")]
    NotConnected,
}

/// Whether all of each bucket is known.
#[derive(Debug, Clone)]
pub struct LoadedBuckets {
    pub keys: watch::Receiver<bool>,
    pub settings: watch::Receiver<bool>,
}

/// What every request can reach.
pub struct AppState {
    pub schemas: Schemas,
    /// The schema versions that replies name as supported.
    pub supported: Vec<String>,
    pub keys: ApiKeys,
    pub settings: SettingsMirror,
    pub loaded: LoadedBuckets,
    pub limits: RequestLimits,
    pub body_limits: BodyLimits,
    pub actor: String,
    pub shutdown: Shutdown,
    pub process: Process,
    /// Metrics are served on another address.
    pub hides_metrics: bool,
    pub admission: Arc<AdmissionControl>,
    pub alert_feed: AlertFeed,
    /// Set once the event streams are bound.
    pub stream: OnceLock<EventsStream>,
}

/// A body that has arrived whole.
pub struct AdmittedBody {
    /// Inflated.
    pub bytes: Bytes,
    /// Holds the bytes.
    pub permit: Arc<BatchPermit>,
}

/// The bound event streams, and what works with their connection.
pub struct EventsStream {
    pub client: async_nats::Client,
    pub js: jetstream::Context,
    pub partitions: Arc<Partitions>,
    pub notifications: Arc<Notifications>,
    pub notes: AuditNotes,
    pub queries: QueryClient,
    pub alert_log: AlertLog,
}

impl AppState {
    /// A state without a stream as yet.
    pub fn new(
        limits: RequestLimits,
        schemas: Schemas,
        loaded: LoadedBuckets,
        process: &Process,
    ) -> Self {
        let settings = SettingsMirror::default();
        Self {
            supported: schemas.supported(),
            schemas,
            keys: ApiKeys::new(limits.rate, limits.max_events, settings.clone()),
            settings,
            loaded,
            body_limits: BodyLimits {
                max_inflated: limits.max_body,
                max_ratio: limits.max_ratio,
                timeout: limits.body_timeout,
            },
            actor: process.actor.to_string(),
            shutdown: process.shutdown.clone(),
            process: process.clone(),
            hides_metrics: false,
            admission: AdmissionControl::new(&limits.overload, limits.max_body),
            alert_feed: AlertFeed::default(),
            stream: OnceLock::new(),
            limits,
        }
    }

    /// The stream, if batches would be accepted now.
    ///
    /// # Errors
    /// Returns the reason why they would not.
    pub fn ready(&self) -> Result<&EventsStream, NotAccepting> {
        let stream = self.stream.get().ok_or(NotAccepting::NotBound)?;
        if !*self.loaded.keys.borrow() {
            return Err(NotAccepting::KeysNotLoaded);
        }
        if !*self.loaded.settings.borrow() {
            return Err(NotAccepting::SettingsNotLoaded);
        }
        match stream.client.connection_state() {
            async_nats::connection::State::Connected => Ok(stream),
            _ => Err(NotAccepting::NotConnected),
        }
    }

    /// The same as a check of the process's health, which looks at the breaker by itself.
    ///
    /// # Errors
    /// Returns `stream_unavailable` with the reason.
    pub fn check(&self) -> Result<(), health::NotReady> {
        self.ready()
            .map(drop)
            .map_err(|reason| health::NotReady::stream(reason.to_string()))
    }

    /// Reads the body of a request, if not too much is in flight; else refuses at once, the body unread.
    ///
    /// # Errors
    /// Returns `overloaded`, `rate_limited`, and what [`body::read`] returns.
    pub async fn read_body(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<AdmittedBody, Problem> {
        // A body that is too large by itself is refused as such below.
        let announced = body::announced(headers)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes <= self.limits.max_body);
        let permit = Arc::new(
            self.admission
                .admit(caller, announced.unwrap_or_default())?,
        );
        let bytes = body::read(headers, body, &self.body_limits, &self.admission, &permit).await?;
        Ok(AdmittedBody { bytes, permit })
    }

    /// Queries the workers for what is stored.
    ///
    /// # Errors
    /// Returns `overloaded` or `rate_limited` if too many queries are running, and `store_unavailable` if no answer
    /// comes within `timeout`.
    pub async fn query<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        subject: &'static str,
        query: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, Problem> {
        let _permit = self.admission.query(caller)?;
        let stream = self.stream.get().ok_or(QueryError::NotConnected)?;
        Ok(stream.queries.query(subject, query, timeout).await?)
    }

    /// The same, and again after a failure that may pass, for some ten seconds besides the queries' own time.
    ///
    /// # Errors
    /// Returns what [`AppState::query`] returns: at once what is not retryable, else what the last attempt gave.
    pub async fn query_surely<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        subject: &'static str,
        query: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, Problem> {
        let mut attempt = 0;
        loop {
            match self.query(caller, subject, query, timeout).await {
                Err(problem) if problem.code.retryable() && attempt + 1 < ATTEMPTS => {
                    tracing::debug!(
                        attempt,
                        subject,
                        problem = problem.detail,
                        "the workers are queried again"
                    );
                    BETWEEN_ATTEMPTS.pause(attempt).await;
                    attempt += 1;
                }
                reply => return reply,
            }
        }
    }
}

impl EventsStream {
    /// The most bytes that a message may have.
    pub fn max_message(&self) -> usize {
        publisher::max_message(&self.client)
    }
}

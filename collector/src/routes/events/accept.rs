//! The first half of taking a batch, whatever its format: the checks in their order, from header to verdicts.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_server::layers::RequestIds;
use http_server::{ErrorCode, Problem};
use runtime::{clock, metrics};
use tokio::time::Instant;
use types::admission::{self, Admitted};
use types::formats::{BatchRequest, Format, wakatime};

use super::refusals;
use crate::admission_control::BatchPermit;
use crate::api_keys::Caller;
use crate::app_state::{AdmittedBody, AppState, EventsStream};
use crate::prefer::PreferWait;
use crate::rate_limit::RateLimiter;

/// From here on, validating a body would hold up the other requests of its thread.
const LARGE_BODY: usize = 128 * 1024;

/// A request whose body was read.
pub struct ReceivedBatch {
    format: Format,
    headers: HeaderMap,
    body: Bytes,
    permit: Arc<BatchPermit>,
    wait: Option<PreferWait>,
    received: Instant,
}

/// A batch that was validated, ready to be published.
pub struct AcceptedBatch<'a> {
    pub admitted: Admitted<'a>,
    pub stream: &'a EventsStream,
    pub permit: &'a Arc<BatchPermit>,
    /// `None`: the key has no limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    pub wait: Option<PreferWait>,
    pub received: Instant,
}

impl ReceivedBatch {
    /// Reads the body, if the stream may be tried and not too much is in flight; else refuses at once, the body
    /// unread.
    ///
    /// # Errors
    /// Returns `length_required`, `circuit_open`, `overloaded`, `rate_limited`, and what [`AppState::read_body`]
    /// returns.
    pub async fn read(
        app: &AppState,
        caller: &Caller,
        format: Format,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Self, Problem> {
        expect_length(&headers, &body)?;
        let wait = PreferWait::of(&headers);
        let bound = app.stream.get();
        let partition = bound.map(|stream| stream.partitions.of(&caller.developer));
        if let Some(left) = partition.and_then(|partition| partition.breaker.refuses()) {
            return Err(refusals::circuit_open(left, false));
        }
        let AdmittedBody { bytes, permit } = app.read_body(caller, &headers, body).await?;
        let bytes = match format {
            Format::Heartbeat | Format::Heartbeats => {
                wakatime::encoded_twice(&bytes).map_or(bytes, Bytes::from)
            }
            _ => bytes,
        };
        let received = Instant::now();
        metrics::http_body(bytes.len());
        Ok(Self {
            format,
            headers,
            body: bytes,
            permit,
            wait,
            received,
        })
    }

    /// Reads the batch and validates each of its events.
    ///
    /// # Errors
    /// Returns `stream_unavailable` or `circuit_open` if no batch can be published now, and the problem of a body
    /// that is no batch.
    pub async fn accept<'a>(
        &'a self,
        app: &'a AppState,
        ids: &RequestIds,
        mut caller: Caller,
    ) -> Result<AcceptedBatch<'a>, Problem> {
        let stream = app
            .ready()
            .map_err(|reason| refusals::not_accepting(app, &caller, reason))?;
        let rate_limiter = caller.rate_limiter.take();
        let validate =
            || tracing::debug_span!("admit").in_scope(|| self.validate(app, ids, caller));
        // A large body takes milliseconds to validate: other requests move to other threads meanwhile.
        let admitted = if self.body.len() > LARGE_BODY {
            let _permit = app.admission.large_body().await;
            tokio::task::block_in_place(validate)
        } else {
            validate()
        }?;
        Ok(AcceptedBatch {
            admitted,
            stream,
            permit: &self.permit,
            rate_limiter,
            wait: self.wait,
            received: self.received,
        })
    }

    fn validate(
        &self,
        app: &AppState,
        ids: &RequestIds,
        caller: Caller,
    ) -> Result<Admitted<'_>, Problem> {
        let received_at = clock::now();
        let request = BatchRequest {
            headers: &self.headers,
            body: &self.body,
            developer: &caller.developer,
            received_at,
            max_events: app.limits.max_events,
        };
        let submission = self
            .format
            .read(&request)
            .map_err(|error| refusals::bad_envelope(error, app.limits.max_events))?;
        let context = admission::AdmissionContext {
            developer: caller.developer,
            epoch: caller.epoch,
            zone: caller.zone,
            correlation_id: ids.correlation_id.clone(),
            traceparent: ids.traceparent.clone(),
            received_at,
            collector: app.actor.clone(),
        };
        let mut admitted = admission::admit(submission, &app.schemas, context);
        admitted.header.validated_at = clock::now();
        Ok(admitted)
    }
}

/// A POST that announces no body has forgotten it (RFC 9110, section 15.5.12).
fn expect_length(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact() != Some(0) {
        return Ok(());
    }
    let missing = "The request has no body: send Content-Length or Transfer-Encoding: chunked.";
    Err(Problem::new(ErrorCode::LengthRequired, missing))
}

//! The second half of taking a batch: the publish, and the wait for the store if the client prefers it.

use axum::response::Response;
use http_server::quota::Place;
use http_server::{ErrorCode, Problem};
use runtime::metrics;
use tokio::time::Instant;
use tracing::Instrument;
use types::admission::Admitted;
use types::query::{self, ResendNote};

use super::accept::AcceptedBatch;
use super::refusals;
use super::reply::{BatchReply, DuplicateOf, Wait};
use crate::admission_control::Tenant;
use crate::app_state::AppState;
use crate::audit_notes::Resend;
use crate::prefer::PreferWait;
use crate::publisher::{EventsMessage, PublishedMessage};
use crate::rate_limit::{self, RateLimitState};
use crate::stored_wait::{StoredWait, Waiter};

/// A batch that is on disk in the stream.
pub struct PublishedBatch<'a> {
    batch: AcceptedBatch<'a>,
    /// The key's limit after this batch; `None`: no limit.
    rate_limit: Option<RateLimitState>,
    published: PublishedMessage,
    waiting: Option<Waiting>,
}

/// A request that waits for the store.
struct Waiting {
    prefer: PreferWait,
    waiter: Waiter,
    _permit: Place<Tenant>,
}

impl<'a> AcceptedBatch<'a> {
    /// Publishes the batch and awaits the PubAck.
    ///
    /// # Errors
    /// Returns `batch_too_large`, `rate_limited`, and `stream_full`, `circuit_open` or `stream_unavailable` if the
    /// stream does not confirm.
    pub async fn publish(self, app: &AppState) -> Result<PublishedBatch<'a>, Problem> {
        // Registered before the publish: a notification may come before the PubAck.
        // Without a permit the request does not wait.
        let permit = self
            .wait
            .and_then(|prefer| Some((prefer, app.admission.wait(self.permit)?)));
        let waiting = permit.map(|(prefer, permit)| Waiting {
            prefer,
            waiter: self.stream.notifications.register(),
            _permit: permit,
        });
        let message = self.encode(waiting.as_ref().map(|waiting| &waiting.waiter))?;
        self.permit.hold_beyond_bound(message.payload.len());
        // Last of the checks: what is refused costs nothing.
        let rate_limit =
            rate_limit::charge(self.rate_limiter.as_deref(), self.admitted.events.len())?;
        let published = self
            .stream
            .partitions
            .of(&self.admitted.header.developer)
            .publisher
            .publish(message, self.permit.clone())
            .instrument(tracing::debug_span!("publish"))
            .await
            .map_err(|error| refusals::not_published(&error))?;
        if !published.duplicate {
            metrics::events_taken(&self.admitted.header.counts);
        }
        Ok(PublishedBatch {
            batch: self,
            rate_limit,
            published,
            waiting,
        })
    }

    fn encode(&self, waiter: Option<&Waiter>) -> Result<EventsMessage, Problem> {
        let Self {
            admitted, stream, ..
        } = self;
        let mut message = EventsMessage::of(
            stream.partitions.streams(),
            &admitted.header,
            &admitted.events,
        )
        .map_err(|error| {
            Problem::new(
                ErrorCode::Internal,
                format!("The batch could not be encoded: {error}."),
            )
        })?;
        let size = message.payload.len();
        let max = stream.max_message();
        if size > max {
            let detail = format!(
                "The batch makes a message of {size} bytes, the limit is {max}: send it in parts."
            );
            return Err(Problem::new(ErrorCode::BatchTooLarge, detail)
                .limit(max as u64)
                .actual(size as u64));
        }
        if let Some(waiter) = waiter {
            message.headers.insert(query::NOTIFY, waiter.subject());
        }
        Ok(message)
    }
}

impl PublishedBatch<'_> {
    /// Responds with what `to_response` makes of the reply.
    ///
    /// From the PubAck on there is nothing but the reply (R6.5). Only the original of a duplicate is looked up, and
    /// the store is waited for if the client prefers it.
    ///
    /// # Errors
    /// Returns the problem of `to_response`.
    pub async fn respond(
        self,
        app: &AppState,
        to_response: impl FnOnce(&Admitted<'_>, &BatchReply) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let Self {
            batch, published, ..
        } = &self;
        let duplicate_of = if published.duplicate {
            DuplicateOf::look_up(
                batch.stream,
                published,
                &batch.admitted.header,
                &app.supported,
            )
            .instrument(tracing::debug_span!("original"))
            .await
        } else {
            DuplicateOf::SameRequest
        };
        if published.duplicate && !published.joined && duplicate_of != DuplicateOf::SameRequest {
            batch.stream.notes.enqueue(self.resend());
        }
        let wait = match &self.waiting {
            Some(waiting) => Some(self.wait(waiting, app).await),
            None => None,
        };
        let mut response = tracing::debug_span!("reply").in_scope(|| {
            let reply = BatchReply::new(
                &batch.admitted,
                published,
                duplicate_of,
                wait,
                &app.supported,
            );
            to_response(&batch.admitted, &reply)
        })?;
        let rate_limit = self
            .rate_limit
            .into_iter()
            .flat_map(RateLimitState::headers);
        response.headers_mut().extend(rate_limit);
        Ok(response)
    }

    async fn wait(&self, waiting: &Waiting, app: &AppState) -> Wait {
        let stream = self.batch.stream;
        let partition = stream.partitions.of(&self.batch.admitted.header.developer);
        let stored = StoredWait {
            published: &self.published,
            deadline: self.batch.received + waiting.prefer.duration(),
            queries: &stream.queries,
            incarnation: &partition.incarnation,
            shutdown: &app.shutdown,
        };
        let outcome = stored
            .run(&waiting.waiter)
            .instrument(tracing::debug_span!("wait"))
            .await;
        Wait {
            prefer: waiting.prefer,
            outcome,
        }
    }

    /// The audit note of a resend that the server dropped.
    fn resend(&self) -> Resend {
        let header = &self.batch.admitted.header;
        let note = ResendNote {
            incarnation: self.published.incarnation.clone(),
            seq: self.published.sequence,
            message: self.published.identity.clone(),
            correlation_id: header.correlation_id.clone(),
            received_at: header.received_at,
            collector: header.collector.clone(),
        };
        Resend {
            note,
            acked: Instant::now(),
        }
    }
}

//! Single publishes: one attempt after another, with the same message id.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, ErrorCode, message::PublishMessage};
use runtime::breaker::{self, Guard};
use runtime::metrics;
use runtime::retry::RetryPolicy;
use tokio::time::{Instant, sleep, timeout_at};

use super::group_commit::Single;
use super::group_publish::{ATTEMPT, GroupPublisher};
use super::message::{Acked, EventsMessage, NotPublished};

/// The server is storing a message with this id at this moment (error code 10158).
const IN_PROCESS: u64 = 10158;
const IN_PROCESS_DELAY: Duration = Duration::from_millis(50);
/// The stream has reached its maximum of messages or bytes (error code 10077).
const STREAM_FULL: u64 = 10077;
/// The message is larger than the stream or the server takes (error code 10054).
const TOO_LARGE: u64 = ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM.0;

/// What was tried so far.
pub struct PublishAttempts {
    deadline: Instant,
    /// It was sent before: it may be stored.
    sent: bool,
    /// Why the last attempt failed.
    last: String,
}

impl PublishAttempts {
    /// The first attempt is to come.
    pub fn none(deadline: Instant) -> Self {
        Self {
            deadline,
            sent: false,
            last: "no nats-server is connected".to_owned(),
        }
    }

    /// It went with a group that was not confirmed; `sent` if that may be stored all the same.
    pub fn after_group(deadline: Instant, reason: String, sent: bool) -> Self {
        Self {
            deadline,
            sent,
            last: reason,
        }
    }
}

/// The first attempt of a message that goes singly. Dropped without an end, it was not answered.
pub struct InFlightSingle {
    groups: GroupPublisher,
    single: Single,
    answered: bool,
}

impl InFlightSingle {
    /// It is sent now.
    pub fn new(groups: &GroupPublisher, single: Single) -> Self {
        Self {
            groups: groups.clone(),
            single,
            answered: false,
        }
    }

    /// The attempt has ended: the server answered, whatever, or did not.
    fn ended(mut self, answered: bool) {
        self.answered = answered;
    }
}

impl Drop for InFlightSingle {
    fn drop(&mut self) {
        let mut line = self.groups.line();
        line.commit()
            .single_ended(self.single, Instant::now(), self.answered);
        self.groups.advance(line);
    }
}

/// Publishes messages for themselves.
pub struct SinglePublisher {
    pub js: jetstream::Context,
    pub breaker: Guard,
    /// The delays between attempts.
    pub retry: RetryPolicy,
}

impl SinglePublisher {
    /// Publishes the same message until the stream has decided, the deadline has passed or the breaker opens.
    ///
    /// # Errors
    /// Returns the reason in these cases.
    pub async fn publish(
        &self,
        message: &EventsMessage,
        single: InFlightSingle,
        attempts: PublishAttempts,
    ) -> Result<Acked, NotPublished> {
        let PublishAttempts {
            deadline,
            mut sent,
            mut last,
        } = attempts;
        let breaker = &self.breaker;
        let mut single = Some(single);
        for attempt in 0.. {
            let permit = breaker
                .acquire()
                .map_err(|left| NotPublished::CircuitOpen { left, sent })?;
            sent = true;
            let attempt_ends = (Instant::now() + ATTEMPT).min(deadline);
            let tried = tokio::select! {
                biased;
                tried = timeout_at(attempt_ends, self.once(message)) => tried,
                () = breaker.opened() => return Err(NotPublished::opened_meanwhile(breaker, true)),
            };
            if let Some(single) = single.take() {
                single.ended(
                    matches!(&tried, Ok(Ok(_)))
                        || matches!(&tried, Ok(Err(error)) if code(error).is_some()),
                );
            }
            let delay = match tried {
                Ok(Ok(ack)) => {
                    permit.done(breaker::CallOutcome::Ok);
                    return Ok(Acked {
                        sequence: ack.sequence,
                        duplicate: ack.duplicate,
                    });
                }
                Ok(Err(error)) => {
                    last = error.to_string();
                    match code(&error) {
                        // The server answers, so it works: this message or the limit is at fault.
                        Some(STREAM_FULL) => {
                            permit.done(breaker::CallOutcome::Ok);
                            return Err(NotPublished::Full(last));
                        }
                        Some(TOO_LARGE) => {
                            permit.done(too_large_outcome(&error));
                            return Err(NotPublished::TooLarge(last));
                        }
                        Some(IN_PROCESS) => {
                            permit.done(breaker::CallOutcome::Ok);
                            IN_PROCESS_DELAY
                        }
                        _ => {
                            permit.failed(&last);
                            self.retry.delay(attempt)
                        }
                    }
                }
                Err(_) => {
                    last = format!("no PubAck within {ATTEMPT:?}");
                    permit.failed(&last);
                    Duration::ZERO
                }
            };
            if Instant::now() + delay >= deadline {
                break;
            }
            metrics::publish_retried();
            let id = &message.identity.message_id;
            tracing::debug!(id, attempt, last, "publishing again with the same id");
            tokio::select! {
                () = sleep(delay) => {} // sleep: the retry policy's delay
                () = breaker.opened() => return Err(NotPublished::opened_meanwhile(breaker, true)),
            }
        }
        Err(NotPublished::Unavailable(last))
    }

    async fn once(&self, message: &EventsMessage) -> Result<PublishAck, PublishError> {
        let publish = PublishMessage::build()
            .payload(message.payload.clone())
            .headers(message.headers.clone())
            .message_id(&message.identity.message_id);
        self.js
            .send_publish(message.subject.clone(), publish)
            .await?
            .await
    }
}

/// What a message that is too large tells the breaker: nothing if the client itself refused it.
fn too_large_outcome(error: &PublishError) -> breaker::CallOutcome {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => breaker::CallOutcome::Ignored,
        _ => breaker::CallOutcome::Ok,
    }
}

/// The JetStream error code behind a failed publish.
fn code(error: &PublishError) -> Option<u64> {
    let source = std::error::Error::source(error)?;
    if let Some(error) = source.downcast_ref::<jetstream::Error>() {
        return Some(error.error_code().0);
    }
    (error.kind() == PublishErrorKind::MaxPayloadExceeded).then_some(TOO_LARGE)
}

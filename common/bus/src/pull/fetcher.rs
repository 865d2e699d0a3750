//! Pulls messages by free permits, and registers them as in flight.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::PullConsumer;
use tokio::sync::{Semaphore, mpsc};

use crate::pull::binding::Binding;
use crate::pull::delivery::{Delivery, MessageHandler};
use crate::pull::delivery_state::DeliveryState;
use crate::pull::in_flight::{InFlight, InFlightRegister};
use crate::pull::request::PullRequest;
use runtime::breaker::{BreakerState, CallOutcome};

/// One request asks for at most this much payload: two of the largest messages.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// How long a request waits on the server.
const REQUEST_EXPIRES: Duration = Duration::from_secs(5);

/// Pulls messages for a dispatcher.
pub struct Fetcher<'a, H, S> {
    pub binding: &'a Binding<H, S>,
    pub register: &'a InFlightRegister,
    pub source: PullConsumer,
    pub dispatcher: mpsc::Sender<InFlight>,
}

impl<H: MessageHandler, S: DeliveryState> Fetcher<'_, H, S> {
    /// Makes one request at a time, for as much as memory has room; none while the store's breaker is open.
    /// Half-open and with nothing in flight, it probes first.
    pub async fn run(self) -> Result<(), async_nats::Error> {
        let settings = &self.binding.settings;
        let shutdown = &self.binding.shutdown;
        let memory = Arc::new(Semaphore::new(settings.memory_kib));
        while !shutdown.is_draining() {
            self.wait_for_breaker().await;
            if shutdown.is_draining() {
                return Ok(());
            }
            let batch = self
                .source
                .batch()
                .max_messages(settings.group.messages)
                .max_bytes(REQUEST_BYTES)
                .expires(REQUEST_EXPIRES);
            let mut request = PullRequest::new(batch.messages().await?, self.binding.js.client());
            loop {
                let message = tokio::select! {
                    biased;
                    () = shutdown.draining() => return request.return_all().await,
                    message = request.next() => message,
                };
                let Some(message) = message else { break };
                let message = message?;
                let kib = (message.length / 1024 + 1).min(settings.memory_kib) as u32;
                let reply = message
                    .reply
                    .as_ref()
                    .ok_or("a message without a reply subject")?;
                let ack_subject = Subject::from(reply.to_string());
                let delivery = Delivery::try_from(message)?;
                // In the register first: its ack_wait runs while it waits for memory.
                self.register.insert(delivery.seq, ack_subject.clone());
                let permit = memory.clone().acquire_many_owned(kib).await?;
                let in_flight = InFlight::new(ack_subject, delivery, permit);
                if self.dispatcher.send(in_flight).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits until the breaker lets calls through and, if nothing is in flight, until it is closed. Returns early on
    /// shutdown.
    ///
    /// Messages in flight are the better probes. But if none comes, nothing would ever decide, and the breaker would
    /// stay half-open: then the delivery state is probed without a message.
    async fn wait_for_breaker(&self) {
        let guard = &self.binding.settings.guard;
        let shutdown = &self.binding.shutdown;
        loop {
            let permit = tokio::select! {
                permit = guard.admitted() => permit,
                () = shutdown.draining() => return,
            };
            // A dropped permit returns its place as a probe: handling is what probes, if it can.
            if guard.state() == BreakerState::Closed || !self.register.is_empty() {
                return;
            }
            let unused = self.binding.position(0);
            let probed = tokio::select! {
                probed = self.binding.delivery_state.probe(unused) => probed,
                () = shutdown.draining() => return,
            };
            match probed {
                Ok(true) => permit.done(CallOutcome::Ok),
                // Only a message can tell.
                Ok(false) => return,
                Err(failure) => permit.failed(&failure.reason),
            }
        }
    }
}

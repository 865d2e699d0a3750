//! The one pull loop: a fetcher pulls by permits, the in-flight register keeps messages in progress, a dispatcher
//! passes groups to the handler and acks, returns or dead-letters each message. It shuts down in two steps.
//!
//! Groups form by themselves: what arrives while the handler is busy waits for the next ones. Nothing lingers, so a
//! lone message is handled at once and a backlog in large groups, in which developers take turns (`queue`). What is
//! done with messages that fail is decided in `policy`.

mod binding;
mod delivery;
mod delivery_state;
mod dispatcher;
mod fetcher;
mod in_flight;
mod policy;
mod queue;
mod request;
mod settings;
mod undecodable;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bind::{BindError, bind_consumer, bind_stream};
use crate::connection::has_ended;
use crate::names::ConsumerRef;
use crate::store_owner;
use binding::Binding;
pub use delivery::{Delivery, DeliveryOutcome, ErrorClass, Failure, MessageHandler};
pub use delivery_state::{DeliveryState, MessagePosition, PriorAttempts};
use dispatcher::Dispatcher;
use fetcher::Fetcher;
use in_flight::InFlightRegister;
use runtime::shutdown::Shutdown;
pub use settings::{GroupBounds, PullSettings};
use undecodable::{ScanState, UndecodableScanner};

/// How long pulling may wait for the first scan for undecodable messages.
const FIRST_SCAN: Duration = Duration::from_secs(5);
/// After an abort, how long acks and naks may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest `ack_wait` that progress can be reported for in time.
const SHORTEST_ACK_WAIT: Duration = Duration::from_millis(300);

/// Pulls from one consumer for one handler.
pub struct PullLoop<H, S> {
    pub js: jetstream::Context,
    pub consumer: ConsumerRef,
    pub handler: Arc<H>,
    pub delivery_state: Arc<S>,
    pub settings: PullSettings,
    pub shutdown: Shutdown,
}

impl<H: MessageHandler, S: DeliveryState> PullLoop<H, S> {
    /// Pulls until the process shuts down. While the server is away it waits and binds again.
    ///
    /// # Errors
    /// Returns `BindError::Missing` or `BindError::Unsafe` if the consumer or its stream is so when the loop starts,
    /// `BindError::OtherStore` whenever it binds and the streams belong to another store, and `BindError::ClientEnded`
    /// if the client has ended for good: only a new process helps.
    pub async fn run(self) -> Result<(), BindError> {
        let ConsumerRef { stream, consumer } = &self.consumer;
        let mut backoff = self.settings.retry.policy().backoff(&self.shutdown);
        let mut was_bound = false;
        let mut scan_state = ScanState::default();
        loop {
            let attempt = backoff.attempt();
            match self.bind().await {
                Ok((binding, source)) => {
                    backoff.reset();
                    was_bound = true;
                    // On the heap: it holds all that a handler does, too much to be copied through every poll.
                    match Box::pin(pull(&binding, source, &mut scan_state)).await {
                        Ok(()) => return Ok(()),
                        Err(error) => {
                            tracing::warn!(stream, consumer, %error, "pulling broke off; binding again");
                        }
                    }
                }
                Err(error @ BindError::OtherStore(_)) => return Err(error),
                Err(error @ (BindError::Missing(_) | BindError::Unsafe { .. }))
                    if attempt == 0 && !was_bound =>
                {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(stream, consumer, %error, attempt, "cannot bind; trying again");
                }
            }
            if has_ended(&self.js.client()) {
                return Err(BindError::ClientEnded);
            }
            if !backoff.wait().await {
                return Ok(());
            }
        }
    }

    async fn bind(&self) -> Result<(Binding<H, S>, PullConsumer), BindError> {
        if let Some(own) = &self.settings.store {
            store_owner::check(&self.js, own).await?;
        }
        let incarnation = bind_stream(&self.js, &self.consumer.stream).await?;
        let source = bind_consumer(&self.js, &self.consumer).await?;
        let binding = Binding {
            js: self.js.clone(),
            incarnation,
            consumer: self.consumer.clone(),
            handler: self.handler.clone(),
            delivery_state: self.delivery_state.clone(),
            settings: self.settings.clone(),
            shutdown: self.shutdown.clone(),
        };
        Ok((binding, source))
    }
}

/// Runs fetcher, dispatcher and progress beside each other; `Ok` when the process shuts down.
async fn pull<H: MessageHandler, S: DeliveryState>(
    binding: &Binding<H, S>,
    source: PullConsumer,
    scan_state: &mut ScanState,
) -> Result<(), async_nats::Error> {
    let register = InFlightRegister::default();
    let mut scanner = UndecodableScanner {
        binding,
        register: &register,
        state: scan_state,
    };
    // First: what broke the last connection, or ended the last process, would do so again.
    match timeout(FIRST_SCAN, scanner.scan()).await {
        Ok(Ok(_)) => {}
        not_now => tracing::warn!(
            ?not_now,
            "pulling begins without a scan for undecodable messages"
        ),
    }
    // The administrator's setting: a third of it passes between two reports of progress.
    let ack_wait = source.cached_info().config.ack_wait.max(SHORTEST_ACK_WAIT);
    let (dispatcher, fetched) = mpsc::channel(binding.settings.memory_kib);
    let fetcher = Fetcher {
        binding,
        register: &register,
        source,
        dispatcher,
    };
    let fetch = async {
        let result = fetcher.run().await;
        tracing::debug!("no more pulling");
        result
    };
    let dispatch = Dispatcher::new(binding, &register).run(fetched);
    let work = async {
        let (fetched, dispatched) = tokio::join!(fetch, dispatch);
        fetched.and(dispatched)
    };
    let aborted = async {
        binding.shutdown.aborted().await;
        tokio::time::sleep(ABORT_TIMEOUT).await; // sleep: the bound of the second step of shutting down
    };
    let client = binding.js.client();
    let result = tokio::select! {
        result = work => result,
        () = register.report_progress(&client, ack_wait / 3) => Ok(()),
        () = scanner.run(ack_wait / 3) => Ok(()),
        () = aborted => {
            tracing::warn!("messages are left in flight; the server delivers them again");
            Ok(())
        }
    };
    // Acks are sent in the background; the process may end right after this.
    if let Ok(Err(error)) = timeout(ABORT_TIMEOUT, client.flush()).await {
        tracing::warn!(%error, "the last acks may be lost; their messages are delivered again");
    }
    result
}

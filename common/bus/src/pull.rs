//! The one pull loop: pull by permits, keep in progress, hand groups to a role, settle, stop in two steps.
//!
//! Groups form by themselves: what arrives while the role is busy is the next group. Nothing
//! lingers, so a lone message is handled at once and a backlog in large groups. What becomes of
//! messages that fail is decided in `policy`, and done in `work`.

mod delivery;
mod delivery_state;
mod policy;
mod probe;
mod request;
mod unread;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer::PullConsumer};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::{BindError, bind_consumer, bind_stream, is_gone};
use delivery::delivery;
pub use delivery::{Delivery, ErrorClass, Failure, Outcome, Role};
pub use delivery_state::{DeliveryState, Place, PriorAttempts};
use request::Request;
use runtime::breaker::Guard;
use runtime::retry::RetrySettings;
use runtime::shutdown::Shutdown;
use types::stream::StreamIncarnation;
use unread::Looked;
use work::InHand;

/// Bounds of the loop, and what it does about failures.
#[derive(Clone)]
pub struct PullSettings {
    /// Most messages in one group.
    pub group: usize,
    /// Most payload held in memory, in KiB.
    pub memory_kib: usize,
    /// How failed messages are tried again, and how often.
    pub retry: RetrySettings,
    /// The store's breaker: while it is open nothing is pulled or handled.
    pub guard: Guard,
    /// Whether what the surroundings fail is kept in hand; else it goes back, for another process to try.
    pub keeps: bool,
    /// Executable and instance, for whoever looks into DEAD.
    pub actor: String,
}

impl PullSettings {
    /// Groups of up to 256 messages, and 64 MiB.
    #[must_use]
    pub fn new(retry: RetrySettings, guard: Guard, actor: String) -> Self {
        Self {
            group: 256,
            memory_kib: 64 * 1024,
            retry,
            guard,
            keeps: true,
            actor,
        }
    }
}

/// One request asks for at most this much payload: two of the largest messages.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// How long a request waits on the server.
const REQUEST_EXPIRES: Duration = Duration::from_secs(5);
/// How long pulling may wait for the first look at what is unsettled.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// After an abort, how long acks and hand-backs may take.
const ABORT_FOR: Duration = Duration::from_secs(2);
/// The shortest `ack_wait` that progress can be reported for in time.
const SHORTEST_ACK_WAIT: Duration = Duration::from_millis(300);

/// The messages whose `ack_wait` must not run out.
type Unsettled = Arc<Mutex<HashMap<u64, Arc<jetstream::Message>>>>;

/// Pulls from `consumer` of `stream` until the process stops.
///
/// # Errors
/// Where the consumer or its stream is missing or unsafe when the loop starts. Later, and while
/// the server is away, it waits and binds again; where its client has ended for good, only a new process helps.
pub async fn run<R: Role, M: DeliveryState>(
    js: jetstream::Context,
    (stream, consumer): (&str, &str),
    (role, delivery_state): (Arc<R>, Arc<M>),
    settings: PullSettings,
    shutdown: Shutdown,
) -> Result<(), BindError> {
    let policy = settings.retry.policy();
    let (mut attempt, mut was_bound, mut looked) = (0_u32, false, Looked::default());
    loop {
        match bind(&js, stream, consumer).await {
            Ok((incarnation, source)) => {
                (attempt, was_bound) = (0, true);
                let (role, delivery_state, settings) =
                    (role.clone(), delivery_state.clone(), settings.clone());
                let (js, consumer, shutdown) = (js.clone(), consumer.to_owned(), shutdown.clone());
                let pull = Loop {
                    js,
                    incarnation,
                    consumer,
                    role,
                    delivery_state,
                    settings,
                    shutdown,
                };
                // On the heap: it holds all that a role does, too much to be copied through every poll.
                match Box::pin(pull.until_broken(source, &mut looked)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        tracing::warn!(stream, pull.consumer, %error, "pulling broke off; binding again");
                    }
                }
            }
            Err(error @ (BindError::Missing(_) | BindError::Unsafe { .. }))
                if attempt == 0 && !was_bound =>
            {
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(stream, consumer, %error, attempt, "cannot bind; trying again")
            }
        }
        if is_gone(&js.client()) {
            return Err(BindError::ClientEnded);
        }
        tokio::select! { () = policy.pause(attempt) => {}, () = shutdown.draining() => return Ok(()) }
        attempt = attempt.saturating_add(1);
    }
}

async fn bind(
    js: &jetstream::Context,
    stream: &str,
    consumer: &str,
) -> Result<(StreamIncarnation, PullConsumer), BindError> {
    let incarnation = bind_stream(js, stream).await?;
    Ok((incarnation, bind_consumer(js, stream, consumer).await?))
}

struct Loop<R, M> {
    js: jetstream::Context,
    incarnation: StreamIncarnation,
    consumer: String,
    role: Arc<R>,
    delivery_state: Arc<M>,
    settings: PullSettings,
    shutdown: Shutdown,
}

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// Runs reader, handler and progress beside each other; `Ok` when the process stops.
    async fn until_broken(
        &self,
        source: PullConsumer,
        looked: &mut Looked,
    ) -> Result<(), async_nats::Error> {
        let (sender, receiver) = mpsc::channel(self.settings.group);
        let unsettled = Unsettled::default();
        // First: what broke the last connection, or ended the last process, would do so again.
        match timeout(FIRST_LOOK, self.look(looked, &unsettled)).await {
            Ok(Ok(_)) => {}
            not_now => tracing::warn!(
                ?not_now,
                "pulling begins without a look at what is unsettled"
            ),
        }
        // The administrator's: a third of it passes between two reports of progress.
        let ack_wait = source.cached_info().config.ack_wait.max(SHORTEST_ACK_WAIT);
        let read = async {
            let result = self.read(source, sender, &unsettled).await;
            tracing::debug!("no more pulling");
            result
        };
        let progress = report_progress(&unsettled, ack_wait / 3);
        let unread = self.give_up_the_unread(looked, &unsettled, ack_wait / 3);
        let work = async {
            let (read, handled) = tokio::join!(read, self.work(receiver, &unsettled));
            read.and(handled)
        };
        let aborted = async {
            self.shutdown.aborted().await;
            tokio::time::sleep(ABORT_FOR).await; // sleep: the bound of the second step down
        };
        let result = tokio::select! {
            result = work => result,
            () = progress => Ok(()),
            () = unread => Ok(()),
            () = aborted => {
                tracing::warn!("messages are left in hand; the server delivers them again");
                Ok(())
            }
        };
        // Acks are sent in the background; the process may end right after this.
        if let Ok(Err(error)) = timeout(ABORT_FOR, self.js.client().flush()).await {
            tracing::warn!(%error, "the last acks may be lost; their messages come again");
        }
        result
    }

    /// Asks for messages, one request at a time, for as much as memory has room; for none while the
    /// store's breaker is open. Half-open and with nothing in hand, it probes first.
    async fn read(
        &self,
        source: PullConsumer,
        sender: mpsc::Sender<InHand>,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let delivery_state = Arc::new(Semaphore::new(self.settings.memory_kib));
        while !self.shutdown.is_draining() {
            self.let_through(unsettled).await;
            if self.shutdown.is_draining() {
                return Ok(());
            }
            let request = source
                .batch()
                .max_messages(self.settings.group)
                .max_bytes(REQUEST_BYTES);
            let mut request = Request::new(
                request.expires(REQUEST_EXPIRES).messages().await?,
                self.js.client(),
            );
            loop {
                let message = tokio::select! {
                    biased;
                    () = self.shutdown.draining() => return request.hand_back().await,
                    message = request.next() => message,
                };
                let Some(message) = message else { break };
                let message = Arc::new(message?);
                let delivery = delivery(&message)?;
                // In the register first: its ack_wait runs while it waits for memory.
                lock(unsettled).insert(delivery.seq, message.clone());
                let kib = (message.length / 1024 + 1).min(self.settings.memory_kib) as u32;
                let delivery_state = delivery_state.clone().acquire_many_owned(kib).await?;
                if sender
                    .send(InHand::new(message, delivery, delivery_state))
                    .await
                    .is_err()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Messages must belong to the stream that was bound: one made anew counts from 1 again.
    ///
    /// While the server is away its answer is awaited: what is in hand need not come again.
    async fn check_life(&self) -> Result<(), async_nats::Error> {
        let policy = self.settings.retry.policy();
        for attempt in 0.. {
            match bind_stream(&self.js, &self.incarnation.name).await {
                Ok(now) if now == self.incarnation => return Ok(()),
                Ok(_) => return Err("the stream was made anew".into()),
                Err(BindError::Api(error)) => tracing::warn!(%error, attempt, "waiting for NATS"),
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = policy.pause(attempt) => {}
                () = self.shutdown.aborted() => return Err("stopped while NATS was away".into()),
            }
        }
        Ok(())
    }
}

async fn report_progress(unsettled: &Unsettled, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let messages: Vec<_> = lock(unsettled).values().cloned().collect();
        for message in messages {
            if let Err(error) = message.ack_with(AckKind::Progress).await {
                tracing::debug!(%error, "progress could not be reported");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Plain inserts and removes cannot leave the map half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The one pull loop: pull by permits, keep in progress, hand groups to a role, settle, stop in two steps.
//!
//! Groups form by themselves: what arrives while the role is busy is the next group. Nothing
//! lingers, so a lone message is handled at once and a backlog in large groups.

mod delivery;
mod hand_back;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer::PullConsumer};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::{BindError, StreamLife, bind_consumer, bind_stream, dead_letter};
use crate::crash;
use crate::process::Stop;
use crate::retry::RetryPolicy;
use delivery::delivery;
pub use delivery::{Delivery, Outcome, Role};
use hand_back::hand_back;

/// Bounds of the loop.
#[derive(Debug, Clone, Copy)]
pub struct PullSettings {
    /// Most messages in one group.
    pub group: usize,
    /// Most payload held in memory, in KiB.
    pub memory_kib: usize,
    /// The consumer's `ack_wait`; progress is reported every third of it.
    pub ack_wait: Duration,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self { group: 256, memory_kib: 64 * 1024, ack_wait: Duration::from_secs(30) }
    }
}

/// One request asks for at most this much payload: two of the largest messages.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// How long a request waits on the server.
const REQUEST_EXPIRES: Duration = Duration::from_secs(5);
/// After an abort, how long acks and hand-backs may take.
const ABORT_FOR: Duration = Duration::from_secs(2);

/// A message in hand, with the memory it holds.
struct InHand {
    message: Arc<jetstream::Message>,
    delivery: Delivery,
    _memory: OwnedSemaphorePermit,
}

/// The messages whose `ack_wait` must not run out.
type Unsettled = Arc<Mutex<HashMap<u64, Arc<jetstream::Message>>>>;

/// Pulls from `consumer` of `stream` until the process stops.
///
/// # Errors
/// Where the consumer or its stream is missing or unsafe when the loop starts. Later, and while
/// the server is away, it waits and binds again.
pub async fn run<R: Role>(
    js: jetstream::Context,
    (stream, consumer): (&str, &str),
    role: Arc<R>,
    settings: PullSettings,
    stop: Stop,
) -> Result<(), BindError> {
    for attempt in 0.. {
        match bind(&js, stream, consumer).await {
            Ok((life, source)) => {
                let pull = Loop { js: js.clone(), life, role: role.clone(), settings, stop: stop.clone() };
                match pull.until_broken(source).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        tracing::warn!(stream, consumer, %error, "pulling broke off; binding again");
                    }
                }
            }
            Err(error @ (BindError::Missing(_) | BindError::Unsafe { .. })) if attempt == 0 => {
                return Err(error);
            }
            Err(error) => tracing::warn!(stream, consumer, %error, attempt, "cannot bind; trying again"),
        }
        tokio::select! { () = RetryPolicy::DEFAULT.pause(attempt.min(6)) => {}, () = stop.draining() => return Ok(()) }
    }
    Ok(())
}

async fn bind(
    js: &jetstream::Context,
    stream: &str,
    consumer: &str,
) -> Result<(StreamLife, PullConsumer), BindError> {
    let life = bind_stream(js, stream).await?;
    Ok((life, bind_consumer(js, stream, consumer).await?))
}

struct Loop<R> {
    js: jetstream::Context,
    life: StreamLife,
    role: Arc<R>,
    settings: PullSettings,
    stop: Stop,
}

impl<R: Role> Loop<R> {
    /// Runs reader, handler and progress beside each other; `Ok` when the process stops.
    async fn until_broken(&self, source: PullConsumer) -> Result<(), async_nats::Error> {
        let (sender, receiver) = mpsc::channel(self.settings.group);
        let unsettled = Unsettled::default();
        let read = async {
            let result = self.read(source, sender, &unsettled).await;
            tracing::debug!("no more pulling");
            result
        };
        let progress = self.report_progress(&unsettled);
        let work = async {
            let (read, handled) = tokio::join!(read, self.handle(receiver, &unsettled));
            read.and(handled)
        };
        let aborted = async {
            self.stop.aborted().await;
            tokio::time::sleep(ABORT_FOR).await; // sleep: the bound of the second step down
        };
        let result = tokio::select! {
            result = work => result,
            () = progress => Ok(()),
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

    /// Asks for messages, one request at a time, for as much as memory has room.
    async fn read(
        &self,
        source: PullConsumer,
        sender: mpsc::Sender<InHand>,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let memory = Arc::new(Semaphore::new(self.settings.memory_kib));
        while !self.stop.is_draining() {
            let request = source.batch().max_messages(self.settings.group).max_bytes(REQUEST_BYTES);
            let mut messages = request.expires(REQUEST_EXPIRES).messages().await?;
            loop {
                let message = tokio::select! {
                    message = messages.next() => message,
                    () = self.stop.draining() => return hand_back(messages).await,
                };
                let Some(message) = message else { break };
                let message = Arc::new(message?);
                let delivery = delivery(&message)?;
                // In the register first: its ack_wait runs while it waits for memory.
                lock(unsettled).insert(delivery.seq, message.clone());
                let kib = (message.length / 1024 + 1).min(self.settings.memory_kib) as u32;
                let memory = memory.clone().acquire_many_owned(kib).await?;
                if sender.send(InHand { message, delivery, _memory: memory }).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Hands over what has arrived, group by group.
    async fn handle(
        &self,
        mut receiver: mpsc::Receiver<InHand>,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let mut group = Vec::new();
        while receiver.recv_many(&mut group, self.settings.group).await > 0 {
            group.sort_by_key(|one: &InHand| one.delivery.seq);
            group.dedup_by_key(|one| one.delivery.seq);
            self.check_life().await?;
            let deliveries: Vec<Delivery> = group.iter().map(|one| one.delivery.clone()).collect();
            let outcomes = tokio::select! {
                outcomes = self.role.handle(&self.life, &deliveries) => outcomes,
                // Handed back: another process, or the next start, takes them.
                () = self.stop.aborted() => vec![Outcome::Retry { after: Duration::ZERO }; group.len()],
            };
            for (one, outcome) in group.drain(..).zip(outcomes) {
                self.settle(&one, outcome).await;
                lock(unsettled).remove(&one.delivery.seq);
            }
            crash::point("pull.after_ack");
        }
        Ok(())
    }

    /// Messages must belong to the stream that was bound: one made anew counts from 1 again.
    ///
    /// While the server is away its answer is awaited: what is in hand need not come again.
    async fn check_life(&self) -> Result<(), async_nats::Error> {
        for attempt in 0.. {
            match bind_stream(&self.js, &self.life.name).await {
                Ok(now) if now == self.life => return Ok(()),
                Ok(_) => return Err("the stream was made anew".into()),
                Err(error @ (BindError::Missing(_) | BindError::Unsafe { .. })) => return Err(error.into()),
                Err(BindError::Api(error)) => tracing::warn!(%error, attempt, "waiting for NATS"),
            }
            tokio::select! {
                () = RetryPolicy::DEFAULT.pause(attempt) => {}
                () = self.stop.aborted() => return Err("stopped while NATS was away".into()),
            }
        }
        Ok(())
    }

    async fn settle(&self, one: &InHand, outcome: Outcome) {
        let settled = match &outcome {
            Outcome::Ack => one.message.ack().await,
            Outcome::Retry { after } => one.message.ack_with(AckKind::Nak(Some(*after))).await,
            Outcome::DeadLetter { reason } => {
                tracing::error!(seq = one.delivery.seq, reason, "giving up on a message: it goes to DEAD");
                dead_letter(&self.js, &one.message, reason).await
            }
        };
        if let Err(error) = settled {
            // At-least-once: it comes again when its ack_wait has run out.
            tracing::warn!(seq = one.delivery.seq, ?outcome, %error, "a message could not be settled");
        }
    }

    async fn report_progress(&self, unsettled: &Unsettled) {
        let mut ticks = tokio::time::interval(self.settings.ack_wait / 3);
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
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Plain inserts and removes cannot leave the map half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Passes messages to the handler group by group, and does with each what the policy says.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::names::ConsumerRef;
use crate::pull::binding::Binding;
use crate::pull::delivery::{Delivery, DeliveryOutcome, ErrorClass, Failure, MessageHandler};
use crate::pull::delivery_state::{DeliveryState, PriorAttempts};
use crate::pull::in_flight::{InFlight, InFlightRegister};
use crate::pull::policy::{self, ALONE_FROM, DeadLetterCause, MessageDisposition};
use crate::pull::queue::FairQueue;
use runtime::{clock, crash, metrics, panic_text};
use types::dead_letter::DeadLetterClass;

/// A message that meets an open breaker is delivered again after this at the earliest.
const MIN_NAK_DELAY: Duration = Duration::from_millis(100);

/// What is handled together.
struct SubBatch {
    members: Vec<InFlight>,
    /// How often in a row it failed transiently.
    failures: u32,
}

impl SubBatch {
    fn new(members: Vec<InFlight>) -> Self {
        Self {
            members,
            failures: 0,
        }
    }
}

/// Each message that may kill its worker is alone; the rest goes first, together.
fn sub_batches(group: Vec<InFlight>) -> VecDeque<SubBatch> {
    let (alone, together): (Vec<_>, Vec<_>) = group
        .into_iter()
        .partition(|one| one.delivery.delivered >= ALONE_FROM);
    let mut sub_batches: VecDeque<SubBatch> = alone
        .into_iter()
        .map(|one| SubBatch::new(vec![one]))
        .collect();
    if !together.is_empty() {
        sub_batches.push_front(SubBatch::new(together));
    }
    sub_batches
}

/// Handles what a fetcher pulls.
pub struct Dispatcher<'a, H, S> {
    binding: &'a Binding<H, S>,
    register: &'a InFlightRegister,
    /// What waits for a group.
    queue: FairQueue<InFlight>,
    /// What is still to be handled of the present group, in this order.
    pending: VecDeque<SubBatch>,
}

impl<'a, H: MessageHandler, S: DeliveryState> Dispatcher<'a, H, S> {
    pub fn new(binding: &'a Binding<H, S>, register: &'a InFlightRegister) -> Self {
        Self {
            binding,
            register,
            queue: FairQueue::new(),
            pending: VecDeque::new(),
        }
    }

    /// Handles what has arrived, group by group, until no more comes. Once the process shuts down, what is not begun is
    /// returned.
    pub async fn run(
        mut self,
        mut fetched: mpsc::Receiver<InFlight>,
    ) -> Result<(), async_nats::Error> {
        let bounds = self.binding.settings.group;
        let mut arrived = Vec::new();
        loop {
            // Without waiting, if there is something to do.
            let room = fetched.max_capacity();
            let count = match self.queue.is_empty() {
                true => fetched.recv_many(&mut arrived, room).await,
                false => fetched
                    .recv_many(&mut arrived, room)
                    .now_or_never()
                    .unwrap_or(0),
            };
            if count == 0 && self.queue.is_empty() {
                return Ok(());
            }
            for one in arrived.drain(..) {
                self.enqueue(one);
            }
            if self.binding.shutdown.is_draining() {
                let not_begun = self.queue.take_all();
                self.release(not_begun).await;
                continue;
            }
            let mut group = self.queue.next_group(bounds, Instant::now().into_std());
            group.sort_by_key(InFlight::seq);
            group.dedup_by_key(|one| one.seq());
            self.pending = sub_batches(group);
            while let Some(sub_batch) = self.pending.pop_front() {
                self.binding.check_incarnation().await?;
                Box::pin(self.dispatch(sub_batch)).await;
            }
            crash::point("pull.after_ack");
        }
    }

    fn enqueue(&mut self, one: InFlight) {
        let work = self.binding.handler.work(&one.delivery);
        let developer = one.delivery.developer().unwrap_or_default().to_owned();
        self.queue.push(&developer, work, one);
    }

    /// Handles one sub-batch; what must be handled again goes to the front of what is pending.
    async fn dispatch(&mut self, mut sub_batch: SubBatch) {
        let settings = &self.binding.settings;
        // Open after it was pulled: the breaker of another process may be closed.
        if let Some(open) = settings.guard.refuses().filter(|_| !settings.holds) {
            return self
                .nak_all(sub_batch.members, open.max(MIN_NAK_DELAY))
                .await;
        }
        let permit = tokio::select! {
            biased;
            permit = settings.guard.admitted() => permit,
            // The store is away and the process shuts down: another one may reach it.
            () = self.binding.shutdown.draining() => return self.release(sub_batch.members).await,
        };
        let outcomes = match self.begin(&mut sub_batch).await {
            Ok(Some(cause)) => {
                for one in sub_batch.members {
                    self.dead_letter(one, &cause).await;
                }
                return;
            }
            Ok(None) if sub_batch.members.is_empty() => return,
            Ok(None) => self.handle(&sub_batch.members).await,
            Err(failure) => Some(vec![
                DeliveryOutcome::Failed(failure);
                sub_batch.members.len()
            ]),
        };
        // Aborted: another process, or the next start, takes them.
        let Some(outcomes) = outcomes else {
            return self.release(sub_batch.members).await;
        };
        match policy::outage(&outcomes) {
            Some(outage) => permit.failed(&outage.reason),
            None => permit.done(policy::sample(&outcomes)),
        }
        self.settle(sub_batch, outcomes).await;
    }

    /// Does with each message what the policy says about its outcome.
    async fn settle(&mut self, sub_batch: SubBatch, outcomes: Vec<DeliveryOutcome>) {
        let mut acked = Vec::new();
        let mut held = Vec::new();
        let mut retried = [Vec::new(), Vec::new()];
        let mut outage = None;
        let dispositions = policy::dispositions(&outcomes);
        let members = sub_batch.members.into_iter();
        for ((one, outcome), disposition) in members.zip(outcomes).zip(dispositions) {
            match (disposition, outcome) {
                (MessageDisposition::Ack, _) | (_, DeliveryOutcome::Ack) => acked.push(one),
                (MessageDisposition::Retry(number), _) => retried[number].push(one),
                (MessageDisposition::Hold, DeliveryOutcome::Failed(failure)) => {
                    outage = outage.or(Some(failure));
                    held.push(one);
                }
                (MessageDisposition::Return, DeliveryOutcome::Failed(failure)) => {
                    self.return_later(one, &failure).await;
                }
                (MessageDisposition::UseAttempt, DeliveryOutcome::Failed(failure)) => {
                    self.use_attempt(one, failure).await;
                }
                (MessageDisposition::DeadLetter, DeliveryOutcome::Failed(failure)) => {
                    let cause = DeadLetterCause {
                        class: DeadLetterClass::Message,
                        reason: failure.reason,
                        attempts: 1,
                    };
                    self.dead_letter(one, &cause).await;
                }
            }
        }
        self.ack_all(acked).await;
        let retried = retried.into_iter().filter(|members| !members.is_empty());
        for members in retried.rev() {
            self.pending.push_front(SubBatch::new(members));
        }
        if let Some(outage) = outage {
            let held = SubBatch {
                members: held,
                failures: sub_batch.failures,
            };
            self.hold(held, &outage).await;
        }
    }

    /// Terminates those that DEAD has; they leave the sub-batch. Records that a message which may have killed a
    /// worker is about to be handled. Returns why it must be dead-lettered instead, if it must.
    async fn begin(&self, sub_batch: &mut SubBatch) -> Result<Option<DeadLetterCause>, Failure> {
        self.load_attempts(sub_batch).await?;
        let [one] = &mut sub_batch.members[..] else {
            return Ok(None);
        };
        if one.delivery.delivered < ALONE_FROM || one.has_begun {
            return Ok(None);
        }
        let prior = self
            .binding
            .delivery_state
            .begin_attempt(self.binding.position(one.seq()), clock::now())
            .await?;
        one.has_begun = true;
        one.failed_before = prior.used > 0;
        if prior.is_in_dead(one.delivery.published_at) {
            for one in std::mem::take(&mut sub_batch.members) {
                self.terminate(&one).await;
            }
            return Ok(None);
        }
        let max_attempts = self.binding.settings.retry.max_attempts;
        Ok(policy::exhausted(&prior, max_attempts))
    }

    /// Loads the prior attempts of messages that were delivered again, with one query for all of the sub-batch.
    async fn load_attempts(&self, sub_batch: &mut SubBatch) -> Result<(), Failure> {
        let is_redelivered =
            |one: &&InFlight| (2..ALONE_FROM).contains(&one.delivery.delivered) && !one.is_loaded;
        let redelivered = sub_batch.members.iter().filter(is_redelivered);
        let seqs: Vec<u64> = redelivered.map(InFlight::seq).collect();
        if seqs.is_empty() {
            return Ok(());
        }
        let Binding {
            incarnation,
            consumer,
            delivery_state,
            ..
        } = self.binding;
        let prior = delivery_state
            .load(incarnation, &consumer.consumer, &seqs)
            .await?;
        for mut one in std::mem::take(&mut sub_batch.members) {
            one.is_loaded = true;
            match prior.get(&one.seq()) {
                // The worker that moved it died before it could terminate it.
                Some(prior) if prior.is_in_dead(one.delivery.published_at) => {
                    self.terminate(&one).await;
                    continue;
                }
                Some(prior) => one.failed_before = prior.used > 0,
                None => {}
            }
            sub_batch.members.push(one);
        }
        Ok(())
    }

    /// The outcome of each message; `None` if the process is aborted meanwhile.
    async fn handle(&self, members: &[InFlight]) -> Option<Vec<DeliveryOutcome>> {
        let deliveries: Vec<Delivery> = members.iter().map(|one| one.delivery.clone()).collect();
        let started = Instant::now();
        let Binding {
            handler,
            incarnation,
            consumer,
            shutdown,
            ..
        } = self.binding;
        // On the heap: handlers nest deeply, and a thread's stack is bounded.
        let handled =
            AssertUnwindSafe(Box::pin(handler.handle(incarnation, &deliveries))).catch_unwind();
        let handled = tokio::select! {
            biased;
            () = shutdown.aborted() => return None,
            handled = handled => handled,
        };
        let bytes = deliveries.iter().map(|one| one.payload.len()).sum();
        metrics::group_handled(
            &consumer.stream,
            &consumer.consumer,
            deliveries.len(),
            bytes,
            started.elapsed(),
        );
        let reason = match handled {
            Ok(outcomes) if outcomes.len() == deliveries.len() => return Some(outcomes),
            Ok(outcomes) => format!(
                "handling gave {} outcomes for {} messages",
                outcomes.len(),
                deliveries.len()
            ),
            Err(panic) => format!("handling panicked: {}", panic_text(&*panic)),
        };
        let unknown = DeliveryOutcome::failed(ErrorClass::Unknown, reason);
        Some(vec![unknown; deliveries.len()])
    }

    /// The whole sub-batch failed transiently: it is held, and handled again after a pause.
    async fn hold(&mut self, mut sub_batch: SubBatch, outage: &Failure) {
        let settings = &self.binding.settings;
        let messages = sub_batch.members.len();
        let attempt = sub_batch.failures;
        if !settings.holds || policy::is_returned(messages, attempt) {
            for one in sub_batch.members {
                self.return_later(one, outage).await;
            }
            return;
        }
        tracing::warn!(
            messages,
            attempt,
            reason = outage.reason,
            "messages are held; trying again"
        );
        for one in &mut sub_batch.members {
            self.clear_attempt(one).await;
        }
        let policy = settings.retry.policy();
        tokio::select! {
            () = policy.pause(attempt) => {
                sub_batch.failures = attempt.saturating_add(1);
                self.pending.push_front(sub_batch);
            }
            () = self.binding.shutdown.draining() => self.release(sub_batch.members).await,
        }
    }

    /// An attempt of a message that was handled alone has failed, and the cause is not known.
    async fn use_attempt(&self, one: InFlight, failure: Failure) {
        let seq = one.seq();
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        let retry = self.binding.settings.retry;
        let max_attempts = retry.max_attempts;
        let reason = failure.reason;
        metrics::attempt_failed(stream, consumer);
        let recorded = self
            .binding
            .delivery_state
            .record_failure(self.binding.position(seq), &reason, clock::now())
            .await;
        let used = match recorded {
            Ok(used) => used,
            Err(failure) => return self.return_later(one, &failure).await,
        };
        let prior = PriorAttempts {
            used,
            reason: Some(reason.clone()),
            ..PriorAttempts::default()
        };
        if let Some(cause) = policy::exhausted(&prior, max_attempts) {
            return self.dead_letter(one, &cause).await;
        }
        tracing::error!(
            stream,
            consumer,
            seq,
            used,
            max_attempts,
            reason,
            "a message failed; trying again"
        );
        let delay = retry.policy().delay(used.saturating_sub(1));
        self.nak(one, delay).await;
    }

    /// Moves the message to DEAD. If that cannot be done now, it is delivered again later.
    async fn dead_letter(&self, one: InFlight, cause: &DeadLetterCause) {
        let Err(error) = self.binding.dead_letter(&one.delivery, cause).await else {
            return self.terminate(&one).await;
        };
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        tracing::error!(
            stream, consumer, seq = one.seq(), %error, reason = cause.reason,
            "a message cannot be moved to DEAD; trying again later"
        );
        self.nak(one, self.binding.settings.retry.policy().cap)
            .await;
    }

    /// Terminates the message: in a work queue that deletes it, so DEAD has it before. What is recorded of it is
    /// dropped last: it says that DEAD has it.
    async fn terminate(&self, one: &InFlight) {
        let sent = self.binding.terminate(&one.ack_subject).await;
        let is_sent = sent.is_ok();
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        metrics::settled(stream, consumer, "dead_letter", 1);
        self.register.settle(one, sent);
        if is_sent {
            self.binding.forget(&[one.seq()]).await;
        }
    }

    /// Returns the message to the server with a pause; no attempt is used.
    async fn return_later(&self, one: InFlight, failure: &Failure) {
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        let seq = one.seq();
        let delivered = one.delivery.delivered;
        let reason = &failure.reason;
        if failure.error_class == ErrorClass::Early {
            tracing::debug!(stream, consumer, seq, delivered, reason, "a message waits");
        } else {
            tracing::error!(
                stream,
                consumer,
                seq,
                delivered,
                reason,
                "a message is returned; trying again later"
            );
        }
        let policy = self.binding.settings.retry.policy();
        let delay = policy.delay(one.redeliveries());
        self.nak(one, delay).await;
    }

    /// Returns the messages to the server at once: the process shuts down.
    async fn release(&self, members: Vec<InFlight>) {
        self.nak_all(members, Duration::ZERO).await;
    }

    async fn nak_all(&self, members: Vec<InFlight>, delay: Duration) {
        for one in members {
            self.nak(one, delay).await;
        }
    }

    async fn nak(&self, mut one: InFlight, delay: Duration) {
        self.clear_attempt(&mut one).await;
        let sent = self.binding.tell(&one, AckKind::Nak(Some(delay))).await;
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        metrics::settled(stream, consumer, "retry", 1);
        self.register.settle(&one, sent);
    }

    /// Acks the messages. What is recorded of them is dropped first: once acked, a message is never delivered again
    /// to do it.
    async fn ack_all(&self, members: Vec<InFlight>) {
        let members = self.record_recoveries(members).await;
        let has_record = |one: &&InFlight| one.delivery.delivered > 1 || one.has_begun;
        let recorded = members.iter().filter(has_record);
        let seqs: Vec<u64> = recorded.map(InFlight::seq).collect();
        self.binding.forget(&seqs).await;
        let ConsumerRef { stream, consumer } = &self.binding.consumer;
        metrics::settled(stream, consumer, "ack", members.len());
        for one in &members {
            self.register
                .settle(one, self.binding.tell(one, AckKind::Ack).await);
        }
    }

    /// Records that messages are done whose attempts failed before; returns the messages to be acked. If that cannot
    /// be recorded now, the message is delivered again: it is done, and its next handling finds that.
    async fn record_recoveries(&self, members: Vec<InFlight>) -> Vec<InFlight> {
        let mut done = Vec::with_capacity(members.len());
        for one in members {
            let recorded = match one.failed_before {
                true => self.record_recovery(&one.delivery).await,
                false => Ok(()),
            };
            match recorded {
                Ok(()) => done.push(one),
                Err(failure) => self.return_later(one, &failure).await,
            }
        }
        done
    }

    async fn record_recovery(&self, message: &Delivery) -> Result<(), Failure> {
        let context = self.binding.context(message).await?;
        let position = self.binding.position(message.seq);
        self.binding
            .delivery_state
            .record_recovery(position, &context, clock::now())
            .await
    }

    /// Clears a begun attempt. If that fails it stays this worker's, and is not begun again.
    async fn clear_attempt(&self, one: &mut InFlight) {
        if !one.has_begun {
            return;
        }
        let position = self.binding.position(one.seq());
        match self.binding.delivery_state.clear_attempt(position).await {
            Ok(()) => one.has_begun = false,
            Err(error) => {
                tracing::warn!(
                    seq = one.seq(),
                    error = error.reason,
                    "a begun attempt stays recorded for now"
                );
            }
        }
    }
}

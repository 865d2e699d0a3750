//! Works off what was pulled: handles it group by group, and does with each message what the policy says.

mod bury;
mod settle;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::delivery::{Delivery, ErrorClass, Failure, Outcome, Role};
use super::delivery_state::DeliveryState;
use super::policy::{self, ALONE_FROM, DeadLetterCause, Fate};
use super::{Loop, Unsettled};
use runtime::clock;
use runtime::crash;
use runtime::metrics;
use types::dead_letter::DeadLetterClass;

/// A message that meets an open breaker comes again after this at the earliest.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// A message in hand, with the memory it holds.
pub struct InHand {
    message: Arc<jetstream::Message>,
    delivery: Delivery,
    /// It is written down that this worker handles it alone.
    marked: bool,
    /// What is remembered of it was asked for.
    recalled: bool,
    /// Attempts of it failed before.
    failed_before: bool,
    _memory: OwnedSemaphorePermit,
}

impl InHand {
    pub fn new(
        message: Arc<jetstream::Message>,
        delivery: Delivery,
        delivery_state: OwnedSemaphorePermit,
    ) -> Self {
        let (marked, recalled, failed_before) = (false, false, false);
        Self {
            message,
            delivery,
            marked,
            recalled,
            failed_before,
            _memory: delivery_state,
        }
    }

    /// Which of the growing pauses comes next, by how often it was delivered.
    fn retries(&self) -> u32 {
        u32::try_from(self.delivery.delivered.saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

/// What is handled together.
struct Part {
    members: Vec<InHand>,
    /// How often in a row the surroundings failed it.
    failures: u32,
}

impl Part {
    fn new(members: Vec<InHand>) -> Self {
        Self {
            members,
            failures: 0,
        }
    }
}

/// Who may kill its worker stands alone; the rest goes first, together.
fn apart(group: Vec<InHand>) -> VecDeque<Part> {
    let (alone, together): (Vec<_>, Vec<_>) = group
        .into_iter()
        .partition(|one| one.delivery.delivered >= ALONE_FROM);
    let mut parts: VecDeque<Part> = alone.into_iter().map(|one| Part::new(vec![one])).collect();
    if !together.is_empty() {
        parts.push_front(Part::new(together));
    }
    parts
}

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// Handles what has arrived, group by group, until no more comes.
    pub(super) async fn work(
        &self,
        mut receiver: mpsc::Receiver<InHand>,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let mut group = Vec::new();
        while receiver.recv_many(&mut group, self.settings.group).await > 0 {
            group.sort_by_key(|one: &InHand| one.delivery.seq);
            group.dedup_by_key(|one| one.delivery.seq);
            let mut parts = apart(std::mem::take(&mut group));
            while let Some(part) = parts.pop_front() {
                self.check_life().await?;
                Box::pin(self.work_off(part, &mut parts, unsettled)).await;
            }
            crash::point("pull.after_ack");
        }
        Ok(())
    }

    /// Handles one part; what must be handled again goes to the front of `parts`.
    async fn work_off(&self, mut part: Part, parts: &mut VecDeque<Part>, unsettled: &Unsettled) {
        // Open after it was pulled: the breaker of another process may be closed.
        if let Some(open) = self
            .settings
            .guard
            .refuses()
            .filter(|_| !self.settings.keeps)
        {
            for one in part.members {
                self.nak(one, open.max(LEAST_PAUSE), unsettled).await;
            }
            return;
        }
        let permit = tokio::select! {
            biased;
            permit = self.settings.guard.admitted() => permit,
            // The store is away and the process stops: another one may have better luck.
            () = self.shutdown.draining() => return self.give_back(part.members, unsettled).await,
        };
        let outcomes = match self.begin(&mut part, unsettled).await {
            Ok(Some(given_up)) => return self.bury_all(part, &given_up, unsettled).await,
            Ok(None) if part.members.is_empty() => return,
            Ok(None) => self.outcomes(&part).await,
            Err(failure) => Some(vec![Outcome::Failed(failure); part.members.len()]),
        };
        // Handed back: another process, or the next start, takes them.
        let Some(outcomes) = outcomes else {
            return self.give_back(part.members, unsettled).await;
        };
        match policy::outage(&outcomes) {
            Some(outage) => permit.failed(&outage.reason),
            None => permit.done(policy::sample(&outcomes)),
        }
        let (mut done, mut waiting, mut again) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        let mut outage = None;
        let fates = policy::fates(&outcomes);
        for ((one, outcome), fate) in part.members.into_iter().zip(outcomes).zip(fates) {
            match (fate, outcome) {
                (Fate::Done, _) | (_, Outcome::Ack) => done.push(one),
                (Fate::Again(number), _) => again[number].push(one),
                (Fate::Wait, Outcome::Failed(failure)) => {
                    outage = outage.or(Some(failure));
                    waiting.push(one);
                }
                (Fate::Back, Outcome::Failed(failure)) => self.back(one, &failure, unsettled).await,
                (Fate::Attempt, Outcome::Failed(failure)) => {
                    self.attempt(one, failure, unsettled).await
                }
                (Fate::Dead, Outcome::Failed(failure)) => {
                    let given_up = DeadLetterCause {
                        class: DeadLetterClass::Message,
                        reason: failure.reason,
                        attempts: 1,
                    };
                    self.bury(one, &given_up, unsettled).await;
                }
            }
        }
        self.done(done, unsettled).await;
        for members in again
            .into_iter()
            .rev()
            .filter(|members| !members.is_empty())
        {
            parts.push_front(Part::new(members));
        }
        if let Some(outage) = outage {
            self.wait(
                Part {
                    members: waiting,
                    failures: part.failures,
                },
                &outage,
                parts,
                unsettled,
            )
            .await;
        }
    }

    /// Those that DEAD has are ended and leave the part. Before a message that may have killed a worker is
    /// handled, that is written down. Gives why it must be given up, where it must.
    async fn begin(
        &self,
        part: &mut Part,
        unsettled: &Unsettled,
    ) -> Result<Option<DeadLetterCause>, Failure> {
        self.recall(part, unsettled).await?;
        let [one] = &mut part.members[..] else {
            return Ok(None);
        };
        if one.delivery.delivered < ALONE_FROM || one.marked {
            return Ok(None);
        }
        let tries = self
            .delivery_state
            .mark(self.place(one.delivery.seq), clock::now())
            .await?;
        one.marked = true;
        one.failed_before = tries.used > 0;
        if tries.is_in_dead {
            for one in std::mem::take(&mut part.members) {
                self.end(&one, unsettled).await;
            }
            return Ok(None);
        }
        Ok(policy::spent(&tries, self.settings.retry.max_attempts))
    }

    /// What is remembered of messages that come again, in one question for all of the part.
    async fn recall(&self, part: &mut Part, unsettled: &Unsettled) -> Result<(), Failure> {
        let comes_again =
            |one: &&InHand| (2..ALONE_FROM).contains(&one.delivery.delivered) && !one.recalled;
        let seqs: Vec<u64> = part
            .members
            .iter()
            .filter(comes_again)
            .map(|one| one.delivery.seq)
            .collect();
        if seqs.is_empty() {
            return Ok(());
        }
        let remembered = self
            .delivery_state
            .recall(&self.incarnation, &self.consumer, &seqs)
            .await?;
        for mut one in std::mem::take(&mut part.members) {
            one.recalled = true;
            match remembered.get(&one.delivery.seq) {
                // The worker that moved it died before it could end it.
                Some(tries) if tries.is_in_dead => {
                    self.end(&one, unsettled).await;
                    continue;
                }
                Some(tries) => one.failed_before = tries.used > 0,
                None => {}
            }
            part.members.push(one);
        }
        Ok(())
    }

    /// How handling ended; `None` where the process is aborted meanwhile.
    async fn outcomes(&self, part: &Part) -> Option<Vec<Outcome>> {
        let deliveries: Vec<Delivery> = part
            .members
            .iter()
            .map(|one| one.delivery.clone())
            .collect();
        let started = Instant::now();
        // On the heap: roles nest deeply, and a thread's stack is bounded.
        let handled = AssertUnwindSafe(Box::pin(self.role.handle(&self.incarnation, &deliveries)))
            .catch_unwind();
        let handled = tokio::select! {
            biased;
            () = self.shutdown.aborted() => return None,
            handled = handled => handled,
        };
        let bytes = deliveries.iter().map(|one| one.payload.len()).sum();
        metrics::group_handled(self.name(), deliveries.len(), bytes, started.elapsed());
        let outcomes = handled.unwrap_or_else(|panic| {
            let reason = format!("handling panicked: {}", told(&*panic));
            vec![Outcome::failed(ErrorClass::Unknown, reason); deliveries.len()]
        });
        if outcomes.len() == deliveries.len() {
            return Some(outcomes);
        }
        let reason = format!(
            "handling gave {} outcomes for {} messages",
            outcomes.len(),
            deliveries.len()
        );
        Some(vec![
            Outcome::failed(ErrorClass::Unknown, reason);
            deliveries.len()
        ])
    }

    /// The surroundings failed the whole part: it is kept in hand, and handled again after a pause.
    async fn wait(
        &self,
        mut part: Part,
        outage: &Failure,
        parts: &mut VecDeque<Part>,
        unsettled: &Unsettled,
    ) {
        let (messages, attempt, reason) = (part.members.len(), part.failures, &outage.reason);
        if !self.settings.keeps || policy::is_left_for_later(messages, attempt) {
            for one in part.members {
                self.back(one, outage, unsettled).await;
            }
            return;
        }
        tracing::warn!(
            messages,
            attempt,
            reason,
            "messages are kept in hand; trying again"
        );
        for one in &mut part.members {
            self.unmark(one).await;
        }
        let policy = self.settings.retry.policy();
        tokio::select! {
            () = policy.pause(part.failures) => {
                parts.push_front(Part { failures: part.failures.saturating_add(1), ..part });
            }
            () = self.shutdown.draining() => self.give_back(part.members, unsettled).await,
        }
    }
}

/// What a panic said.
fn told(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

//! Groups: what waits goes to the stream as one atomic batch, one group at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::atomic_group::{self, GroupError, GroupMessage};
use runtime::breaker::{CallOutcome, CallPermit, Guard};
use runtime::metrics;
use tokio::time::Instant;

use super::group_commit::GroupEnd;
use super::line::{Line, Turn, Waiting};
use super::message::{EventsMessage, NotPublished};

/// One PubAck is awaited this long before the same message is published again.
pub const ATTEMPT: Duration = Duration::from_secs(2);

/// A message of the group in flight.
struct Member {
    waiting: Waiting,
    permit: CallPermit,
}

/// Decides what goes when, and publishes the groups. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct GroupPublisher(Arc<Inner>);

struct Inner {
    client: async_nats::Client,
    breaker: Guard,
    line: Mutex<Line>,
    /// It was logged that the stream takes no groups.
    told_unsupported: AtomicBool,
}

impl GroupPublisher {
    /// Nothing is on its way.
    pub fn new(client: async_nats::Client, breaker: Guard) -> Self {
        Self(Arc::new(Inner {
            client,
            breaker,
            line: Mutex::new(Line::new(Instant::now())),
            told_unsupported: AtomicBool::new(false),
        }))
    }

    /// Who publishes what at this moment.
    pub fn line(&self) -> MutexGuard<'_, Line> {
        // No step of it panics half-way.
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next messages go, now that others have ended.
    pub fn advance(&self, mut line: MutexGuard<'_, Line>) {
        let group = line.advance(Instant::now());
        drop(line);
        if let Some(group) = group {
            tokio::spawn(self.clone().publish_groups(group));
        }
    }

    /// Publishes a group, and those that wait at its end.
    async fn publish_groups(self, mut group: Vec<Waiting>) {
        loop {
            let end = self.publish_group(group).await;
            let mut line = self.line();
            let now = Instant::now();
            line.commit().group_ended(now, end);
            match line.advance(now) {
                Some(next) => group = next,
                None => return,
            }
        }
    }

    async fn publish_group(&self, group: Vec<Waiting>) -> GroupEnd {
        let mut members = Vec::with_capacity(group.len());
        for waiting in group {
            match self.0.breaker.acquire() {
                Ok(permit) => members.push(Member { waiting, permit }),
                Err(left) => tell(
                    waiting,
                    Turn::Refused(NotPublished::CircuitOpen { left, sent: false }),
                ),
            }
        }
        if members.is_empty() {
            return GroupEnd::Refused;
        }
        let messages = members
            .iter()
            .map(|member| group_message(&member.waiting.message));
        let published = atomic_group::publish(&self.0.client, messages.collect(), ATTEMPT);
        let published = tokio::select! {
            biased;
            published = published => published,
            () = self.0.breaker.opened() => Err(GroupError::Unconfirmed("the circuit breaker opened".to_owned())),
        };
        metrics::group_published(outcome_of(published.as_ref().err()), members.len());
        match published {
            Ok(committed) => {
                for (member, sequence) in members.into_iter().zip(committed.sequences()) {
                    member.permit.done(CallOutcome::Ok);
                    tell(member.waiting, Turn::Committed(sequence));
                }
                if self.0.told_unsupported.swap(false, Ordering::Relaxed) {
                    tracing::info!("the stream {} takes atomic batches again", bus::EVENTS);
                }
                GroupEnd::Committed
            }
            Err(error) => self.publish_members_singly(members, &error),
        }
    }

    fn publish_members_singly(&self, members: Vec<Member>, error: &GroupError) -> GroupEnd {
        let reason = error.to_string();
        let end = match error {
            GroupError::Unsupported(_) => GroupEnd::Unsupported,
            GroupError::Duplicate | GroupError::Refused(_) => GroupEnd::Refused,
            GroupError::Unconfirmed(_) => GroupEnd::Unanswered,
        };
        if end == GroupEnd::Unsupported && !self.0.told_unsupported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "the stream {} takes no atomic batches: batches are published singly, which is slower on a slow disk; \
                 `devtrail streams apply` lets it take them",
                bus::EVENTS
            );
        } else {
            tracing::debug!(
                reason,
                members = members.len(),
                "a group is published singly"
            );
        }
        let sent = end == GroupEnd::Unanswered;
        let mut line = self.line();
        for Member { waiting, permit } in members {
            match sent {
                true => permit.failed(&reason),
                false => permit.done(CallOutcome::Ok),
            }
            let single = line.commit().goes_alone(Instant::now());
            let reason = reason.clone();
            let again = Turn::Again {
                single,
                reason,
                sent,
            };
            // Whoever waited has gone: nothing is sent.
            if waiting.turn.send(again).is_err() {
                line.commit().single_ended(single, Instant::now(), true);
            }
        }
        end
    }
}

fn group_message(message: &EventsMessage) -> GroupMessage {
    GroupMessage {
        subject: message.subject.clone(),
        message_id: message.identity.message_id.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
    }
}

/// Tells a message what becomes of it, if its request still waits.
fn tell(waiting: Waiting, turn: Turn) {
    if waiting.turn.send(turn).is_err() {
        tracing::debug!(
            id = waiting.message.identity.message_id,
            "a message that waited is gone"
        );
    }
}

/// The outcome as metrics name it.
fn outcome_of(error: Option<&GroupError>) -> &'static str {
    match error {
        None => "committed",
        Some(GroupError::Duplicate) => "duplicate",
        Some(GroupError::Refused(_)) => "refused",
        Some(GroupError::Unsupported(_)) => "unsupported",
        Some(GroupError::Unconfirmed(_)) => "unconfirmed",
    }
}

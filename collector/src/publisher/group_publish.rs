//! Groups: what waits goes to the stream as one atomic batch, one group at a time.

use bus::atomic_group::{self, GroupError, GroupMessage};
use runtime::breaker::CallOutcome;
use runtime::metrics;
use tokio::time::{Instant, sleep_until};

use super::group_commit::GroupEnd;
use super::handle::{ATTEMPT, Publisher};
use super::line::{Turn, Waiting};
use super::message::{EventsMessage, NotPublished};

/// The group in flight. Dropped without an end, it was not answered.
struct InFlightGroup<'a> {
    publisher: &'a Publisher,
    ended: bool,
}

impl InFlightGroup<'_> {
    /// The group has ended; gives the next one.
    fn ended(mut self, end: GroupEnd) -> Option<Vec<Waiting>> {
        self.ended = true;
        let mut line = self.publisher.line();
        let now = Instant::now();
        line.commit().group_ended(now, end);
        line.advance(now)
    }
}

impl Drop for InFlightGroup<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let mut line = self.publisher.line();
            line.commit()
                .group_ended(Instant::now(), GroupEnd::Unanswered);
            self.publisher.advance(line);
        }
    }
}

impl Publisher {
    /// Publishes a group, and those that wait at its end or come soon after it.
    pub(super) async fn publish_groups(self, mut group: Vec<Waiting>) {
        loop {
            let in_flight = InFlightGroup {
                publisher: &self,
                ended: false,
            };
            let end = self.publish_group(group).await;
            let next = match in_flight.ended(end) {
                Some(next) => Some(next),
                None => self.next_after_lingering().await,
            };
            match next {
                Some(next) => group = next,
                None => return,
            }
        }
    }

    /// The next group, if the round lingers and no message ends that before.
    async fn next_after_lingering(&self) -> Option<Vec<Waiting>> {
        loop {
            let until = self.line().commit().lingers_until()?;
            sleep_until(until).await; // sleep: the next round lingers, for what is likely to come
            if let Some(next) = self.line().advance(Instant::now()) {
                return Some(next);
            }
        }
    }

    /// To the breaker a group is one call: one that is not confirmed must not open it, since its members go singly
    /// then.
    async fn publish_group(&self, group: Vec<Waiting>) -> GroupEnd {
        let permit = match self.0.breaker.acquire() {
            Ok(permit) => permit,
            Err(left) => {
                let refused = NotPublished::CircuitOpen { left, sent: false };
                for waiting in group {
                    tell(waiting, Turn::Refused(refused.clone()));
                }
                return GroupEnd::Refused;
            }
        };
        let messages = group.iter().map(|waiting| group_message(&waiting.message));
        let published = atomic_group::publish(&self.0.client, messages.collect(), ATTEMPT);
        let published = tokio::select! {
            biased;
            published = published => published,
            () = self.0.breaker.opened() => Err(GroupError::Unconfirmed("the circuit breaker opened".to_owned())),
        };
        metrics::group_published(outcome_of(published.as_ref().err()), group.len());
        match published {
            Ok(committed) => {
                permit.done(CallOutcome::Ok);
                for (waiting, sequence) in group.into_iter().zip(committed.sequences()) {
                    tell(waiting, Turn::Committed(sequence));
                }
                self.0.group_support.takes();
                GroupEnd::Committed
            }
            Err(error) => {
                match &error {
                    GroupError::Unconfirmed(reason) => permit.failed(reason),
                    _ => permit.done(CallOutcome::Ok),
                }
                self.publish_members_singly(group, &error)
            }
        }
    }

    fn publish_members_singly(&self, group: Vec<Waiting>, error: &GroupError) -> GroupEnd {
        let end = match error {
            GroupError::Unsupported(_) => GroupEnd::Unsupported,
            GroupError::Duplicate | GroupError::Refused(_) => GroupEnd::Refused,
            GroupError::Unconfirmed(_) => GroupEnd::Unanswered,
        };
        self.0.group_support.refused(error, group.len());
        let sent = end == GroupEnd::Unanswered;
        let mut line = self.line();
        for waiting in group {
            let single = line.commit().goes_alone(Instant::now());
            let again = Turn::Again {
                single,
                reason: error.to_string(),
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

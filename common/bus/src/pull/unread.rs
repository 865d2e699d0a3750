//! Messages that no worker ever gets in hand: a client cannot read their headers or subject, so that each delivery
//! breaks a connection (or, from a server that lets a status through, they pass for its own words). They are read
//! where they lie, and given up.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Subject;
use tokio::time::timeout;

use super::delivery::{Delivery, Role};
use super::delivery_state::DeliveryState;
use super::policy::DeadLetterCause;
use super::{Loop, Unsettled, lock};
use crate::facts::{self, Floor};
use crate::stored::{self, StoredMessage};
use crate::{connects, reconnected, topology::Name};
use runtime::metrics;
use types::dead_letter::DeadLetterClass;
use types::stream::StreamIncarnation;

/// So few are read after any break of the connection; more only where it says that one of them may be the cause.
const FEW: u64 = 64;
/// Most messages that are asked for again after one broke the connection: those that were delivered last. More
/// than a consumer may have unsettled (`max_ack_pending`, 2000).
const BESIDE: u64 = 4096;

/// The time between two looks at most; and as long as the ack floor has not passed what was given up.
const EVERY: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(1);

/// What is known from look to look, as long as the stream lives.
#[derive(Default)]
pub(super) struct Looked {
    incarnation: Option<StreamIncarnation>,
    /// How often the client had connected, and to which server.
    connected: (u64, String),
    /// Where the ack floor stood.
    stood_at: Option<u64>,
    /// Up to here all that was delivered can be read, or is given up.
    walked: u64,
    /// What was terminated above the floor. DEAD is remembered to have it until the floor has passed it: who finds
    /// it in the stream meanwhile must not give it up again.
    ended: BTreeSet<u64>,
}

/// Whether it was looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Done,
    /// The breaker before the store is open.
    Later,
}

/// What a look may take for the cause of a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspects {
    /// Whatever was delivered and is unsettled.
    All,
    /// What holds the ack floor.
    First,
    Nobody,
}

/// Who is suspected. A connection that broke while its server ran on was broken by a message, most likely; so it
/// was where one was delivered before.
fn suspects(floor: &Floor, broke: bool, same_server: bool, stands: bool) -> Suspects {
    match (broke, stands) {
        (true, _) if same_server || floor.redelivered > 0 || floor.unsettled <= FEW => {
            Suspects::All
        }
        (false, true) if floor.redelivered > 0 => Suspects::First,
        _ => Suspects::Nobody,
    }
}

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// Looks at what is unsettled when the connection broke, and else at what holds the ack floor. Never ends.
    pub(super) async fn give_up_the_unread(
        &self,
        looked: &mut Looked,
        unsettled: &Unsettled,
        every: Duration,
    ) {
        let (client, policy) = (self.js.client(), self.settings.retry.policy());
        let mut attempt = 0;
        loop {
            let look = self.look(looked, unsettled).await;
            if let Err(error) = &look {
                let (stream, consumer) = self.name();
                tracing::warn!(stream, consumer, %error, attempt, "what is unsettled cannot be looked at; trying again");
            }
            if matches!(look, Ok(Looks::Done)) {
                attempt = 0;
                let pause = if looked.ended.is_empty() {
                    every.min(EVERY)
                } else {
                    SOON
                };
                // Either way it is looked again.
                let _ = timeout(pause, reconnected(&client, looked.connected.0)).await;
            } else {
                policy.pause(attempt).await;
                attempt = attempt.saturating_add(1);
            }
        }
    }

    /// Looks once, where the store is well: what is given up is written to it.
    pub(super) async fn look(
        &self,
        looked: &mut Looked,
        unsettled: &Unsettled,
    ) -> Result<Looks, async_nats::Error> {
        if looked.incarnation.as_ref() != Some(&self.incarnation) {
            *looked = Looked {
                incarnation: Some(self.incarnation.clone()),
                ..Looked::default()
            };
        }
        if self.settings.guard.refuses().is_some() {
            return Ok(Looks::Later);
        }
        let client = self.js.client();
        let now = (connects(&client), client.server_info().server_id);
        let floor = self.floor().await?;
        let above = floor.as_ref().map_or(u64::MAX, |floor| floor.settled + 1);
        let open = looked.ended.split_off(&above);
        let passed: Vec<u64> = std::mem::replace(&mut looked.ended, open)
            .into_iter()
            .collect();
        self.forget(&passed).await;
        let stands = floor.as_ref().map(|floor| floor.settled);
        let stood = std::mem::replace(&mut looked.stood_at, stands);
        if let Some(floor) = &floor {
            let (broke, same_server) = (looked.connected.0 != now.0, looked.connected.1 == now.1);
            match suspects(floor, broke, same_server, stood == stands) {
                Suspects::All => self.walk(floor, looked, unsettled).await?,
                Suspects::First => {
                    let first = self.next(floor.settled, floor).await?;
                    if let Some(message) = first.filter(|message| message.unreadable.is_some()) {
                        self.give_up(message, looked).await?;
                    }
                }
                Suspects::Nobody => {}
            }
        }
        looked.connected = now;
        Ok(Looks::Done)
    }

    async fn floor(&self) -> Result<Option<Floor>, async_nats::Error> {
        let (stream, consumer) = self.name();
        let name = Name {
            stream: stream.to_owned(),
            consumer: Some(consumer.to_owned()),
        };
        Ok(facts::floor(&self.js, &name).await?)
    }

    /// The next delivered message of the consumer above `seq`.
    async fn next(
        &self,
        seq: u64,
        floor: &Floor,
    ) -> Result<Option<StoredMessage>, async_nats::Error> {
        let found =
            stored::first_from(&self.js, &self.incarnation.name, seq + 1, &floor.subject).await?;
        Ok(found.filter(|message| message.seq <= floor.delivered))
    }

    /// Gives up each unreadable message that was delivered; each message is read once. One that cannot be given up
    /// now does not keep the others. What was delivered beside them got lost with the connection, and is asked for.
    async fn walk(
        &self,
        floor: &Floor,
        looked: &mut Looked,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let (mut at, mut found, mut result) = (floor.settled.max(looked.walked), false, Ok(()));
        loop {
            while lock(unsettled).contains_key(&(at + 1)) {
                at += 1;
            }
            let Some(message) = self.next(at, floor).await? else {
                break;
            };
            at = message.seq;
            let is_known = looked.ended.contains(&at) || lock(unsettled).contains_key(&at);
            if message.unreadable.is_some() && !is_known {
                found = true;
                result = self.give_up(message, looked).await.and(result);
            }
            if result.is_ok() {
                looked.walked = at;
            }
        }
        if found {
            self.ask_for_those_beside(floor, looked, unsettled).await?;
        }
        result
    }

    async fn give_up(
        &self,
        message: StoredMessage,
        looked: &mut Looked,
    ) -> Result<(), async_nats::Error> {
        self.check_life().await?;
        let seq = message.seq;
        // Another process may have come first; what it remembered is forgotten once the floor has passed.
        if self.floor().await?.is_none_or(|floor| seq <= floor.settled) {
            return Ok(());
        }
        let reason = message.unreadable.clone().unwrap_or_default();
        let message = Delivery::from(message);
        let remembered = self
            .delivery_state
            .recall(&self.incarnation, &self.consumer, &[seq])
            .await;
        let remembered = remembered.map_err(|failure| failure.reason)?;
        if !remembered.get(&seq).is_some_and(|tries| tries.is_in_dead) {
            let moved = self
                .to_dead(
                    &message,
                    &DeadLetterCause {
                        class: DeadLetterClass::Message,
                        reason,
                        attempts: 0,
                    },
                )
                .await;
            if let Err(error) = moved {
                let (stream, consumer) = self.name();
                tracing::error!(stream, consumer, seq, %error, "a message that no client can read cannot be moved to DEAD; trying again");
                return Err(error);
            }
            metrics::settled(self.name(), "dead_letter", 1);
        }
        self.terminate(&acknowledgement(self.name(), seq)).await?;
        looked.ended.insert(seq);
        Ok(())
    }

    /// Hands back what was delivered and is not in hand here: it need not wait for its `ack_wait`. What another
    /// worker has in hand comes twice, and is done once.
    async fn ask_for_those_beside(
        &self,
        floor: &Floor,
        looked: &Looked,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let from = floor.settled.max(floor.delivered.saturating_sub(BESIDE)) + 1;
        for seq in from..=floor.delivered {
            if !looked.ended.contains(&seq) && !lock(unsettled).contains_key(&seq) {
                let subject = acknowledgement(self.name(), seq);
                self.js.client().publish(subject, "-NAK".into()).await?;
            }
        }
        Ok(())
    }
}

/// The subject that a delivery is acknowledged on (NATS ADR-15, `$JS.ACK`). Of explicit acknowledgements
/// nats-server 2.15 looks at the stream's sequence alone, and ignores one of what is not pending; the counts and
/// the time, which only a delivery tells, are made up.
fn acknowledgement((stream, consumer): (&str, &str), seq: u64) -> Subject {
    format!("$JS.ACK.{stream}.{consumer}.1.{seq}.{seq}.0.0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_restarts_makes_nobody_read_all_that_is_unsettled() {
        let floor = |unsettled, redelivered| Floor {
            settled: 1,
            delivered: 9000,
            subject: ">".to_owned(),
            unsettled,
            redelivered,
        };
        let (many, again) = (floor(2000, 0), floor(2000, 1));
        assert_eq!(suspects(&many, true, false, true), Suspects::Nobody);
        assert_eq!(
            suspects(&many, true, true, false),
            Suspects::All,
            "it ran on"
        );
        assert_eq!(
            suspects(&again, true, false, false),
            Suspects::All,
            "it broke twice"
        );
        assert_eq!(suspects(&floor(1, 0), true, false, false), Suspects::All);
        assert_eq!(suspects(&again, false, false, true), Suspects::First);
        assert_eq!(
            suspects(&again, false, false, false),
            Suspects::Nobody,
            "the floor moves"
        );
        assert_eq!(
            suspects(&many, false, false, true),
            Suspects::Nobody,
            "all were delivered once"
        );
    }
}

//! Messages that no worker ever gets in hand: a client cannot read their headers, so that each delivery breaks a
//! connection (or, from servers before 2.15, they pass for words of the server). They are read where they lie,
//! and given up.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Subject;
use tokio::time::timeout;

use super::delivery::{Delivery, Role};
use super::memory::Memory;
use super::policy::GivenUp;
use super::{Loop, Unsettled, lock};
use crate::bus::facts::{self, Floor};
use crate::bus::stored::{self, StoredMessage};
use crate::bus::{connects, reconnected, topology::Name};
use crate::metrics;

/// Most messages that are read in vain after a connection broke: as many as a consumer has unsettled at most.
const READ_IN_VAIN: u32 = 1024;

/// What is known from look to look.
#[derive(Default)]
struct Looked {
    /// Where the ack floor stood.
    stood_at: Option<u64>,
    /// What was terminated above the floor. DEAD is remembered to have it until the floor has passed it: who finds
    /// it in the stream meanwhile must not give it up again.
    ended: BTreeSet<u64>,
}

impl<R: Role, M: Memory> Loop<R, M> {
    /// Looks at what is unsettled after each break of the connection, and else at what holds the ack floor.
    /// Never ends.
    pub(super) async fn give_up_the_unread(&self, unsettled: &Unsettled, every: Duration) {
        let (client, policy) = (self.js.client(), self.settings.retry.policy());
        let (mut looked, mut connected, mut attempt) = (Looked::default(), connects(&client), 0);
        loop {
            let broke = timeout(every, reconnected(&client, connected)).await.is_ok();
            let now = connects(&client);
            // What is given up is written to the store.
            let looks = async {
                match self.settings.guard.refuses() {
                    Some(_) => Err("the store is away".into()),
                    None => self.look(&mut looked, broke, unsettled).await,
                }
            };
            match looks.await {
                Ok(()) => (connected, attempt) = (now, 0),
                Err(error) => {
                    let (stream, consumer) = self.name();
                    tracing::debug!(stream, consumer, %error, attempt, "what is unsettled cannot be looked at now");
                    policy.pause(attempt).await;
                    attempt = attempt.saturating_add(1);
                }
            }
        }
    }

    async fn look(
        &self,
        looked: &mut Looked,
        broke: bool,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let (stream, consumer) = self.name();
        let name = Name { stream: stream.to_owned(), consumer: Some(consumer.to_owned()) };
        let floor = facts::floor(&self.js, &name).await?;
        let above = floor.as_ref().map_or(u64::MAX, |floor| floor.settled + 1);
        let open = looked.ended.split_off(&above);
        let passed: Vec<u64> = std::mem::replace(&mut looked.ended, open).into_iter().collect();
        self.forget(&passed).await;
        let stands = floor.as_ref().map(|floor| floor.settled);
        let stood = std::mem::replace(&mut looked.stood_at, stands);
        match floor {
            Some(floor) if broke => self.walk(&floor, READ_IN_VAIN, looked, unsettled).await,
            Some(floor) if stood == stands => self.walk(&floor, 0, looked, unsettled).await,
            _ => Ok(()),
        }
    }

    /// Gives up each unreadable message that was delivered, from the ack floor on, until more than `in_vain` others
    /// were read.
    async fn walk(
        &self,
        floor: &Floor,
        in_vain: u32,
        looked: &mut Looked,
        unsettled: &Unsettled,
    ) -> Result<(), async_nats::Error> {
        let (mut next, mut vain) = (floor.settled + 1, 0);
        while vain <= in_vain {
            while looked.ended.contains(&next) || lock(unsettled).contains_key(&next) {
                next += 1;
            }
            let found = stored::first_from(&self.js, &self.life.name, next, &floor.subject).await?;
            let Some(message) = found.filter(|message| message.seq <= floor.delivered) else { break };
            next = message.seq + 1;
            match message.unreadable.clone() {
                Some(reason) => {
                    let seq = message.seq;
                    self.give_up(message, reason).await?;
                    looked.ended.insert(seq);
                }
                None => vain += 1,
            }
        }
        Ok(())
    }

    async fn give_up(&self, message: StoredMessage, reason: String) -> Result<(), async_nats::Error> {
        self.check_life().await?;
        let message = Delivery::from(message);
        let remembered = self.memory.recall(&self.life, &self.consumer, &[message.seq]).await;
        let remembered = remembered.map_err(|failure| failure.reason)?;
        if !remembered.get(&message.seq).is_some_and(|tries| tries.is_in_dead) {
            self.to_dead(&message, &GivenUp { blame: "message", reason, attempts: 0 }).await?;
        }
        self.terminate(&acknowledgement(self.name(), &message)).await?;
        metrics::settled(self.name(), "dead_letter", 1);
        Ok(())
    }
}

/// The subject that a delivery of the message is acknowledged on (NATS ADR-15, `$JS.ACK`). The server goes by the
/// stream's sequence; how often and when it was delivered, which only a delivery tells, it does not compare.
fn acknowledgement((stream, consumer): (&str, &str), message: &Delivery) -> Subject {
    let nanos = message.published_at.saturating_mul(1000);
    format!("$JS.ACK.{stream}.{consumer}.1.{0}.{0}.{nanos}.0", message.seq).into()
}

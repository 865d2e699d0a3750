//! Reads a stream in its order, page by page: bounded by count and by bytes, so that memory stays flat.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use bus::stored::{self, StoredMessage};
use bus::{connects, reconnected};
use futures_util::StreamExt as _;
use runtime::retry::RetryPolicy;
use tokio::time::timeout;

/// Most messages of a page.
const PAGE: usize = 500;
/// Most payload of a page: two of the largest messages, as a worker takes them.
const PAGE_BYTES: usize = 16 * 1024 * 1024;
/// A server that gives nothing this often in a row is given up.
const ATTEMPTS: u32 = 6;
/// How long the next message of a page may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The consumer is gone this long after the last page.
const INACTIVE: Duration = Duration::from_secs(300);

/// Whether messages are read with what they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payloads {
    /// Whole.
    Read,
    /// Headers alone.
    Left,
}

/// Reads from one sequence to another. The consumer acknowledges nothing and changes nothing.
pub struct Reader {
    js: jetstream::Context,
    stream: Stream,
    next: u64,
    last: u64,
    payloads: Payloads,
    /// Messages that are read where they lie: delivered, some of them would break the connection, or end the client.
    apart: BTreeSet<u64>,
    consumer: Option<Source>,
}

struct Source {
    consumer: PullConsumer,
    /// How many messages it has delivered: one that got lost on the way shows.
    delivered: u64,
}

impl Reader {
    /// Reads `from..=last`.
    pub fn new(
        (js, stream): (jetstream::Context, Stream),
        from: u64,
        last: u64,
        payloads: Payloads,
    ) -> Self {
        Self {
            js,
            stream,
            next: from.max(1),
            last,
            payloads,
            apart: BTreeSet::new(),
            consumer: None,
        }
    }

    /// Has these messages read where they lie: what DEAD has may be undeliverable.
    pub fn apart(mut self, messages: impl Iterator<Item = u64>) -> Self {
        self.apart = messages.collect();
        self
    }

    /// The next messages, their sequences rising; none when all is read.
    ///
    /// # Errors
    /// Where the server does not give them.
    pub async fn page(&mut self) -> anyhow::Result<Vec<StoredMessage>> {
        for attempt in 0..ATTEMPTS {
            if self.next > self.last {
                return Ok(Vec::new());
            }
            if (self.consumer.is_none() || self.apart.contains(&self.next))
                && let Some(message) = self.where_it_lies().await?
            {
                return Ok(vec![message]);
            }
            match self.fetch().await {
                Ok(page) if !page.is_empty() || self.next > self.last => return Ok(page),
                Ok(_) => tracing::debug!(
                    attempt,
                    from = self.next,
                    "the server gave nothing; asking anew"
                ),
                Err(error) if attempt + 1 == ATTEMPTS => {
                    anyhow::bail!("Messages from {} on cannot be read: {error}", self.next);
                }
                Err(error) => {
                    tracing::debug!(attempt, %error, "a page could not be read; asking anew")
                }
            }
            self.consumer = None;
            RetryPolicy::DEFAULT.pause(attempt).await;
        }
        anyhow::bail!(
            "The server gives no messages from {} on. Look at its log, and run it again.",
            self.next
        )
    }

    /// The next message, where it is to be read apart or no client can take it.
    async fn where_it_lies(&mut self) -> anyhow::Result<Option<StoredMessage>> {
        let name = &self.stream.cached_info().config.name;
        let next = stored::first_from(&self.js, name, self.next, ">").await?;
        let is_apart = |message: &StoredMessage| {
            message.unreadable.is_some() || self.apart.contains(&message.seq)
        };
        let next = next.filter(|message| message.seq <= self.last && is_apart(message));
        if let Some(message) = &next {
            (self.next, self.consumer) = (message.seq + 1, None);
        }
        Ok(next)
    }

    async fn fetch(&mut self) -> Result<Vec<StoredMessage>, async_nats::Error> {
        let mut source = match self.consumer.take() {
            Some(source) => source,
            None => self.open().await?,
        };
        if source.delivered == 0 && source.consumer.cached_info().num_pending == 0 {
            self.next = self.last + 1;
            return Ok(Vec::new());
        }
        let client = self.js.client();
        let before = connects(&client);
        let before_apart = self
            .apart
            .range(self.next..)
            .next()
            .map_or(u64::MAX, |apart| apart - self.next);
        let most = usize::try_from(before_apart).map_or(PAGE, |most| most.clamp(1, PAGE));
        let fetch = source
            .consumer
            .fetch()
            .max_messages(most)
            .max_bytes(PAGE_BYTES);
        let mut messages = fetch.messages().await?;
        let mut page = Vec::new();
        loop {
            let next = timeout(PATIENCE, async {
                tokio::select! {
                    biased;
                    next = messages.next() => Ok(next),
                    () = reconnected(&client, before) => Err("the connection broke".into()),
                }
            });
            let message = match next.await.unwrap_or_else(|late| Err(late.into())) {
                Ok(Some(Ok(message))) => message,
                Ok(None) => break,
                // What was read counts; the rest is asked for anew.
                Ok(Some(Err(_))) | Err(_) if !page.is_empty() => return Ok(page),
                Ok(Some(Err(error))) | Err(error) => return Err(error),
            };
            let info = message.info()?;
            let (seq, place, pending) =
                (info.stream_sequence, info.consumer_sequence, info.pending);
            if place != source.delivered + 1 {
                // Something got lost: from `next` on with another consumer.
                return Ok(page);
            }
            source.delivered = place;
            if seq > self.last {
                self.next = self.last + 1;
                return Ok(page);
            }
            self.next = seq + 1;
            page.push(StoredMessage::try_from(&message)?);
            if pending == 0 {
                self.next = self.last + 1;
                return Ok(page);
            }
        }
        self.consumer = Some(source);
        Ok(page)
    }

    async fn open(&self) -> Result<Source, async_nats::Error> {
        let config = pull::Config {
            description: Some("devtrail verify".to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.next,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            headers_only: self.payloads == Payloads::Left,
            ..pull::Config::default()
        };
        Ok(Source {
            consumer: self.stream.create_consumer(config).await?,
            delivered: 0,
        })
    }
}

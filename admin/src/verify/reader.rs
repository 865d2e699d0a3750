//! Reads a stream in its order, page by page: bounded by count and by bytes, so that memory stays flat.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use bus::stored_messages::{self, StoredMessage};
use bus::{connects, reconnected};
use futures_util::StreamExt as _;
use runtime::retry::RetryPolicy;
use tokio::time::timeout;

/// Most messages of a page.
const PAGE: usize = 500;
/// Most payload of a page: two of the largest messages, as a worker takes them.
const PAGE_BYTES: usize = 16 * 1024 * 1024;
/// After so many pages in a row that the server does not give, reading fails.
const ATTEMPTS: u32 = 6;
/// Longest wait for the next message of a page.
const NEXT_TIMEOUT: Duration = Duration::from_secs(10);
/// The consumer is gone this long after the last page.
const INACTIVE: Duration = Duration::from_secs(300);

/// Whether messages are read with their payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payloads {
    Read,
    HeadersOnly,
}

/// Reads from one sequence to another. The consumer acknowledges nothing and changes nothing.
pub struct Reader {
    js: jetstream::Context,
    stream: Stream,
    next: u64,
    last: u64,
    payloads: Payloads,
    /// Messages that are read one by one: delivered, some of them would break the connection, or end the client.
    read_singly: BTreeSet<u64>,
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
        js: jetstream::Context,
        stream: Stream,
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
            read_singly: BTreeSet::new(),
            consumer: None,
        }
    }

    /// Has these messages read one by one: what DEAD has may be undeliverable.
    pub fn reading_singly(mut self, messages: impl Iterator<Item = u64>) -> Self {
        self.read_singly = messages.collect();
        self
    }

    /// The next messages, their sequences rising; none when all is read.
    ///
    /// # Errors
    /// Returns an error if the server does not give them.
    pub async fn page(&mut self) -> anyhow::Result<Vec<StoredMessage>> {
        for attempt in 0..ATTEMPTS {
            if self.next > self.last {
                return Ok(Vec::new());
            }
            if (self.consumer.is_none() || self.read_singly.contains(&self.next))
                && let Some(message) = self.single_message().await?
            {
                return Ok(vec![message]);
            }
            match self.fetch().await {
                Ok(page) if !page.is_empty() || self.next > self.last => return Ok(page),
                Ok(_) => tracing::debug!(
                    attempt,
                    from = self.next,
                    "the server gave nothing; trying again"
                ),
                Err(error) if attempt + 1 == ATTEMPTS => {
                    anyhow::bail!("Messages from {} on cannot be read: {error}", self.next);
                }
                Err(error) => {
                    tracing::debug!(attempt, %error, "a page could not be read; trying again");
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

    /// The next message, if it is to be read singly or no client can take it.
    async fn single_message(&mut self) -> anyhow::Result<Option<StoredMessage>> {
        let name = &self.stream.cached_info().config.name;
        let next = stored_messages::first_from(&self.js, name, self.next, ">").await?;
        let is_single = |message: &StoredMessage| {
            message.undecodable.is_some() || self.read_singly.contains(&message.seq)
        };
        let next = next.filter(|message| message.seq <= self.last && is_single(message));
        if let Some(message) = &next {
            self.next = message.seq + 1;
            self.consumer = None;
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
        let before_single = self
            .read_singly
            .range(self.next..)
            .next()
            .map_or(u64::MAX, |single| single - self.next);
        let most = usize::try_from(before_single).map_or(PAGE, |most| most.clamp(1, PAGE));
        let fetch = source
            .consumer
            .fetch()
            .max_messages(most)
            .max_bytes(PAGE_BYTES);
        let mut messages = fetch.messages().await?;
        let mut page = Vec::new();
        loop {
            let next = timeout(NEXT_TIMEOUT, async {
                tokio::select! {
                    biased;
                    next = messages.next() => Ok(next),
                    () = reconnected(&client, before) => Err("the connection broke".into()),
                }
            });
            let message = match next.await.unwrap_or_else(|late| Err(late.into())) {
                Ok(Some(Ok(message))) => message,
                Ok(None) => break,
                // What was read counts; the rest is requested again.
                Ok(Some(Err(_))) | Err(_) if !page.is_empty() => return Ok(page),
                Ok(Some(Err(error))) | Err(error) => return Err(error),
            };
            let info = message.info()?;
            let seq = info.stream_sequence;
            let delivered = info.consumer_sequence;
            let pending = info.pending;
            if delivered != source.delivered + 1 {
                // Something got lost: from `next` on with another consumer.
                return Ok(page);
            }
            source.delivered = delivered;
            if seq > self.last {
                self.next = self.last + 1;
                return Ok(page);
            }
            self.next = seq + 1;
            page.push(StoredMessage::try_from(message)?);
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
            headers_only: self.payloads == Payloads::HeadersOnly,
            ..pull::Config::default()
        };
        Ok(Source {
            consumer: self.stream.create_consumer(config).await?,
            delivered: 0,
        })
    }
}

//! Publishing readmitted batches, and waiting until the store has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, kv};
use bus::{EVENTS, sync::SyncSettings};
use collector::incarnation_cache::IncarnationCache;
use collector::publisher::{PublishSettings, PublishedMessage, Publisher, max_message};
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use store::{Answers, Quarantine, QuarantinedBatch, VerifyReads};
use tokio::time::Instant;
use types::api_key::{DeveloperRecord, developer_entry};
use types::stream::StreamIncarnation;
use types::verdict::Code;

use super::super::fate::OnTheWay;
use super::super::message::{Fitting, Occasion, message};
use super::super::on_the_way;
use super::super::report::Counts;
use crate::keys;
use crate::target::Target;

/// How long the stream may take to confirm a batch.
const CONFIRM: Duration = Duration::from_secs(30);
/// How often the store is asked.
const ASK: Duration = Duration::from_millis(50);

/// Publishes to EVENTS, as collectors do.
pub struct Sender {
    js: jetstream::Context,
    incarnation: StreamIncarnation,
    publisher: Publisher,
    max_message: usize,
    bucket: kv::Store,
    /// Present epochs, each looked up once.
    epochs: HashMap<String, u64>,
    actor: String,
    published: Vec<PublishedMessage>,
}

impl Sender {
    /// Connects to the target's NATS.
    ///
    /// # Errors
    /// Where no server answers, it does not sync always, or the stream is missing or unsafe.
    pub async fn open(
        target: &Target,
        sync: &SyncSettings,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let (client, js) = target.connect_synced(sync).await?;
        let incarnation = bus::bind_stream(&js, EVENTS).await?;
        let bucket = keys::open(&js).await?;
        let breaker = process.breakers.guard("stream", BreakerSettings::DEFAULT);
        let seen = Arc::new(IncarnationCache::new(js.clone(), incarnation.clone()));
        let publisher = Publisher::new(
            js.clone(),
            seen,
            breaker,
            PublishSettings {
                timeout: CONFIRM,
                retry: RetryPolicy::DEFAULT,
            },
        );
        let (max_message, actor) = (max_message(&client), process.actor.to_string());
        let (epochs, published) = (HashMap::new(), Vec::new());
        Ok(Self {
            js,
            incarnation,
            publisher,
            max_message,
            bucket,
            epochs,
            actor,
            published,
        })
    }

    /// What was readmitted before and is not stored yet.
    ///
    /// # Errors
    /// Where stream or store cannot be read.
    pub async fn on_the_way(
        &self,
        store: &(impl Quarantine + VerifyReads),
    ) -> anyhow::Result<OnTheWay> {
        on_the_way::read(store, &self.js, &self.incarnation).await
    }

    /// Publishes the events that fit as one message and awaits its PubAck; gives its sequence.
    ///
    /// # Errors
    /// Where the stream does not confirm, or the message is too large for the server.
    pub async fn send(
        &mut self,
        batch: &QuarantinedBatch,
        fitting: &[Fitting<'_>],
    ) -> anyhow::Result<u64> {
        let epoch = self.epoch(&batch.developer).await?;
        let occasion = Occasion {
            epoch,
            now: clock::now(),
            actor: &self.actor,
        };
        let at = batch.at;
        let message = message(batch, fitting, occasion)
            .with_context(|| format!("Batch {at} cannot be readmitted"))?;
        anyhow::ensure!(
            message.payload.len() <= self.max_message,
            "Batch {at} makes a message of {} bytes, the limit is {}: raise max_payload in nats/server.conf, or \
             name its events in parts.",
            message.payload.len(),
            self.max_message
        );
        let published = self.publisher.publish(message, ()).await.with_context(|| {
            format!("Batch {at} was perhaps not published; run the command again, nothing is stored twice")
        })?;
        let sequence = published.sequence;
        self.published.push(published);
        Ok(sequence)
    }

    /// The developer's present epoch; 0 until one is forgotten.
    async fn epoch(&mut self, developer: &str) -> anyhow::Result<u64> {
        if let Some(epoch) = self.epochs.get(developer) {
            return Ok(*epoch);
        }
        let entry = developer_entry(&developer.parse()?);
        let record = self
            .bucket
            .get(&entry)
            .await
            .context("The bucket api_keys cannot be read")?;
        let record = match record {
            Some(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("the entry {entry} of api_keys is damaged"))?,
            None => DeveloperRecord::default(),
        };
        self.epochs.insert(developer.to_owned(), record.epoch);
        Ok(record.epoch)
    }

    /// Waits until everything published is stored; counts what another submission was before.
    ///
    /// # Errors
    /// Where that does not come in time.
    pub async fn until_stored(
        self,
        store: &impl Answers,
        wait: Duration,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + wait;
        let mut asks = tokio::time::interval(ASK);
        for (index, published) in self.published.iter().enumerate() {
            let not_accepted = loop {
                if let Some((_, events)) = store
                    .stored(published.incarnation.clone(), published.sequence)
                    .await?
                {
                    break events;
                }
                if Instant::now() >= deadline {
                    let left = self.published.len() - index;
                    bail!(
                        "{left} batches are on disk in the stream, but the store does not have them after {wait:?}: no \
                         worker runs, or it lags (`devtrail status`). Nothing is lost, and running this again sends \
                         nothing twice. Start a worker: `devtrail up`, or devtrail-worker."
                    );
                }
                asks.tick().await;
            };
            let count = |code| {
                not_accepted
                    .iter()
                    .filter(|event| event.code == code)
                    .count() as u64
            };
            counts.duplicate += count(Code::DuplicateId);
            counts.id_conflict += count(Code::IdConflict);
        }
        Ok(())
    }
}

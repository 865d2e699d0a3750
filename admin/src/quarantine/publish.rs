//! Readmitted batches: their messages, published as collectors do, and awaited until the store has them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, kv};
use bus::stored_messages;
use bus::sync::SyncSettings;
use collector::partitions::{PartitionSettings, Partitions};
use collector::publisher::{EventsMessage, PublishSettings, PublishedMessage, max_message};
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use serde_json::value::RawValue;
use store::{Quarantine, QuarantinedBatch, QueryReads, VerifyReads};
use tokio::time::Instant;
use types::api_key::{DeveloperRecord, developer_entry};
use types::batch::{self, BatchOrigin, EventMetadata, FORMAT, Header, readmit_id};
use types::event::EventHead;
use types::event_streams::{EventStreams, StreamSequence};
use types::id::{BadDeveloperId, DeveloperId};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use super::disposition::PendingReadmissions;
use crate::keys;
use crate::output;
use crate::target::Target;

/// How long the stream may take to confirm a batch.
const CONFIRM: Duration = Duration::from_secs(30);
/// How often the store is asked.
const ASK: Duration = Duration::from_millis(50);

/// Readmitted events that another submission came before.
#[derive(Debug, Default)]
pub struct DisplacedEventCounts {
    /// The same event was stored first.
    pub duplicates: u64,
    /// Another event took the id first.
    pub id_conflicts: u64,
}

/// Publishes to the event streams, as collectors do.
pub struct ReadmitPublisher {
    js: jetstream::Context,
    partitions: Partitions,
    max_message: usize,
    bucket: kv::Store,
    /// Present epochs, each looked up once.
    epochs: HashMap<String, u64>,
    actor: String,
    published: Vec<PublishedMessage>,
}

impl ReadmitPublisher {
    /// Connects to the target's NATS.
    ///
    /// # Errors
    /// Returns an error if no server answers, it does not sync always, or the stream is missing or unsafe.
    pub async fn open(
        target: &Target,
        sync: &SyncSettings,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let js = target.connect_synced(sync).await?;
        let settings = PartitionSettings {
            publish: PublishSettings {
                timeout: CONFIRM,
                retry: RetryPolicy::DEFAULT,
            },
            breaker: BreakerSettings::DEFAULT,
        };
        let partitions = Partitions::bind(&js, &process.breakers, settings).await?;
        let bucket = keys::stored::bucket(&js).await?;
        Ok(Self {
            max_message: max_message(&js.client()),
            js,
            partitions,
            bucket,
            epochs: HashMap::new(),
            actor: process.actor.to_string(),
            published: Vec::new(),
        })
    }

    /// What was readmitted before and is not stored yet.
    ///
    /// # Errors
    /// Returns an error if stream or store cannot be read.
    pub async fn pending(
        &self,
        store: &(impl Quarantine + VerifyReads),
    ) -> anyhow::Result<PendingReadmissions> {
        let mut pending = PendingReadmissions::default();
        for partition in self.partitions.all() {
            let incarnation = partition.incarnation.last_read();
            add_pending_readmissions(store, &self.js, &incarnation, &mut pending).await?;
        }
        Ok(pending)
    }

    /// Publishes the events that fit as one message and awaits its PubAck; gives its place.
    ///
    /// # Errors
    /// Returns an error if the stream does not confirm, or the message is too large for the server.
    pub async fn send(
        &mut self,
        batch: &QuarantinedBatch,
        fitting: &[ReadmittedEvent<'_>],
    ) -> anyhow::Result<StreamSequence> {
        let epoch = self.epoch(&batch.developer).await?;
        let context = ReadmitContext {
            epoch,
            now: clock::now(),
            actor: &self.actor,
            streams: self.partitions.streams(),
        };
        let at = batch.at;
        let message = message(batch, fitting, context)
            .with_context(|| format!("Batch {at} cannot be readmitted"))?;
        anyhow::ensure!(
            message.payload.len() <= self.max_message,
            "Batch {at} makes a message of {} bytes, the limit is {}: raise max_payload in nats/server.conf, or \
             name its events in parts.",
            message.payload.len(),
            self.max_message
        );
        let partition = self.partitions.of(&batch.developer.parse()?);
        let published = partition.publisher.publish(message, ()).await;
        let published = published.with_context(|| {
            format!("Batch {at} was perhaps not published; run the command again, nothing is stored twice")
        })?;
        let sequence = StreamSequence::new(&published.incarnation.name, published.sequence);
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

    /// Waits until everything published is stored; counts the events that another submission came before.
    ///
    /// # Errors
    /// Returns an error if the store does not have all of it in time.
    pub async fn until_stored(
        self,
        store: &impl QueryReads,
        wait: Duration,
    ) -> anyhow::Result<DisplacedEventCounts> {
        let mut displaced = DisplacedEventCounts::default();
        let deadline = Instant::now() + wait;
        let mut asks = tokio::time::interval(ASK);
        for (index, published) in self.published.iter().enumerate() {
            let not_accepted = loop {
                if let Some(batch) = store
                    .stored(
                        published.incarnation.clone(),
                        published.sequence,
                        published.identity.clone(),
                    )
                    .await?
                {
                    break batch.not_accepted;
                }
                if Instant::now() >= deadline {
                    let left = output::count(self.published.len() - index, "batch");
                    bail!(
                        "On disk in the stream, but not in the store after {wait:?}: {left}. No \
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
            displaced.duplicates += count(Code::DuplicateId);
            displaced.id_conflicts += count(Code::IdConflict);
        }
        Ok(displaced)
    }
}

/// More messages than this are not read: a worker is to catch up first.
const BACKLOG: u64 = 10_000;

/// Adds the readmitted events that are in this stream, but not in the store yet.
///
/// The server drops a message id that it saw within two minutes. A readmission that waits for a worker
/// for longer would be published again, and the store would keep a duplicate of each of its events. So
/// what lies beyond the newest stored batch is read first.
async fn add_pending_readmissions(
    store: &(impl Quarantine + VerifyReads),
    js: &jetstream::Context,
    incarnation: &StreamIncarnation,
    pending: &mut PendingReadmissions,
) -> anyhow::Result<()> {
    let name = &incarnation.name;
    let stream = js
        .get_stream(name)
        .await
        .with_context(|| format!("The stream {name} cannot be read"))?;
    let state = &stream.cached_info().state;
    let first = state.first_sequence;
    let last = state.last_sequence;
    let newest = match store.known_source(incarnation).await? {
        Some(src) => store.newest(src).await?,
        None => 0,
    };
    let from = first.max(newest + 1);
    let waiting = (last + 1).saturating_sub(from);
    anyhow::ensure!(
        waiting <= BACKLOG,
        "{waiting} messages wait to be stored, and up to {BACKLOG} are looked through for what was readmitted already. \
         Start a worker, or wait until it has caught up (`devtrail status`), and run the command again."
    );
    for seq in from..=last {
        let Some(message) = stored_messages::get(js, name, seq).await? else {
            continue;
        };
        // What is no batch goes to DEAD, not to the store.
        let Ok(batch) = batch::decode(message.payload) else {
            continue;
        };
        if batch.header.origin.is_some() {
            let ids = batch
                .events()
                .filter_map(|(_, bytes)| EventHead::of(bytes)?.id());
            ids.for_each(|id| pending.add(batch.header.developer.as_str(), &id));
        }
    }
    Ok(())
}

/// Who readmits, and when.
#[derive(Debug, Clone, Copy)]
pub struct ReadmitContext<'a> {
    /// The developer's present epoch.
    pub epoch: u64,
    /// When the events were re-evaluated.
    pub now: Micros,
    /// The program that does it.
    pub actor: &'a str,
    /// The event streams that it may go to.
    pub streams: EventStreams,
}

/// An event that fits now.
#[derive(Debug)]
pub struct ReadmittedEvent<'a> {
    /// Its index in the batch it was sent in.
    pub ordinal: u32,
    /// What admission found out.
    pub note: EventMetadata,
    /// Its exact text.
    pub text: &'a RawValue,
}

/// No message can be made of the batch.
#[derive(Debug, thiserror::Error)]
pub enum ReadmitMessageError {
    /// The store's developer is none.
    #[error(transparent)]
    Developer(#[from] BadDeveloperId),
    /// It cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The message: the events that fit, received when they were, with the batch they come from.
///
/// # Errors
/// Returns a [`ReadmitMessageError`] if the stored batch is damaged.
pub fn message(
    batch: &QuarantinedBatch,
    fitting: &[ReadmittedEvent<'_>],
    context: ReadmitContext<'_>,
) -> Result<EventsMessage, ReadmitMessageError> {
    let mut envelope = BTreeMap::new();
    if let Some(client) = &batch.client {
        envelope.insert(
            "client".to_owned(),
            serde_json::from_slice::<Box<RawValue>>(client)?,
        );
    }
    let header = Header {
        format: FORMAT,
        developer: batch.developer.parse::<DeveloperId>()?,
        epoch: context.epoch,
        batch_id: readmit_id(batch.at),
        correlation_id: batch.correlation_id.clone(),
        traceparent: batch.traceparent.clone(),
        schema_version: batch.schema_version.clone(),
        sent_at: batch.sent_at.clone(),
        received_at: batch.received_at,
        validated_at: context.now,
        collector: context.actor.to_owned(),
        skew: batch.skew,
        envelope,
        zone: batch.zone.clone(),
        counts: fitting.iter().map(|one| one.note.verdict()).collect(),
        events: fitting.iter().map(|one| one.note.clone()).collect(),
        origin: Some(BatchOrigin {
            incarnation: batch.incarnation.clone(),
            seq: batch.at.seq,
            batch_id: batch.batch_id.clone(),
            collector: batch.collector.clone(),
            ordinals: fitting.iter().map(|one| one.ordinal).collect(),
        }),
    };
    let events: Vec<&str> = fitting.iter().map(|one| one.text.get()).collect();
    Ok(EventsMessage::of(context.streams, &header, &events)?)
}

#[cfg(test)]
mod tests {
    use super::super::disposition::tests::{batch, coffee, with_coffee};
    use super::super::disposition::{Disposition, PendingReadmissions, dispositions, event_text};
    use super::*;

    #[test]
    fn a_message_carries_what_its_origin_was_received_with_and_names_it() {
        let texts = [coffee("e1", "{}"), coffee("e2", r#"{ "cups" :  1 }"#)];
        let mut origin = batch(&[&texts[0], &texts[1]]);
        origin.events[1].ordinal = 4;
        let Disposition::Fits(note) =
            dispositions(&origin, &with_coffee(), &PendingReadmissions::default()).remove(1)
        else {
            panic!("it fits")
        };
        let fitting = [ReadmittedEvent {
            ordinal: 4,
            note,
            text: event_text(&origin.events[1]).unwrap(),
        }];
        let context = ReadmitContext {
            epoch: 3,
            now: 99,
            actor: "devtrail/1a",
            streams: EventStreams::ONE,
        };
        let message = message(&origin, &fitting, context).unwrap();
        assert!(
            message
                .identity
                .message_id
                .starts_with("ada:3:readmit-2-7:"),
            "{}",
            message.identity.message_id
        );
        assert_eq!(message.subject, "events.batch.ada");
        let batch = types::batch::decode(message.payload).unwrap();
        assert_eq!(
            batch.events().map(|(_, bytes)| bytes).collect::<Vec<_>>(),
            [texts[1].as_bytes()]
        );
        let header = &batch.header;
        assert_eq!(
            (header.received_at, header.skew, &header.sent_at),
            (origin.received_at, origin.skew, &origin.sent_at)
        );
        assert_eq!(
            header.envelope["client"].get(),
            r#"{"time_zone": "Europe/Berlin"}"#
        );
        let named = header.origin.as_ref().unwrap();
        assert_eq!(
            (named.seq, &*named.batch_id, &named.ordinals[..]),
            (7, "b1", &[4][..])
        );
        assert_eq!(
            (
                &*header.correlation_id,
                header.counts.accepted,
                header.validated_at
            ),
            ("c1", 1, 99)
        );
    }
}

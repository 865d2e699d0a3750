//! Whether the streams belong to the store that a worker writes, and whether the store has what it acked.
//!
//! The steps are those of docs/protocol.md, "Whose the streams are".

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use bus::store_owner::{self, StoreOwner};
use bus::{BindError, ConsumerRef, PERSIST, api, bind_stream};
use bus::{stored_messages, topology};
use runtime::clock;
use runtime::settings::UsageError;
use runtime::shutdown::Shutdown;
use serde_json::Value;
use store::{DeadLetters, Identity, Persist, Reread, SeqGap, VerifyReads};
use tokio::time::MissedTickBehavior;
use types::event_streams::{EventStream, EventStreams, StreamSequence};
use types::id::{BatchRef, Src};
use types::stream::StreamIncarnation;

use crate::database::DatabaseUrl;

/// The time between two looks whether another store took over.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Sequences that are compared with the store at once.
const CHUNK: u64 = 100_000;
/// Gaps of a chunk that are looked into.
const GAPS: u32 = 10_000;
/// Incarnations whose dead letters of one sequence are looked through.
const INCARNATIONS: u32 = 100;

/// The store as the owner of streams.
///
/// # Errors
/// Returns a `StoreError` if its id cannot be read or made.
pub async fn owner_of<S: Identity>(
    store: &S,
    database: &DatabaseUrl,
) -> anyhow::Result<StoreOwner> {
    let id = store.make_store_id().await?;
    Ok(StoreOwner::new(id, database.absolute().to_string()))
}

/// Makes sure that the streams belong to this store: the first one that binds owns them.
///
/// # Errors
/// Returns a [`UsageError`] with the remedy if they belong to another store, and an error if streams or store cannot be
/// read.
pub async fn claim<S: Identity + VerifyReads>(
    js: &jetstream::Context,
    streams: EventStreams,
    store: &S,
    own: &StoreOwner,
) -> anyhow::Result<()> {
    let before = store_owner::read(js).await?;
    match &before {
        None if has_read_elsewhere(js, streams, store).await? => {
            return Err(refused(store_owner::refusal(None, own)));
        }
        Some(entry) if entry.owner.store_id != own.store_id => {
            return Err(refused(store_owner::refusal(Some(&entry.owner), own)));
        }
        // It was moved, and is the same store.
        Some(entry) if entry.owner.database == own.database && entry.owner.host == own.host => {
            return Ok(());
        }
        None | Some(_) => {}
    }
    if !store_owner::write(js, own, before.as_ref()).await? {
        store_owner::check(js, own).await.map_err(refused)?;
    }
    tracing::info!(store = %own, "the streams belong to this store");
    Ok(())
}

/// Gives the incarnations of several event streams their numbers, in the order of their partitions: a new database has
/// the same numbers as the one before it, by which jobs and pointers name batches. One stream is the first anyway.
///
/// # Errors
/// Returns an error if a stream or the store does not answer.
pub async fn number<S: Persist>(
    js: &jetstream::Context,
    streams: EventStreams,
    store: &S,
) -> anyhow::Result<()> {
    if streams == EventStreams::ONE {
        return Ok(());
    }
    for stream in streams.all() {
        let incarnation = bind_stream(js, &stream.to_string()).await?;
        store.source(&incarnation).await?;
    }
    Ok(())
}

/// A refused configuration, if that is what it is.
fn refused(error: BindError) -> anyhow::Error {
    match error {
        BindError::OtherStore(text) => UsageError(text).into(),
        error => error.into(),
    }
}

/// Whether messages of an event stream were acked that this store has never seen one of: by another store, whose entry
/// was lost.
async fn has_read_elsewhere<S: VerifyReads>(
    js: &jetstream::Context,
    streams: EventStreams,
    store: &S,
) -> anyhow::Result<bool> {
    for stream in streams.all() {
        let incarnation = bind_stream(js, &stream.to_string()).await?;
        let view = StreamView::read(js, stream).await?;
        if view.has_acks && store.known_source(&incarnation).await?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks again and again, until the process stops: a worker that has nothing to do must end as well.
///
/// # Errors
/// Returns `BindError::OtherStore` once the streams belong to another store.
pub async fn until_taken_over(
    js: jetstream::Context,
    own: StoreOwner,
    shutdown: Shutdown,
) -> Result<(), BindError> {
    let mut ticks = tokio::time::interval(CHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = ticks.tick() => {}, () = shutdown.draining() => return Ok(()) }
        match store_owner::check(&js, &own).await {
            Err(refusal @ BindError::OtherStore(_)) => return Err(refusal),
            // NATS is away: whoever pulls reports that.
            Err(error) => tracing::debug!(%error, "the owner of the streams cannot be read"),
            Ok(()) => {}
        }
    }
}

/// What is taken over, and by whose word.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// Who decided: `user@host`.
    pub by: String,
    pub reason: String,
    /// Executable and instance.
    pub actor: String,
}

/// Makes the streams this store's, and has the batches read into it from the first message on; gives the owner before.
///
/// Recorded first. A crash in between leaves a store that lacks what was acked: its next start finds that.
///
/// # Errors
/// Returns an error if streams or store do not answer, or another store took them over meanwhile.
pub async fn adopt<S: Identity>(
    js: &jetstream::Context,
    streams: EventStreams,
    store: &S,
    own: StoreOwner,
    adoption: Adoption,
) -> anyhow::Result<Option<StoreOwner>> {
    let mut incarnations = Vec::new();
    for stream in streams.all() {
        incarnations.push(bind_stream(js, &stream.to_string()).await?);
    }
    let before = store_owner::read(js).await?;
    for incarnation in incarnations {
        store.record_reread(adoption.reread(incarnation)).await?;
    }
    let own = StoreOwner {
        reason: Some(adoption.reason),
        ..own
    };
    anyhow::ensure!(
        store_owner::write(js, &own, before.as_ref()).await?,
        "Another store took the streams over at this moment. Look at `devtrail status`, and run the command again."
    );
    for stream in streams.all() {
        topology::restart_consumer(js, &persist_consumer(stream)).await?;
    }
    Ok(before.map(|entry| entry.owner))
}

impl Adoption {
    fn reread(&self, incarnation: StreamIncarnation) -> Reread {
        Reread {
            incarnation,
            is_adoption: true,
            by: self.by.clone(),
            reason: self.reason.clone(),
            time: clock::now(),
            actor: self.actor.clone(),
        }
    }
}

/// The consumer that brings a stream's batches to the store.
fn persist_consumer(stream: EventStream) -> ConsumerRef {
    ConsumerRef::new(&stream.to_string(), PERSIST)
}

/// Has each event stream read again of which the store lacks a message that its consumer acked: the store was restored
/// from an older copy.
///
/// # Errors
/// Returns an error if a stream or the store cannot be read.
pub async fn read_again_if_behind<S: Identity + VerifyReads + DeadLetters>(
    js: &jetstream::Context,
    streams: EventStreams,
    store: &S,
    actor: &str,
) -> anyhow::Result<()> {
    for stream in streams.all() {
        let comparison = Comparison { js, stream, store };
        comparison.read_again_if_behind(actor).await?;
    }
    Ok(())
}

/// An event stream, and how far its consumer is.
struct StreamView {
    first: u64,
    /// Up to here every message is acked.
    acked: u64,
    /// Up to here every message was delivered.
    delivered: u64,
    /// Delivered and not acked.
    ack_pending: u64,
    /// Whether any message was acked. The floor alone begins below the stream's first message.
    has_acks: bool,
}

impl StreamView {
    async fn read(js: &jetstream::Context, stream: EventStream) -> anyhow::Result<Self> {
        let consumer = persist_consumer(stream).resource();
        let stream = bus::ResourceName::stream(&stream.to_string());
        let stream_info = api::info(js, &stream)
            .await?
            .ok_or(BindError::Missing(stream))?;
        // One that is missing has read nothing; whoever pulls from it is told.
        let consumer_info = api::info(js, &consumer).await?.unwrap_or_default();
        let number = |info: &Value, pointer| {
            info.pointer(pointer)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        Ok(Self {
            first: number(&stream_info, "/state/first_seq"),
            acked: number(&consumer_info, "/ack_floor/stream_seq"),
            delivered: number(&consumer_info, "/delivered/stream_seq"),
            ack_pending: number(&consumer_info, "/num_ack_pending"),
            has_acks: number(&consumer_info, "/ack_floor/consumer_seq") > 0,
        })
    }
}

/// Compares stream and store.
struct Comparison<'a, S> {
    js: &'a jetstream::Context,
    stream: EventStream,
    store: &'a S,
}

impl<S: Identity + VerifyReads + DeadLetters> Comparison<'_, S> {
    async fn read_again_if_behind(&self, actor: &str) -> anyhow::Result<()> {
        let Self { js, stream, store } = self;
        let incarnation = bind_stream(js, &stream.to_string()).await?;
        let view = StreamView::read(js, *stream).await?;
        let Some(lacking) = self.first_lacking(&incarnation, &view).await? else {
            return Ok(());
        };
        let message = StreamSequence::new(&incarnation.name, lacking);
        let reason = format!(
            "the store lacks message {message}, which was acked: the database is older than the stream"
        );
        tracing::warn!(
            lacking,
            acked = view.acked,
            "{reason}. Reading {stream} again from its first message; what is stored stays as it is"
        );
        let reread = Reread {
            incarnation,
            is_adoption: false,
            by: actor.to_owned(),
            reason,
            time: clock::now(),
            actor: actor.to_owned(),
        };
        store.record_reread(reread).await?;
        topology::restart_consumer(js, &persist_consumer(*stream)).await?;
        Ok(())
    }

    /// A message that was acked and that the store lacks. Above the floor a message may be in flight: only more of them
    /// than that tell. The rows are read after the view: what was in flight then may be stored by now.
    async fn first_lacking(
        &self,
        incarnation: &StreamIncarnation,
        view: &StreamView,
    ) -> anyhow::Result<Option<u64>> {
        let src = self.store.known_source(incarnation).await?;
        let below = self.lacking(src, view.first.max(1), view.acked, 1).await?;
        if let Some(lacking) = below.first() {
            return Ok(Some(*lacking));
        }
        let from = view.first.max(view.acked + 1);
        let more = view.ack_pending + 1;
        let above = self.lacking(src, from, view.delivered, more).await?;
        Ok(above
            .first()
            .filter(|_| above.len() as u64 >= more)
            .copied())
    }

    /// Messages in `from..=to` without a row that no dead letter explains, at most `limit`.
    async fn lacking(
        &self,
        src: Option<Src>,
        from: u64,
        to: u64,
        limit: u64,
    ) -> anyhow::Result<Vec<u64>> {
        let mut lacking = Vec::new();
        let mut next = from;
        while next <= to {
            let end = to.min(next + CHUNK - 1);
            let whole = vec![SeqGap {
                from: next,
                to: end,
            }];
            let gaps = match src {
                Some(src) => self.store.gaps(src, next, end, GAPS).await?,
                None => whole,
            };
            for gap in gaps {
                let mut seq = gap.from;
                while let Some(message) = self.message(seq, gap.to).await? {
                    if !self.is_explained(src, message).await? {
                        lacking.push(message);
                        if lacking.len() as u64 >= limit {
                            return Ok(lacking);
                        }
                    }
                    seq = message + 1;
                }
            }
            next = end + 1;
        }
        Ok(lacking)
    }

    /// The first message in `from..=to`.
    async fn message(&self, from: u64, to: u64) -> anyhow::Result<Option<u64>> {
        if from > to {
            return Ok(None);
        }
        let Self { js, stream, .. } = self;
        let name = stream.to_string();
        let found = stored_messages::first_from(js, &name, from, &stream.all_subjects()).await;
        let found = found.with_context(|| format!("the stream {name} cannot be read"))?;
        Ok(found.map(|message| message.seq).filter(|seq| *seq <= to))
    }

    /// Whether the audit says what became of the message.
    async fn is_explained(&self, src: Option<Src>, seq: u64) -> anyhow::Result<bool> {
        let Some(src) = src else { return Ok(false) };
        let known = self.store.unstored(seq, INCARNATIONS).await?;
        Ok(known.contains(&BatchRef { src, seq }))
    }
}

//! What a case needs: an engine on an empty store, and messages as the collector writes them.

use std::collections::BTreeMap;

use store::{DecodedBatch, Listings, Persist, Quarantine, Store, Stored};
use types::batch::{self, EventMetadata, Header};
use types::id::{BatchRef, EventRef, Src};
use types::stream::StreamIncarnation;
use types::time::{Micros, SECOND};
use types::verdict::{Code, Counts};

use crate::dump::Dump;

/// An engine that the contract is held against.
pub trait Engine: Send + Sync + Sized + 'static {
    /// The store it runs.
    type Store: Store + Quarantine + Listings;
    /// An empty store of its own.
    fn fresh() -> Self;
    /// The store; clones of it go to other tasks.
    fn store(&self) -> &Self::Store;
    /// All it holds, by raw SQL.
    fn dump(&self) -> Dump;
    /// Sets the developer's tombstone, on a connection of its own.
    fn forget(&self, developer: &str, until: BatchRef);
    /// Runs statements that every engine understands, on a connection of its own: makes what a case
    /// starts from and cannot get otherwise, such as a lease that ran out.
    fn execute(&self, sql: &str);
}

/// One hour.
pub const HOUR: Micros = 3600 * SECOND;
/// 2026-03-01T00:00:00Z: when the tests' first event happened.
pub const T0: Micros = 1_772_323_200 * SECOND;
/// The UTC hour of [`T0`].
pub const H0: i64 = T0 / HOUR;
/// The worker that stores.
pub const ACTOR: &str = "worker/test";
/// The collector that received.
pub const COLLECTOR: &str = "collector/test";

/// An event as sent, and what admission found out about it.
#[derive(Debug, Clone)]
pub struct Event {
    pub text: String,
    pub note: EventMetadata,
}

/// A heartbeat with this id and content at [`T0`].
pub fn event(id: &str, content: u32) -> Event {
    sent(&format!(
        r#"{{"id":"{id}","type":"heartbeat","data":{{"n":{content},"s":"ü"}}}}"#
    ))
}

/// An admitted event with this exact text.
pub fn sent(text: &str) -> Event {
    let note = EventMetadata {
        len: text.len() as u32,
        at: Some(T0),
        day: Some("2026-03-01".to_owned()),
        ..EventMetadata::default()
    };
    Event {
        text: text.to_owned(),
        note,
    }
}

impl Event {
    /// It happened this much after [`T0`].
    pub fn after(mut self, late: Micros) -> Self {
        self.note.at = Some(T0 + late);
        self
    }

    /// The same meaning in other bytes; spelling 0 changes nothing.
    pub fn spelled(self, spelling: u8) -> Self {
        let text = match spelling {
            0 => self.text.clone(),
            1 => self.text.replace(':', " :\t"),
            _ => self.text.replace('ü', "\\u00fc"),
        };
        let note = EventMetadata {
            len: text.len() as u32,
            ..self.note
        };
        Self { text, note }
    }

    /// Refused at admission.
    pub fn refused(mut self, code: Code, pointer: Option<&str>, detail: Option<&str>) -> Self {
        self.note.code = Some(code);
        self.note.pointer = pointer.map(str::to_owned);
        self.note.detail = detail.map(str::to_owned);
        self
    }
}

/// When the collector had the batch `seq`; the steps after it follow by a second each.
pub fn received_at(seq: u64) -> Micros {
    T0 + 100 * HOUR + seq as Micros * 10 * SECOND
}

/// Ada's batch `at`, taken through the message format.
pub fn batch(at: BatchRef, events: &[Event]) -> DecodedBatch {
    batch_of("ada", at, events)
}

/// A developer's batch `at`.
pub fn batch_of(developer: &str, at: BatchRef, events: &[Event]) -> DecodedBatch {
    let received_at = received_at(at.seq);
    let header = Header {
        format: batch::FORMAT,
        developer: developer.parse().unwrap(),
        epoch: 0,
        batch_id: format!("batch-{}", at.seq),
        correlation_id: format!("correlation-{}", at.seq),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        schema_version: "1.0".to_owned(),
        sent_at: "2026-03-05T04:00:00Z".to_owned(),
        received_at,
        validated_at: received_at + SECOND,
        collector: COLLECTOR.to_owned(),
        skew: 0,
        zone: None,
        envelope: BTreeMap::new(),
        counts: events.iter().map(|event| event.note.verdict()).collect(),
        events: events.iter().map(|event| event.note.clone()).collect(),
        origin: None,
    };
    let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
    let message = batch::encode(&header, &texts).unwrap();
    DecodedBatch::new(
        at,
        &batch::decode(message).unwrap(),
        received_at + 2 * SECOND,
        received_at + 3 * SECOND,
        ACTOR.to_owned(),
    )
    .unwrap()
}

/// An incarnation of the stream EVENTS.
pub fn incarnation(created: Micros) -> StreamIncarnation {
    StreamIncarnation {
        name: "EVENTS".to_owned(),
        created,
    }
}

/// An empty store, and the number of its first incarnation of the stream.
pub async fn fresh<E: Engine>() -> (E, Src) {
    let engine = E::fresh();
    let src = engine.store().source(&incarnation(T0)).await.unwrap();
    (engine, src)
}

/// Stores one batch.
pub async fn store_one(engine: &impl Engine, batch: DecodedBatch) -> Stored {
    let stored = engine.store().store_batches(vec![batch]).await.unwrap();
    let [stored] = &stored[..] else {
        panic!("one batch, {} answers", stored.len())
    };
    stored.clone()
}

/// Counts in the order accepted, duplicate, rejected, quarantined.
pub fn counts([accepted, duplicate, rejected, quarantined]: [u32; 4]) -> Counts {
    let received = accepted + duplicate + rejected + quarantined;
    Counts {
        received,
        accepted,
        duplicate,
        rejected,
        quarantined,
    }
}

/// A reference to a batch.
pub fn at(src: Src, seq: u64) -> BatchRef {
    BatchRef { src, seq }
}

/// A reference to an event.
pub fn event_at(src: Src, seq: u64, ordinal: u32) -> EventRef {
    EventRef { src, seq, ordinal }
}

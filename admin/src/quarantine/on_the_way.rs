//! Which readmitted events are in the stream, but not in the store yet.
//!
//! The server drops a message id that it saw within two minutes. A readmission that waits for a worker
//! for longer would be published again, and the store would keep a duplicate of each of its events. So
//! what lies beyond the newest stored batch is read first.

use anyhow::Context as _;
use async_nats::jetstream;
use bus::{EVENTS, stored};
use store::{Quarantine, VerifyReads};
use types::batch;
use types::event::EventHead;
use types::stream::StreamIncarnation;

use super::fate::OnTheWay;

/// More messages than this are not read: a worker is to catch up first.
const BACKLOG: u64 = 10_000;

/// Reads the stream from the newest stored batch on.
///
/// # Errors
/// Where stream or store cannot be read, or too many messages wait to be stored.
pub async fn read(
    store: &(impl Quarantine + VerifyReads),
    js: &jetstream::Context,
    incarnation: &StreamIncarnation,
) -> anyhow::Result<OnTheWay> {
    let stream = js
        .get_stream(EVENTS)
        .await
        .context("The stream EVENTS cannot be read")?;
    let state = &stream.cached_info().state;
    let (first, last) = (state.first_sequence, state.last_sequence);
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
    let mut on_the_way = OnTheWay::default();
    for seq in from..=last {
        let Some(message) = stored::message(js, EVENTS, seq).await? else {
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
            ids.for_each(|id| on_the_way.add(batch.header.developer.as_str(), &id));
        }
    }
    Ok(on_the_way)
}

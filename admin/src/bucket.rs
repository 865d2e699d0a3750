//! A key-value bucket read all at once: one consumer delivers every entry, however many there are.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy, push::OrderedConfig};
use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use futures_util::StreamExt as _;

/// A server that delivers nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(10);
/// The header of an entry that is deleted or purged.
const OPERATION: &str = "KV-Operation";

/// An entry of a bucket.
pub struct BucketEntry {
    /// What follows the prefix that was asked for.
    pub name: String,
    /// Its value now.
    pub value: Bytes,
}

/// The bucket of this name.
///
/// # Errors
/// Returns an error if it is missing.
pub async fn open(js: &jetstream::Context, name: &str) -> anyhow::Result<kv::Store> {
    js.get_key_value(name)
        .await
        .with_context(|| format!("The bucket {name} is missing. Run `devtrail streams apply`."))
}

/// The entries whose keys are this prefix, a dot and one more token; not those that are deleted.
///
/// # Errors
/// Returns an error if the server refuses, or falls silent.
pub async fn entries(
    js: &jetstream::Context,
    bucket: &kv::Store,
    prefix: &str,
) -> anyhow::Result<Vec<BucketEntry>> {
    let cannot_read = || format!("The bucket {} cannot be read", bucket.name);
    let prefix = format!("$KV.{}.{prefix}.", bucket.name);
    let consumer = bucket
        .stream
        .create_consumer(OrderedConfig {
            deliver_subject: js.client().new_inbox(),
            filter_subject: format!("{prefix}*"),
            deliver_policy: DeliverPolicy::LastPerSubject,
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        })
        .await
        .with_context(cannot_read)?;
    let mut entries = Vec::new();
    // Of an empty bucket nothing is delivered.
    if consumer.cached_info().num_pending == 0 {
        return Ok(entries);
    }
    let mut messages = consumer.messages().await.with_context(cannot_read)?;
    loop {
        let next = tokio::time::timeout(SILENCE, messages.next()).await;
        let Ok(Some(message)) = next else {
            bail!(
                "The server gives no more of the bucket {} after {} entries. Look at its log, and run it again.",
                bucket.name,
                entries.len()
            );
        };
        let message = message.with_context(cannot_read)?;
        let is_gone = message
            .headers
            .as_ref()
            .is_some_and(|headers| headers.get(OPERATION).is_some());
        let is_last = message.info().map_err(|error| anyhow!(error))?.pending == 0;
        if let Some(name) = message.subject.strip_prefix(&prefix).filter(|_| !is_gone) {
            let name = name.to_owned();
            let value = message.payload.clone();
            entries.push(BucketEntry { name, value });
        }
        if is_last {
            return Ok(entries);
        }
    }
}

//! The keys in the bucket `api_keys`, read all at once: one consumer delivers every entry, however many there are.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy, push::OrderedConfig};
use async_nats::jetstream::{self, kv};
use futures_util::StreamExt as _;
use types::api_key::{self, ApiKeyRecord};

/// A server that delivers nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(10);
/// Characters of a digest that a person needs to name a key.
pub const SHOWN: usize = 12;
/// The header of an entry that is deleted or purged.
const OPERATION: &str = "KV-Operation";

/// A key in the bucket; the key itself is not stored.
pub struct StoredKey {
    /// SHA-256, in hex.
    pub digest: String,
    pub record: ApiKeyRecord,
}

impl StoredKey {
    fn read(digest: &str, value: &[u8]) -> anyhow::Result<Self> {
        let record = serde_json::from_slice(value)
            .with_context(|| format!("the entry {} is damaged", api_key::key_entry(digest)))?;
        Ok(Self {
            digest: digest.to_owned(),
            record,
        })
    }

    /// The digest as people read it.
    pub fn short_digest(&self) -> &str {
        &self.digest[..SHOWN.min(self.digest.len())]
    }
}

/// The bucket of keys.
///
/// # Errors
/// Returns an error if it is missing.
pub async fn bucket(js: &jetstream::Context) -> anyhow::Result<kv::Store> {
    js.get_key_value(api_key::BUCKET)
        .await
        .context("The bucket api_keys is missing. Run `devtrail streams apply`.")
}

/// The key with this digest: one request.
///
/// # Errors
/// Returns an error if the bucket does not answer, or the entry is damaged.
pub async fn find(bucket: &kv::Store, digest: &str) -> anyhow::Result<Option<StoredKey>> {
    let value = bucket.get(api_key::key_entry(digest)).await?;
    value
        .map(|value| StoredKey::read(digest, &value))
        .transpose()
}

/// All keys, by developer and digest.
///
/// # Errors
/// Returns an error if the bucket is missing, the server falls silent, or an entry is damaged.
pub async fn all(js: &jetstream::Context) -> anyhow::Result<Vec<StoredKey>> {
    let bucket = bucket(js).await?;
    let prefix = format!("$KV.{}.key.", api_key::BUCKET);
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
        .context("The keys cannot be read")?;
    let mut keys = Vec::new();
    // Of an empty bucket nothing is delivered.
    if consumer.cached_info().num_pending > 0 {
        let mut entries = consumer
            .messages()
            .await
            .context("The keys cannot be read")?;
        loop {
            let next = tokio::time::timeout(SILENCE, entries.next()).await;
            let Ok(Some(entry)) = next else {
                bail!(
                    "The server gives no more keys after {}. Look at its log, and run it again.",
                    keys.len()
                );
            };
            let entry = entry.context("The keys cannot be read")?;
            let is_gone = entry
                .headers
                .as_ref()
                .is_some_and(|headers| headers.get(OPERATION).is_some());
            if let Some(digest) = entry.subject.strip_prefix(&prefix).filter(|_| !is_gone) {
                keys.push(StoredKey::read(digest, &entry.payload)?);
            }
            if entry.info().map_err(|error| anyhow!(error))?.pending == 0 {
                break;
            }
        }
    }
    keys.sort_by(|a: &StoredKey, b| {
        (&a.record.developer, &a.digest).cmp(&(&b.record.developer, &b.digest))
    });
    Ok(keys)
}

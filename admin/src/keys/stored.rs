//! The keys in the bucket `api_keys`.

use anyhow::Context as _;
use async_nats::jetstream::{self, kv};
use types::api_key::{self, ApiKeyRecord};

use crate::bucket::{self, BucketEntry};

/// Characters of a digest that a person needs to name a key.
pub const SHOWN: usize = 12;

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
    bucket::open(js, api_key::BUCKET).await
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
    let entries = bucket::entries(js, &bucket(js).await?, "key").await?;
    let read = |entry: BucketEntry| StoredKey::read(&entry.name, &entry.value);
    let mut keys: Vec<StoredKey> = entries.into_iter().map(read).collect::<Result<_, _>>()?;
    keys.sort_by(|a, b| (&a.record.developer, &a.digest).cmp(&(&b.record.developer, &b.digest)));
    Ok(keys)
}

//! Ids made of content.

use types::id::DeveloperId;

/// Whether `text` may be a batch or event id: 1 to 128 characters from 0x21 to 0x7E.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7E).contains(&byte))
}

/// The `Nats-Msg-Id` of a batch: `<developer>:<epoch>:<batch_id>:<16 hex>`.
pub(crate) fn msg_id(
    developer: &DeveloperId,
    epoch: u64,
    batch_id: &str,
    events: impl Iterator<Item = impl AsRef<[u8]>>,
) -> String {
    let hash = hash_of(events).to_hex();
    format!("{developer}:{epoch}:{batch_id}:{}", &hash[..16])
}

/// An id derived from content: `<prefix>-` and 32 hex of BLAKE3 over the parts, each preceded by its length.
pub(crate) fn made_of(prefix: &str, parts: impl Iterator<Item = impl AsRef<[u8]>>) -> String {
    format!("{prefix}-{}", &hash_of(parts).to_hex()[..32])
}

fn hash_of(parts: impl Iterator<Item = impl AsRef<[u8]>>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

//! A key-value bucket mirrored in memory: read whole, then followed, so that a change counts within a second.

use std::convert::Infallible;

use async_nats::jetstream::{self, kv};
use futures_util::StreamExt;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;

/// What is kept of a bucket.
pub trait BucketMirror: Sync {
    /// The bucket.
    const BUCKET: &'static str;
    /// What it holds, for the log.
    const WHAT: &'static str;
    /// All that is known of it.
    type Table: Default + Send;

    /// Enters one change into a table.
    fn apply(&self, table: &mut Self::Table, entry: &kv::Entry);

    /// Replaces what was known by all that the bucket holds.
    fn replace(&self, fresh: Self::Table);

    /// Enters one change into what is known.
    fn update(&self, entry: &kv::Entry);
}

/// Follows the bucket until the process shuts down; `loaded` turns true once all of it is known.
pub async fn follow<M: BucketMirror>(
    mirror: M,
    js: jetstream::Context,
    loaded: watch::Sender<bool>,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    // A change must not wait long for a connection that is back.
    let retry = RetryPolicy {
        cap: retry.bound(4),
        ..retry
    };
    let mut backoff = retry.backoff(&shutdown);
    loop {
        tokio::select! {
            Err(reason) = watch(&mirror, &js, &loaded) => {
                tracing::warn!(%reason, "the watch on {} ended; those known stay valid meanwhile", M::WHAT);
            }
            () = shutdown.draining() => return,
        }
        if !backoff.wait().await {
            return;
        }
    }
}

/// Reads all of the bucket into a fresh table, then applies changes until the watch ends.
async fn watch<M: BucketMirror>(
    mirror: &M,
    js: &jetstream::Context,
    loaded: &watch::Sender<bool>,
) -> Result<Infallible, async_nats::Error> {
    let bucket = js.get_key_value(M::BUCKET).await.map_err(|error| {
        let bucket = M::BUCKET;
        format!("the bucket {bucket} cannot be read ({error}); `devtrail streams apply` makes it if it is missing")
    })?;
    let mut changes = bucket.watch_with_history(">").await?;
    let mut fresh = M::Table::default();
    // An empty bucket sends nothing: there is no last entry to wait for.
    let mut complete = bucket.status().await?.values() == 0;
    loop {
        if complete {
            mirror.replace(std::mem::take(&mut fresh));
            loaded.send_replace(true);
            break;
        }
        let entry = changes.next().await.ok_or("the watch ended")??;
        complete = entry.delta == 0;
        mirror.apply(&mut fresh, &entry);
    }
    while let Some(entry) = changes.next().await {
        mirror.update(&entry?);
    }
    Err("the watch ended".into())
}

//! Which incarnation of the stream a PubAck speaks of: a sequence alone is no identity.

use async_nats::jetstream;
use bus::{BindError, bind_stream};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use types::stream::StreamIncarnation;

/// The incarnation of the stream as it was last read.
///
/// A PubAck names the sequence, not the incarnation. If the stream had one incarnation before the publish and has the
/// same after its PubAck, it had it in between as well, for each has a created time of its own.
pub struct IncarnationCache {
    js: jetstream::Context,
    last: watch::Sender<StreamIncarnation>,
    /// When the last read began. Locked while reading, so that many requests share one read.
    read_at: Mutex<Instant>,
}

impl IncarnationCache {
    /// A cache of the stream that was bound just now.
    #[must_use]
    pub fn new(js: jetstream::Context, bound: StreamIncarnation) -> Self {
        Self {
            js,
            last: watch::Sender::new(bound),
            read_at: Mutex::new(Instant::now()),
        }
    }

    /// The incarnation as it was last read; to be taken before a publish.
    #[must_use]
    pub fn last_read(&self) -> StreamIncarnation {
        self.last.borrow().clone()
    }

    /// Whether the stream was still `before` at `acked`. It reads the incarnation unless that was done since.
    ///
    /// `before` is what [`IncarnationCache::last_read`] gave before the publish, `acked` when its PubAck had come.
    /// If the stream was recreated, nobody can tell which incarnation the PubAck speaks of: `false`.
    ///
    /// # Errors
    /// Returns [`BindError`] if the server does not tell.
    pub async fn is_unchanged(
        &self,
        before: &StreamIncarnation,
        acked: Instant,
    ) -> Result<bool, BindError> {
        let mut read_at = self.read_at.lock().await;
        if *read_at < acked {
            let begun = Instant::now();
            let now = bind_stream(&self.js, &before.name).await?;
            self.last.send_replace(now);
            *read_at = begun;
        }
        Ok(*self.last.borrow() == *before)
    }
}

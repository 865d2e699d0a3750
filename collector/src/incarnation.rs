//! Which life of the stream a PubAck speaks of: a sequence alone is no identity.

use async_nats::jetstream;
use bus::{BindError, bind_stream};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use types::stream::StreamIncarnation;

/// The life of the stream as it was seen last.
///
/// A PubAck names the sequence, not the life. A life that stood before the publish and stands after
/// its PubAck stood in between as well, for each has a created time of its own.
pub struct SeenIncarnation {
    js: jetstream::Context,
    seen: watch::Sender<StreamIncarnation>,
    /// When the last look began. Held while looking, so that many who ask share one look.
    looked: Mutex<Instant>,
}

impl SeenIncarnation {
    /// Of the stream that was bound now.
    #[must_use]
    pub fn new(js: jetstream::Context, bound: StreamIncarnation) -> Self {
        Self {
            js,
            seen: watch::Sender::new(bound),
            looked: Mutex::new(Instant::now()),
        }
    }

    /// The life as it was seen last; to be taken before a publish.
    #[must_use]
    pub fn seen(&self) -> StreamIncarnation {
        self.seen.borrow().clone()
    }

    /// Whether a PubAck that came by `acked` to what was published after [`SeenIncarnation::seen`] gave `before`
    /// is of that life. `false` where the stream was made anew: then nobody can tell.
    ///
    /// # Errors
    /// Where the server does not tell.
    pub async fn still(
        &self,
        before: &StreamIncarnation,
        acked: Instant,
    ) -> Result<bool, BindError> {
        let mut looked = self.looked.lock().await;
        if *looked < acked {
            let begun = Instant::now();
            let now = bind_stream(&self.js, &before.name).await?;
            self.seen.send_replace(now);
            *looked = begun;
        }
        Ok(*self.seen.borrow() == *before)
    }
}

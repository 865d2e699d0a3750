//! The event streams as they are now, by their numbers in the store: a batch reference names one by its number.

use async_nats::jetstream;
use bus::{BindError, bind_stream};
use store::{Persist, StoreError};
use types::event_streams::EventStreams;
use types::id::Src;
use types::stream::StreamIncarnation;

/// The present incarnation of an event stream, and its number.
#[derive(Debug, Clone)]
pub struct PresentStream {
    pub incarnation: StreamIncarnation,
    pub src: Src,
}

/// The present incarnations of all event streams.
#[derive(Debug, Clone)]
pub struct PresentStreams(Vec<PresentStream>);

/// They cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error(transparent)]
    Stream(#[from] BindError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PresentStreams {
    /// Reads them all.
    ///
    /// # Errors
    /// Returns an error if a stream cannot be bound, or the store does not answer.
    pub async fn read(
        js: &jetstream::Context,
        streams: EventStreams,
        store: &impl Persist,
    ) -> Result<Self, NotRead> {
        let mut present = Vec::new();
        for stream in streams.all() {
            let incarnation = bind_stream(js, &stream.to_string()).await?;
            let src = store.source(&incarnation).await?;
            present.push(PresentStream { incarnation, src });
        }
        Ok(Self(present))
    }

    /// The one with this number; `None` if that is of an incarnation that has ended, or of none.
    #[must_use]
    pub fn numbered(&self, src: Src) -> Option<&PresentStream> {
        self.0.iter().find(|present| present.src == src)
    }

    /// Part of a sentence: `the present one is 1`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let numbers: Vec<String> = self
            .0
            .iter()
            .map(|present| present.src.to_string())
            .collect();
        match &numbers[..] {
            [number] => format!("the present one is {number}"),
            numbers => format!("the present ones are {}", numbers.join(", ")),
        }
    }
}

//! The ceilings on the stream's side, and the load on ours: both with so many in flight at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::future::try_join_all;

use crate::input::body;

/// The result of a round of load.
#[derive(Debug, Default)]
pub struct Load {
    /// Time from sending to the answer, one a batch.
    pub times: Vec<Duration>,
    /// How long the round took.
    pub took: Duration,
}

impl Load {
    /// Batches a second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// Adds another round.
    pub fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.took += other.took;
    }
}

/// Keeps `in_flight` calls of `send` going for `length`; each gets a number of its own.
///
/// # Errors
/// The first failure of a call.
pub async fn closed_loop<F, Fut>(
    in_flight: usize,
    length: Duration,
    send: F,
) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let client = || async {
        let mut times = Vec::new();
        while start.elapsed() < length {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let sent = Instant::now();
            send(number).await?;
            times.push(sent.elapsed());
        }
        anyhow::Ok(times)
    };
    let times = try_join_all((0..in_flight).map(|_| client()))
        .await?
        .concat();
    Ok(Load {
        times,
        took: start.elapsed(),
    })
}

/// Publishes the bytes of batches one message at a time, as any JetStream client would.
///
/// # Errors
/// The first refusal of a publish.
pub async fn publish(
    js: &jetstream::Context,
    name: &str,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<Load> {
    let name = Arc::new(name.to_owned());
    closed_loop(in_flight, length, |number| {
        let js = js.clone();
        let name = name.clone();
        async move {
            let message = PublishMessage::build()
                .payload(body(&name, number).into())
                .message_id(format!("{name}-{number}"));
            js.send_publish("raw.one", message).await?.await?;
            Ok(())
        }
    })
    .await
}

/// A stream like EVENTS for the raw publishes.
///
/// # Errors
/// The reason, if it cannot be created.
pub async fn make_stream(js: &jetstream::Context) -> anyhow::Result<()> {
    let mut config = js.get_stream("EVENTS").await?.cached_info().config.clone();
    "RAW".clone_into(&mut config.name);
    config.subjects = vec!["raw.*".to_owned()];
    // Purged after each round; both streams must fit on a disk in memory.
    config.max_bytes = 2 << 30;
    js.create_stream(config)
        .await
        .context("the stream for raw publishes cannot be made")?;
    Ok(())
}

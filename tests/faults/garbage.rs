//! Publishes messages that are no batches into EVENTS all the while, so that faults meet dead-lettering.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use fastrand::Rng;
use futures_util::StreamExt;
use harness::Deployment;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What is put into EVENTS.
const GARBAGE: [&str; 3] = ["", "no batch", "{\"batch_id\":\"b\"}\n{}"];
/// Its subject: no client has this developer, so that its messages are found again.
const SUBJECT: &str = "events.batch.garbage";

/// Someone who publishes garbage.
pub struct GarbagePublisher {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<i64>>,
}

impl GarbagePublisher {
    pub fn start(deployment: &Deployment, seed: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let nats = deployment.nats.clone();
        let task = tokio::spawn(publish_garbage(nats, Rng::with_seed(!seed), stop.clone()));
        Self { stop, task }
    }

    /// Stops it, and gives the sequences of all garbage in the stream: where the server was hit, nobody
    /// learned whether a message is there.
    pub async fn finish(self, deployment: &Deployment) -> Vec<i64> {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged = self.task.await.expect("no panic");
        let there = published(deployment).await;
        let lost: Vec<&i64> = acknowledged
            .iter()
            .filter(|seq| !there.contains(seq))
            .collect();
        assert!(
            lost.is_empty(),
            "garbage that nats-server acknowledged is not in EVENTS: {lost:?}"
        );
        there
    }
}

/// Publishes until it is asked to stop; what meets a fault is not tried again.
async fn publish_garbage(nats: String, mut rng: Rng, stop: Arc<AtomicBool>) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    let client = async_nats::connect(&nats)
        .await
        .expect("nats-server answers");
    let js = jetstream::new(client.clone());
    for number in 0.. {
        if number >= GARBAGE.len() && stop.load(Ordering::Relaxed) {
            break;
        }
        let garbage = GARBAGE[number % GARBAGE.len()];
        if let Ok(sent) = js.publish(SUBJECT, garbage.into()).await
            && let Ok(ack) = sent.await
        {
            acknowledged.push(ack.sequence.cast_signed());
        }
        sleep(Duration::from_millis(rng.u64(100..700))).await; // sleep: a trickle, which every fault meets
    }
    // What waits for the server goes before the stream is looked at.
    client.flush().await.expect("nats-server answers");
    acknowledged
}

/// The sequences of the garbage in EVENTS.
async fn published(deployment: &Deployment) -> Vec<i64> {
    let stream = deployment
        .js()
        .await
        .get_stream("EVENTS")
        .await
        .expect("EVENTS");
    let observed = stream
        .info_with_subjects(SUBJECT)
        .await
        .expect("its subjects");
    let counts: Vec<(String, usize)> = observed.filter_map(async |one| one.ok()).collect().await;
    let count = counts.iter().map(|(_, count)| count).sum();
    let filter = SUBJECT.to_owned();
    let config = consumer::pull::OrderedConfig {
        filter_subject: filter,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let messages = consumer.messages().await.expect("messages").take(count);
    let sequence = |message: Result<jetstream::Message, _>| {
        let message = message.ok()?;
        message
            .info()
            .ok()
            .map(|info| info.stream_sequence.cast_signed())
    };
    messages
        .map(|message| sequence(message).expect("a message of the stream"))
        .collect()
        .await
}

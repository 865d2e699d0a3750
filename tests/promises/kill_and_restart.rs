//! kill -9 under load, restart on the same folder: every acknowledged event is stored once (R2.3).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use harness::{Client, DevtrailUp, Streams, envelope, event};
use tokio::task::JoinHandle;

const CLIENTS: usize = 8;

/// Clients that send until told to stop, and their own log of what was acknowledged.
pub struct Load {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<AtomicUsize>,
    shutdown: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(client: &Client, name: &'static str) -> Self {
        let acknowledged = Arc::default();
        let shutdown = Arc::new(AtomicBool::new(false));
        let refused = Arc::new(AtomicUsize::new(0));
        let task = |number: usize| {
            let client = client.clone();
            let log = Arc::clone(&acknowledged);
            let shutdown = Arc::clone(&shutdown);
            let refused = Arc::clone(&refused);
            tokio::spawn(async move {
                for batch in 0.. {
                    if shutdown.load(Ordering::Relaxed) {
                        return;
                    }
                    let ids: Vec<String> = (0..5)
                        .map(|index| format!("{name}-{number}-{batch}-{index}"))
                        .collect();
                    let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
                    let body = envelope(&format!("{name}-{number}-{batch}"), &events);
                    match client.post(&body).await {
                        Ok(reply) if reply.status().is_success() => lock(&log).extend(ids),
                        // Refused or cut off: outcome unknown, nothing promised.
                        Ok(reply) => {
                            refused
                                .fetch_add(usize::from(reply.status() == 503), Ordering::Relaxed);
                        }
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            })
        };
        let tasks = (0..CLIENTS).map(task).collect();
        Self {
            acknowledged,
            refused,
            shutdown,
            tasks,
        }
    }

    /// How many batches were refused with 503.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn count(&self) -> usize {
        lock(&self.acknowledged).len()
    }

    pub async fn finish(self) -> BTreeSet<String> {
        self.shutdown.store(true, Ordering::Relaxed);
        futures_util::future::join_all(self.tasks).await;
        std::mem::take(&mut lock(&self.acknowledged))
    }
}

fn lock(log: &Mutex<BTreeSet<String>>) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
    log.lock().unwrap()
}

pub fn assert_each_stored_once(up: &DevtrailUp, acknowledged: &BTreeSet<String>) {
    let _ = up.verify();
    let database = up.database();
    let mut statement = database.prepare("SELECT event_id FROM events").unwrap();
    let stored: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let distinct: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(stored.len(), distinct.len(), "stored twice");
    let lost: Vec<_> = acknowledged.difference(&distinct).take(5).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_devtrail_up_in_mid_load_loses_and_doubles_nothing() {
    let mut up = DevtrailUp::start().await;
    let mut all = BTreeSet::new();
    for round in ["first", "second"] {
        let load = Load::start(&up.client(), round);
        up.until("the load runs", || (load.count() > 300).then_some(()))
            .await;
        up.kill();
        all.extend(load.finish().await);
        up.restart().await;
    }
    assert!(all.len() > 600);
    assert_each_stored_once(&up, &all);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_nats_server_in_mid_load_loses_and_doubles_nothing() {
    let up = DevtrailUp::start().await;
    let load = Load::start(&up.client(), "load");
    up.until("the load runs", || (load.count() > 300).then_some(()))
        .await;
    for _ in 0..2 {
        let (_, before) = up.pids();
        up.kill_nats();
        up.until("nats-server is restarted", || {
            (up.pids().1 != before).then_some(())
        })
        .await;
        for stderr_of in ["the connection to NATS broke", "connected to NATS again"] {
            up.until(stderr_of, || {
                up.whole_log().contains(stderr_of).then_some(())
            })
            .await;
        }
        let then = load.count();
        up.until("batches are taken again", || {
            (load.count() > then + 300).then_some(())
        })
        .await;
    }
    let acknowledged = load.finish().await;
    assert_each_stored_once(&up, &acknowledged);
    // Only dependencies failed.
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let streams = Streams::of(async_nats::jetstream::new(nats));
    assert_eq!(streams.messages("DEAD").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM refused"), 0);
}

/// Contract: commands.signals
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_exits_0_leaves_no_server_and_keeps_everything() {
    let mut up = DevtrailUp::start().await;
    let (_, nats) = up.pids();
    up.client().send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(up.stop().await, Some(0));
    assert!(
        !std::path::Path::new(&format!("/proc/{nats}")).exists(),
        "nats-server is left"
    );
    up.restart().await;
    assert_eq!(up.verify()["stored"], 1);
}

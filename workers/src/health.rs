//! When a worker is ready, and the metrics that it reads from the store.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use bus::stream_metrics::StreamMetrics;
use bus::{ConsumerRef, JOBS, PERSIST, PERSIST_REPLAY, REPLAY};
use futures_util::future::try_join_all;
use runtime::metrics;
use runtime::{health::NotReady, process::Process};
use store::{Store, VerifyReads};
use types::event_streams::EventStreams;
use types::job::{BatchState, JobKind};
use types::stream::StreamIncarnation;

use crate::role::WorkerRole;

/// Counting batches is cheap, but not free.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Nothing is open yet: the process is not ready.
pub fn starting(process: &Process) {
    process.health.check("store", || {
        std::future::ready(Err(NotReady::store("the store is not open yet")))
    });
    process.health.check("nats", || {
        std::future::ready(Err(NotReady::stream("NATS is not connected yet")))
    });
}

/// From now on the process is ready while NATS is connected, the streams and consumers of its role are as they must be,
/// and the store answers.
pub fn running<S: Store>(
    role: WorkerRole,
    streams: EventStreams,
    client: &async_nats::Client,
    store: &S,
    process: &Process,
) {
    let js = jetstream::new(client.clone());
    let nats = client.clone();
    process.health.check("nats", move || {
        let is_connected = nats.connection_state() == State::Connected;
        let away = || NotReady::stream("NATS is not connected");
        std::future::ready(is_connected.then_some(()).ok_or_else(away))
    });
    let nats = js.clone();
    let required = consumers(role, streams);
    process
        .health
        .check("consumers", move || bound(nats.clone(), required.clone()));
    let reads = store.clone();
    process
        .health
        .check("store", move || answers(reads.clone()));
    StreamMetrics::new(js, streams).follow(&process.health);
    if role.includes(WorkerRole::Persist) {
        let reads = store.clone();
        process.health.source(
            "batches",
            COUNT_EVERY,
            move || count(reads.clone()),
            || set_unfinished(None),
        );
    }
}

/// The consumers that the role pulls from.
fn consumers(role: WorkerRole, streams: EventStreams) -> Vec<ConsumerRef> {
    let mut required = Vec::new();
    if role.includes(WorkerRole::Persist) {
        let of_stream = streams.all();
        required.extend(of_stream.map(|stream| ConsumerRef::new(&stream.to_string(), PERSIST)));
        required.push(ConsumerRef::new(REPLAY, PERSIST_REPLAY));
    }
    let kinds = [
        (WorkerRole::Aggregate, JobKind::Aggregate),
        (WorkerRole::Normalize, JobKind::Normalize),
        (WorkerRole::Alert, JobKind::Alert),
    ];
    for (_, kind) in kinds.into_iter().filter(|(part, _)| role.includes(*part)) {
        required.push(ConsumerRef::new(JOBS, kind.as_str()));
        required.push(ConsumerRef::new(JOBS, &format!("{}-replay", kind.as_str())));
    }
    required
}

async fn bound(js: jetstream::Context, required: Vec<ConsumerRef>) -> Result<(), NotReady> {
    let js = &js;
    // All at once: a slow server delays the check by one answer only.
    let binding = required.into_iter().map(async |consumer| {
        bus::bind_stream(js, &consumer.stream).await?;
        bus::bind_consumer(js, &consumer).await
    });
    let found = try_join_all(binding).await;
    found
        .map(drop)
        .map_err(|error| NotReady::stream(error.to_string().trim_end_matches('.')))
}

/// Whether the store answers a query that costs nothing.
async fn answers(store: impl VerifyReads) -> Result<(), NotReady> {
    let unknown = StreamIncarnation {
        name: String::new(),
        created: 0,
    };
    let answer = store.known_source(&unknown).await;
    answer
        .map(drop)
        .map_err(|error| NotReady::store(error.to_string().trim_end_matches('.')))
}

async fn count(store: impl VerifyReads) {
    let unfinished = store.unfinished().await;
    if let Err(error) = &unfinished {
        tracing::debug!(%error, "unfinished batches cannot be counted");
    }
    set_unfinished(unfinished.ok().as_ref());
}

/// `None` if the count is not known.
fn set_unfinished(unfinished: Option<&BTreeMap<String, u64>>) {
    for state in BatchState::ALL
        .into_iter()
        .filter(|state| *state != BatchState::Completed)
    {
        let of = |counts: &BTreeMap<String, u64>| {
            counts.get(state.as_str()).copied().unwrap_or(0) as f64
        };
        metrics::batches(state.as_str(), unfinished.map_or(f64::NAN, of));
    }
}

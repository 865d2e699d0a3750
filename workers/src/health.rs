//! When a worker is ready, and what of the store its metrics tell.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use bus::stream_metrics::Streams;
use bus::{EVENTS, JOBS, PERSIST, PERSIST_REPLAY, REPLAY};
use futures_util::future::try_join_all;
use runtime::metrics;
use runtime::{health::NotReady, process::Process};
use store::{Store, VerifyReads};
use types::job::{BatchState, JobKind};
use types::stream::StreamIncarnation;

use crate::Role;

/// Counting batches is cheap, not free.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Nothing is there yet: the process is not ready.
pub fn starting(process: &Process) {
    process.health.check("store", || {
        std::future::ready(Err(NotReady::store("the store is not open yet")))
    });
    process.health.check("nats", || {
        std::future::ready(Err(NotReady::stream("NATS is not connected yet")))
    });
}

/// From now on the process is ready where NATS is connected, the streams and consumers of its role are as
/// they must be, and the store answers.
pub fn running<S: Store>(role: Role, client: &async_nats::Client, store: &S, process: &Process) {
    let js = jetstream::new(client.clone());
    let asked = client.clone();
    process.health.check("nats", move || {
        let is_connected = asked.connection_state() == State::Connected;
        let away = || NotReady::stream("NATS is not connected");
        std::future::ready(is_connected.then_some(()).ok_or_else(away))
    });
    let (asked, wanted) = (js.clone(), consumers(role));
    process
        .health
        .check("consumers", move || bound(asked.clone(), wanted.clone()));
    let asked = store.clone();
    process
        .health
        .check("store", move || answers(asked.clone()));
    Streams(js).follow(&process.health);
    if role.includes(Role::Persist) {
        let asked = store.clone();
        process.health.source(
            "batches",
            COUNT_EVERY,
            move || count(asked.clone()),
            || counted(None),
        );
    }
}

/// The streams that the role pulls from, with its consumers.
fn consumers(role: Role) -> Vec<(&'static str, String)> {
    let mut wanted = Vec::new();
    if role.includes(Role::Persist) {
        wanted.push((EVENTS, PERSIST.to_owned()));
        wanted.push((REPLAY, PERSIST_REPLAY.to_owned()));
    }
    let kinds = [
        (Role::Aggregate, JobKind::Aggregate),
        (Role::Normalize, JobKind::Normalize),
        (Role::Alert, JobKind::Alert),
    ];
    for (_, kind) in kinds.into_iter().filter(|(part, _)| role.includes(*part)) {
        wanted.push((JOBS, kind.as_str().to_owned()));
        wanted.push((JOBS, format!("{}-replay", kind.as_str())));
    }
    wanted
}

async fn bound(
    js: jetstream::Context,
    wanted: Vec<(&'static str, String)>,
) -> Result<(), NotReady> {
    let js = &js;
    // All at once: a server that is slow has the time of one answer.
    let asked = wanted.into_iter().map(async |(stream, consumer)| {
        bus::bind_stream(js, stream).await?;
        bus::bind_consumer(js, stream, &consumer).await
    });
    let found = try_join_all(asked).await;
    found
        .map(drop)
        .map_err(|error| NotReady::stream(error.to_string().trim_end_matches('.')))
}

/// Whether the store answers a question that costs nothing.
async fn answers(store: impl VerifyReads) -> Result<(), NotReady> {
    let nobodys = StreamIncarnation {
        name: String::new(),
        created: 0,
    };
    let answer = store.known_source(&nobodys).await;
    answer
        .map(drop)
        .map_err(|error| NotReady::store(error.to_string().trim_end_matches('.')))
}

async fn count(store: impl VerifyReads) {
    let unfinished = store.unfinished().await;
    if let Err(error) = &unfinished {
        tracing::debug!(%error, "unfinished batches cannot be counted");
    }
    counted(unfinished.ok().as_ref());
}

/// `None` where the count is not known.
fn counted(unfinished: Option<&BTreeMap<String, u64>>) {
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

//! The probes: they read everything that conditions depend on.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use bus::ResourceName;
use bus::consumer_status::{self, ConsumerState, StreamState};
use bus::topology::{self};
use bus::worker_registry::{self, WorkerEntry};
use bus::{ADMIN, DEAD};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use runtime::breaker;
use runtime::clock;
use runtime::process::Process;
use store::Monitoring;
use types::event_streams::EventStreams;
use types::time::Micros;

use super::disk_probes::DiskProbes;
use super::liveness::{Liveness, SilentRole};
use super::probe::probe;
use super::readings::{Backlog, Capacity, Readings, Thresholds, overdue_before};
use super::rule_failures::RuleFailure;

/// What the probes read from.
pub struct Probes<S> {
    pub js: jetstream::Context,
    pub streams: EventStreams,
    pub store: S,
    pub disks: DiskProbes,
    /// Its own breakers are known at once.
    pub process: Process,
    pub thresholds: Thresholds,
    /// How long a role may be silent.
    pub silent_after: Duration,
}

/// The worker registry as a probe read it.
pub struct LiveWorkers {
    entries: Vec<WorkerEntry>,
    silent: Vec<SilentRole>,
}

/// The streams and consumers as a probe read them.
struct LiveTopology {
    /// The streams that refuse when they are full.
    streams: Vec<Capacity>,
    /// The consumers of live work.
    backlogs: Vec<Backlog>,
    /// What is declared and does not exist.
    missing: Vec<String>,
}

impl<S: Monitoring> Probes<S> {
    /// Reads the worker registry. Every watcher does so all the time, to know who was alive before it got the lease.
    pub async fn worker_registry(&self, liveness: &mut Liveness) -> Option<LiveWorkers> {
        let entries = probe("the list of workers", worker_registry::alive(&self.js)).await?;
        let roles = entries.iter().map(|entry| entry.role.as_str());
        let silent = liveness.probe(roles, self.silent_after, clock::now());
        Some(LiveWorkers { entries, silent })
    }

    /// Reads everything else.
    pub async fn read(
        &self,
        workers: Option<LiveWorkers>,
        rules: Vec<RuleFailure>,
        now: Micros,
    ) -> Readings {
        let before = overdue_before(&self.thresholds, now);
        let (dead, topology, disks, overdue) = tokio::join!(
            probe("the dead letters", self.dead()),
            probe("streams and consumers", self.topology()),
            self.disks.read(),
            probe("what is overdue", self.store.overdue(before)),
        );
        let mut readings = Readings {
            dead,
            disks: Some(disks),
            overdue,
            rules,
            ..Readings::default()
        };
        if let Some(topology) = topology {
            readings.streams = Some(topology.streams);
            readings.backlogs = Some(topology.backlogs);
            readings.missing = Some(topology.missing);
        }
        if let Some(workers) = workers {
            readings.breakers = Some(self.breakers(&workers.entries));
            readings.silent = Some(workers.silent);
        }
        readings
    }

    async fn dead(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let stream = self.js.get_stream_no_info(DEAD).await?;
        let counts = stream
            .info_with_subjects("dead.>")
            .await?
            .try_collect::<Vec<_>>()
            .await?;
        Ok(counts
            .into_iter()
            .map(|(subject, count)| (subject, count as u64))
            .collect())
    }

    /// All streams and consumers are read at once.
    async fn topology(&self) -> anyhow::Result<LiveTopology> {
        let declared = topology::declared(self.streams);
        let reading = declared.keys().map(|name| async move {
            let live = match name.consumer {
                None => Live::Stream(consumer_status::stream(&self.js, name).await?),
                Some(_) => Live::Consumer(consumer_status::consumer(&self.js, name).await?),
            };
            anyhow::Ok((name, live))
        });
        let now = clock::now();
        let mut found = LiveTopology {
            streams: Vec::new(),
            backlogs: Vec::new(),
            missing: Vec::new(),
        };
        for (name, live) in try_join_all(reading).await? {
            match live {
                Live::Stream(Some(facts)) => found.streams.extend(capacity(name, &facts)),
                Live::Consumer(Some(facts)) => found.backlogs.extend(backlog(name, &facts, now)),
                Live::Stream(None) | Live::Consumer(None) => found.missing.push(path(name)),
            }
        }
        Ok(found)
    }

    /// Its own are known at once, those of other processes as they were last registered.
    fn breakers(&self, entries: &[WorkerEntry]) -> Vec<(String, breaker::BreakerReport)> {
        let own = self.process.actor.to_string();
        let others = entries.iter().filter(|entry| entry.actor != own);
        let others = others.flat_map(|entry| {
            entry
                .breakers
                .iter()
                .map(|report| (entry.actor.clone(), report.clone()))
        });
        self.process
            .breakers
            .own_reports()
            .into_iter()
            .map(|report| (own.clone(), report))
            .chain(others)
            .collect()
    }
}

/// What the server says of a stream or consumer; `None` if it does not exist.
enum Live {
    Stream(Option<StreamState>),
    Consumer(Option<ConsumerState>),
}

/// `STREAM`, or `STREAM/consumer`.
fn path(name: &ResourceName) -> String {
    let consumer = name
        .consumer
        .as_ref()
        .map(|consumer| format!("/{consumer}"))
        .unwrap_or_default();
    format!("{}{consumer}", name.stream)
}

/// Returns `None` if the stream has no bound, or drops old messages instead of refusing new ones.
fn capacity(name: &ResourceName, facts: &StreamState) -> Option<Capacity> {
    let size = facts.max_bytes.filter(|_| facts.discards_new)?;
    Some(Capacity {
        name: name.stream.clone(),
        used: facts.bytes,
        size,
    })
}

/// Returns `None` if the consumer's work is not live: a replay takes its time, and the webhook watches its own alerts.
fn backlog(name: &ResourceName, facts: &ConsumerState, now: Micros) -> Option<Backlog> {
    let consumer = path(name);
    let is_live = !consumer.ends_with("-replay") && name.stream != ADMIN;
    is_live.then(|| Backlog {
        consumer,
        messages: facts.pending + facts.ack_pending,
        oldest: facts.age(now),
    })
}

//! Looking at everything: the shell around [`super::facts`].

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use bus::facts::{self, ConsumerFacts, StreamFacts};
use bus::topology::{self, Name};
use bus::worker_registry::{self, WorkerEntry};
use bus::{ADMIN, DEAD};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use runtime::breaker;
use runtime::clock;
use runtime::process::Process;
use store::Monitoring;
use types::time::Micros;

use super::attendance::{Attendance, Silent};
use super::disks::Sources;
use super::facts::{Backlog, Bounds, Room, Seen, overdue_before};
use super::failures::Failed;

/// One question takes at most this long; what is not known then stays as it was.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks, and says aloud what cannot be known.
pub struct Gatherer<S> {
    /// Where streams and the roster are.
    pub js: jetstream::Context,
    /// Where batches are.
    pub store: S,
    /// Where disks are known from.
    pub disks: Sources,
    /// Whose breakers are known at once.
    pub process: Process,
    /// Beyond which something is a trouble.
    pub bounds: Bounds,
    /// How long a role may be silent.
    pub silent_after: Duration,
}

/// Who is alive.
pub struct Present {
    entries: Vec<WorkerEntry>,
    silent: Vec<Silent>,
}

impl<S: Monitoring> Gatherer<S> {
    /// Looks who is alive. Every watcher does it all the time, to know who was there before it got
    /// the lease.
    pub async fn worker_registry(&self, attendance: &mut Attendance) -> Option<Present> {
        let entries = asked("the list of workers", worker_registry::alive(&self.js)).await?;
        let roles = entries.iter().map(|entry| entry.role.as_str());
        let silent = attendance.look(roles, self.silent_after, clock::now());
        Some(Present { entries, silent })
    }

    /// Looks at all the rest.
    pub async fn look(&self, present: Option<Present>, rules: Vec<Failed>, now: Micros) -> Seen {
        let before = overdue_before(&self.bounds, now);
        let (dead, topology, disks, overdue) = tokio::join!(
            asked("the dead letters", self.dead()),
            asked("streams and consumers", self.topology()),
            self.disks.look(),
            asked("what is overdue", self.store.overdue(before)),
        );
        let (streams, backlogs, missing) = match topology {
            Some((streams, backlogs, missing)) => (Some(streams), Some(backlogs), Some(missing)),
            None => (None, None, None),
        };
        let (entries, silent) = present
            .map(|present| (present.entries, present.silent))
            .unzip();
        let breakers = entries.map(|entries| self.breakers(&entries));
        let disks = Some(disks);
        Seen {
            dead,
            breakers,
            backlogs,
            missing,
            streams,
            disks,
            silent,
            overdue,
            rules,
        }
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

    /// Streams that refuse when they are full, consumers of live work, and what is missing; all asked at once.
    async fn topology(&self) -> anyhow::Result<(Vec<Room>, Vec<Backlog>, Vec<String>)> {
        let asked = topology::declared().keys().map(|name| async move {
            let live = match name.consumer {
                None => Live::Stream(facts::stream(&self.js, name).await?),
                Some(_) => Live::Consumer(facts::consumer(&self.js, name).await?),
            };
            anyhow::Ok((name, live))
        });
        let now = clock::now();
        let (mut streams, mut backlogs, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (name, live) in try_join_all(asked).await? {
            match live {
                Live::Stream(Some(facts)) => streams.extend(room(name, &facts)),
                Live::Consumer(Some(facts)) => backlogs.extend(backlog(name, &facts, now)),
                Live::Stream(None) | Live::Consumer(None) => missing.push(named(name)),
            }
        }
        Ok((streams, backlogs, missing))
    }

    /// Its own are known at once, those of others as they announced them last.
    fn breakers(&self, entries: &[WorkerEntry]) -> Vec<(String, breaker::Report)> {
        let own = self.process.actor.to_string();
        let others = entries.iter().filter(|entry| entry.actor != own);
        let others = others.flat_map(|entry| {
            entry
                .breakers
                .iter()
                .map(|one| (entry.actor.clone(), one.clone()))
        });
        let here = self
            .process
            .breakers
            .own_reports()
            .into_iter()
            .map(|report| (own.clone(), report));
        here.chain(others).collect()
    }
}

/// The answer, where one comes in time.
pub async fn asked<T, E: std::fmt::Display>(
    what: &str,
    question: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the watcher cannot look at {what}; its alerts stay as they are");
            None
        }
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            tracing::warn!(
                seconds,
                "the watcher got no answer in time about {what}; its alerts stay as they are"
            );
            None
        }
    }
}

/// What the server says of a stream or consumer; `None` where it is missing.
enum Live {
    Stream(Option<StreamFacts>),
    Consumer(Option<ConsumerFacts>),
}

/// `STREAM`, or `STREAM/consumer`.
fn named(name: &Name) -> String {
    let consumer = name
        .consumer
        .as_ref()
        .map(|consumer| format!("/{consumer}"))
        .unwrap_or_default();
    format!("{}{consumer}", name.stream)
}

/// The room in a stream; `None` where it has no bound, or lets old messages go.
fn room(name: &Name, facts: &StreamFacts) -> Option<Room> {
    let size = facts.max_bytes.filter(|_| facts.refuses)?;
    Some(Room {
        name: name.stream.clone(),
        used: facts.bytes,
        size,
    })
}

/// What waits for a consumer of live work: a replay takes its time, and its own alerts are the webhook's business.
fn backlog(name: &Name, facts: &ConsumerFacts, now: Micros) -> Option<Backlog> {
    let consumer = named(name);
    let is_live = !consumer.ends_with("-replay") && name.stream != ADMIN;
    let (messages, oldest) = (facts.pending + facts.unsettled, facts.age(now));
    is_live.then_some(Backlog {
        consumer,
        messages,
        oldest,
    })
}

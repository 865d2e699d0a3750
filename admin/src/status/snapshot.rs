//! What Devtrail is doing at one moment, and how it looks to people. Pure.

use bus::store_owner::StoreOwner;
use bus::worker_registry::WorkerEntry;
use runtime::breaker::{BreakerReport, BreakerState};
use serde::Serialize;
use store::Totals;
use types::time::{Micros, parse_rfc3339};

use crate::output::{as_table, span};

/// What Devtrail is doing at one moment.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The store that the streams belong to; `None` until a worker has bound.
    pub owner: Option<OwnerStatus>,
    pub streams: Vec<StreamStatus>,
    pub consumers: Vec<ConsumerStatus>,
    pub collectors: Vec<WorkerEntry>,
    pub workers: Vec<WorkerEntry>,
    pub store: Totals,
}

#[derive(Debug, Serialize)]
pub struct OwnerStatus {
    #[serde(flatten)]
    pub owner: StoreOwner,
    /// Whether it is the store that is shown.
    pub is_this_store: bool,
}

#[derive(Debug, Serialize)]
pub struct StreamStatus {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// Whether it takes groups of messages as one; only of streams that should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_groups: Option<bool>,
}

#[derive(Debug, Serialize)]
pub struct ConsumerStatus {
    pub name: String,
    /// Not delivered yet.
    pub pending: u64,
    /// Delivered, not acknowledged yet.
    pub ack_pending: u64,
}

/// The status as tables of at most `width` with a blank line between them; `now` gives the processes' ages.
pub fn text(status: &Status, now: Micros, width: Option<u16>) -> String {
    let parts = [
        owner(status),
        streams(status, width),
        consumers(status, width),
        processes(status, now, width),
        breakers(status, width),
        store(status, width),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn owner(status: &Status) -> String {
    match &status.owner {
        None => "The streams belong to no store yet: a worker that starts takes them.".to_owned(),
        Some(OwnerStatus {
            owner,
            is_this_store: true,
        }) => format!("The streams belong to this store: {owner}."),
        Some(OwnerStatus { owner, .. }) => format!(
            "THE STREAMS BELONG TO ANOTHER STORE than the one shown here: {owner}. Look at its numbers with its \
             --database-url, or let this one take over with `devtrail streams adopt`."
        ),
    }
}

fn streams(status: &Status, width: Option<u16>) -> String {
    let rows = status.streams.iter().map(|stream| {
        let range = match stream.messages {
            0 => "–".to_owned(),
            _ => format!("{}–{}", stream.first_sequence, stream.last_sequence),
        };
        [
            stream.name.clone(),
            stream.messages.to_string(),
            format!("{} KiB", stream.bytes / 1024),
            range,
        ]
    });
    let table = as_table(
        ["STREAM", "MESSAGES", "SIZE", "SEQUENCES"],
        rows.collect(),
        width,
    );
    let singly = status
        .streams
        .iter()
        .filter(|stream| stream.takes_groups == Some(false));
    let sentences = singly.map(|stream| {
        format!(
            "The stream {} takes no atomic batches (allow_atomic is off): it gets messages one by one, which is \
             slower. Run `devtrail streams apply`.",
            stream.name
        )
    });
    std::iter::once(table)
        .chain(sentences)
        .collect::<Vec<_>>()
        .join("\n")
}

fn consumers(status: &Status, width: Option<u16>) -> String {
    let rows = status.consumers.iter();
    let rows = rows.map(|one| {
        [
            one.name.clone(),
            one.pending.to_string(),
            one.ack_pending.to_string(),
        ]
    });
    as_table(
        ["CONSUMER", "PENDING", "ACK PENDING"],
        rows.collect(),
        width,
    )
}

fn processes(status: &Status, now: Micros, width: Option<u16>) -> String {
    let age = |entry: &WorkerEntry| {
        let started = parse_rfc3339(&entry.started_at).and_then(|written| written.at);
        // Clocks of two machines differ a little: no process has a negative age.
        started.map_or_else(|| "unknown".to_owned(), |at| span((now - at).max(0)))
    };
    let rows: Vec<_> = all(status)
        .map(|entry| {
            [
                entry.role.clone(),
                entry.instance.clone(),
                entry.host.clone(),
                entry.pid.to_string(),
                age(entry),
                entry.version.clone(),
            ]
        })
        .collect();
    let none = "No worker is alive: batches are kept in the stream until one is.";
    let mut parts = Vec::new();
    if !rows.is_empty() {
        parts.push(as_table(
            ["PROCESS", "INSTANCE", "HOST", "PID", "UP FOR", "VERSION"],
            rows,
            width,
        ));
    }
    if status.workers.is_empty() {
        parts.push(none.to_owned());
    }
    parts.join("\n\n")
}

fn all(status: &Status) -> impl Iterator<Item = &WorkerEntry> {
    status.collectors.iter().chain(&status.workers)
}

/// The breakers by process, and a sentence for each that is not closed.
fn breakers(status: &Status, width: Option<u16>) -> String {
    let all: Vec<(&WorkerEntry, &BreakerReport)> = all(status)
        .flat_map(|entry| entry.breakers.iter().map(move |report| (entry, report)))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let rows = all.iter().map(|(entry, report)| {
        let state = match report.state {
            BreakerState::Open => "OPEN",
            state => state.as_str(),
        };
        [
            report.name.clone(),
            entry.role.clone(),
            entry.instance.clone(),
            state.to_owned(),
        ]
    });
    let table = as_table(
        ["BREAKER", "PROCESS", "INSTANCE", "STATE"],
        rows.collect(),
        width,
    );
    let sentences = all
        .iter()
        .filter_map(|(entry, report)| explanation(entry, report));
    std::iter::once(table)
        .chain(sentences)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What it means that a breaker is not closed.
fn explanation(entry: &WorkerEntry, report: &BreakerReport) -> Option<String> {
    let name = &report.name;
    let role = &entry.role;
    let instance = &entry.instance;
    let reason = report
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(" Last failure: {reason}."));
    match report.state {
        BreakerState::Closed => None,
        BreakerState::Open => Some(format!(
            "The breaker {name} of {role} {instance} is open: it does not try for a while.{reason}"
        )),
        BreakerState::HalfOpen => Some(format!(
            "The breaker {name} of {role} {instance} is half open: a few tries decide.{reason}"
        )),
    }
}

fn store(status: &Status, width: Option<u16>) -> String {
    let store = &status.store;
    let batches = store
        .batches
        .iter()
        .map(|(state, count)| (format!("batches {state}"), *count));
    let counts = [
        ("events", store.events),
        ("duplicates dropped", store.duplicates),
        // What was readmitted since counts here as well: `quarantine list` has what is open.
        ("ever quarantined", store.quarantined),
        ("rejected", store.rejected),
        ("developers", store.developers),
        ("normalized records", store.normalized),
        ("days with metrics", store.days),
        ("alerts that stand", store.alerts),
    ];
    let rows = batches.chain(counts.map(|(name, count)| (name.to_owned(), count)));
    as_table(
        ["STORE", "COUNT"],
        rows.map(|(name, count)| [name, count.to_string()])
            .collect(),
        width,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use types::time::SECOND;

    use super::*;

    fn worker(role: &str) -> WorkerEntry {
        WorkerEntry {
            role: role.to_owned(),
            instance: "3f9a2c01".to_owned(),
            actor: "devtrail-worker/3f9a2c01".to_owned(),
            host: "box".to_owned(),
            pid: 17,
            started_at: "1970-01-01T00:00:00Z".to_owned(),
            version: "0.1.0".to_owned(),
            breakers: Vec::new(),
        }
    }

    fn with(
        entry: WorkerEntry,
        name: &str,
        state: BreakerState,
        reason: Option<&str>,
    ) -> WorkerEntry {
        let report = BreakerReport {
            name: name.to_owned(),
            state,
            reason: reason.map(str::to_owned),
        };
        WorkerEntry {
            breakers: vec![report],
            ..entry
        }
    }

    #[test]
    fn every_part_has_its_table() {
        let status = Status {
            owner: Some(OwnerStatus {
                owner: StoreOwner {
                    store_id: "5f0c".to_owned(),
                    database: "sqlite:/data/devtrail.db".to_owned(),
                    host: "box".to_owned(),
                    since: "2026-03-01T00:00:00Z".to_owned(),
                    reason: None,
                },
                is_this_store: true,
            }),
            streams: vec![StreamStatus {
                name: "EVENTS".to_owned(),
                messages: 3,
                bytes: 4096,
                first_sequence: 1,
                last_sequence: 3,
                takes_groups: Some(false),
            }],
            consumers: vec![ConsumerStatus {
                name: "EVENTS/persist".to_owned(),
                pending: 2,
                ack_pending: 1,
            }],
            collectors: vec![with(
                worker("collector"),
                "stream",
                BreakerState::Closed,
                None,
            )],
            workers: vec![
                worker("aggregate"),
                with(
                    worker("persist"),
                    "store",
                    BreakerState::Open,
                    Some("it is away"),
                ),
            ],
            store: Totals {
                batches: BTreeMap::from([("completed".to_owned(), 1), ("failed".to_owned(), 2)]),
                events: 50,
                ..Totals::default()
            },
        };
        let expected = "
The streams belong to this store: sqlite:/data/devtrail.db on box (id 5f0c, since 2026-03-01T00:00:00Z).

 STREAM  MESSAGES  SIZE   SEQUENCES
 EVENTS  3         4 KiB  1–3
The stream EVENTS takes no atomic batches (allow_atomic is off): it gets messages one by one, which is slower. Run \
`devtrail streams apply`.

 CONSUMER        PENDING  ACK PENDING
 EVENTS/persist  2        1

 PROCESS    INSTANCE  HOST  PID  UP FOR  VERSION
 collector  3f9a2c01  box   17   1h 02m  0.1.0
 aggregate  3f9a2c01  box   17   1h 02m  0.1.0
 persist    3f9a2c01  box   17   1h 02m  0.1.0

 BREAKER  PROCESS    INSTANCE  STATE
 stream   collector  3f9a2c01  closed
 store    persist    3f9a2c01  OPEN
The breaker store of persist 3f9a2c01 is open: it does not try for a while. Last failure: it is away.

 STORE               COUNT
 batches completed   1
 batches failed      2
 events              50
 duplicates dropped  0
 ever quarantined    0
 rejected            0
 developers          0
 normalized records  0
 days with metrics   0
 alerts that stand   0
";
        assert_eq!(
            text(&status, 3725 * SECOND, None),
            expected.trim_matches('\n')
        );
    }

    #[test]
    fn no_worker_is_said_so() {
        let mut status = Status {
            owner: None,
            streams: vec![],
            consumers: vec![],
            collectors: vec![worker("collector")],
            workers: vec![],
            store: Totals::default(),
        };
        assert!(
            text(&status, 0, None).contains("No worker is alive"),
            "a collector is none"
        );
        status.workers.push(worker("all"));
        assert!(!text(&status, 0, None).contains("No worker is alive"));
    }
}

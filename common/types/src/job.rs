//! Jobs of a batch: kinds, masks, the states they lead a batch through, and what a job message says.

mod kind;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{BatchRef, DeveloperId, is_id};
use crate::time::{Micros, rfc3339};

pub use kind::{JobId, JobKind, Mask};
pub use state::{BatchState, JobProgress};

/// Of one stored event, what its batch's job message sums up.
#[derive(Debug, Clone, Copy)]
pub struct EventSummary<'a> {
    /// The event's type.
    pub kind: &'a str,
    /// The event's schema version.
    pub schema_version: &'a str,
    /// Its effective time.
    pub effective_at: Micros,
    /// Its local day.
    pub local_day: &'a str,
}

/// What every job message of a batch says of the batch (R3.3), kept on the batch row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobBody {
    /// The client's batch id.
    pub batch_id: String,
    /// The developer who sent the batch.
    pub developer: String,
    /// The batch's correlation id.
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: String,
    /// The batch: stream incarnation and sequence.
    #[serde(flatten)]
    pub batch: BatchRef,
    /// New events by type.
    pub counts_by_type: BTreeMap<String, u32>,
    /// Effective time of the first new event, RFC 3339.
    pub first_occurred_at: Option<String>,
    /// Effective time of the last new event, RFC 3339.
    pub last_occurred_at: Option<String>,
    /// Local days that new events entered or left: every window that reads one of them may change.
    pub touched_days: BTreeSet<String>,
    /// Schema versions of the new events.
    pub schema_versions: BTreeSet<String>,
}

impl JobBody {
    /// Sums up the batch's new events, which may come in any order. Times are formatted once, whatever the batch holds.
    pub fn sum_up<'e>(&mut self, events: impl IntoIterator<Item = EventSummary<'e>>) {
        let mut span: Option<(Micros, Micros)> = None;
        for event in events {
            let at = event.effective_at;
            span = span
                .map(|(first, last)| (first.min(at), last.max(at)))
                .or(Some((at, at)));
            match self.counts_by_type.get_mut(event.kind) {
                Some(count) => *count += 1,
                None => drop(self.counts_by_type.insert(event.kind.to_owned(), 1)),
            }
            insert(&mut self.touched_days, event.local_day);
            insert(&mut self.schema_versions, event.schema_version);
        }
        if let Some((first, last)) = span {
            self.first_occurred_at = Some(rfc3339(first));
            self.last_occurred_at = Some(rfc3339(last));
        }
    }
}

/// Inserts a text that is nearly always there.
fn insert(texts: &mut BTreeSet<String>, text: &str) {
    if !texts.contains(text) {
        texts.insert(text.to_owned());
    }
}

/// How many new events the job's batch has, by a message of JOBS, of which nothing else is looked at; `None` if that
/// cannot be read.
#[must_use]
pub fn new_events(payload: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Counts {
        counts_by_type: BTreeMap<String, u32>,
    }
    let Counts { counts_by_type } = serde_json::from_slice(payload).ok()?;
    Some(counts_by_type.values().copied().map(u64::from).sum())
}

/// A job message (R3.3): which job, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// The job id, also the message's `Nats-Msg-Id`.
    pub job_id: String,
    /// What is to be done.
    pub kind: JobKind,
    /// The batch.
    #[serde(flatten)]
    pub body: JobBody,
    /// The replay it belongs to; `None` for live jobs.
    pub replay_id: Option<String>,
    /// How often the job was published under ids of its own, from 1: a redrive is another attempt.
    pub attempt: u32,
}

impl JobMessage {
    /// The live job of this kind.
    #[must_use]
    pub fn live(kind: JobKind, body: JobBody) -> Self {
        Self {
            job_id: kind.id(body.batch, None),
            kind,
            body,
            replay_id: None,
            attempt: 1,
        }
    }

    /// Reads a message of JOBS.
    ///
    /// # Errors
    /// Returns a sentence if the message is not JSON of a job, or its parts do not make a subject.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let read = serde_json::from_slice(payload);
        let job: Self = read.map_err(|error| format!("the message is no job: {error}"))?;
        if !is_id(&job.job_id) || !job.replay_id.as_deref().is_none_or(is_id) {
            return Err("the message is no job: its job_id or replay_id is no id".to_owned());
        }
        let developer = job.body.developer.parse::<DeveloperId>();
        developer.map_err(|error| format!("the message is no job: {error}"))?;
        Ok(job)
    }

    /// The same job for another try: `<src>:<seq>:<kind>[:<replay_id>]:r<n>` for the n-th redrive. An id
    /// of its own, as JOBS drops one that it had within its window.
    #[must_use]
    pub fn redriven(&self) -> Self {
        let id = self.kind.id(self.body.batch, self.replay_id.as_deref());
        Self {
            job_id: format!("{id}:r{}", self.attempt),
            attempt: self.attempt.saturating_add(1),
            ..self.clone()
        }
    }

    /// The subject it is published on.
    #[must_use]
    pub fn subject(&self) -> String {
        self.kind
            .subject(self.replay_id.as_deref(), &self.body.developer)
    }
}

#[cfg(test)]
mod tests;

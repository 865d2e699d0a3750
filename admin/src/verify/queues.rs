//! The other streams: what DEAD holds instead of the store, and what is pending in REPLAY and JOBS.

use std::collections::BTreeMap;

use anyhow::Context as _;
use async_nats::jetstream::{self, stream::Stream};
use bus::{DEAD, JOBS, REPLAY, stored_messages};
use types::dead_letter::DeadLetter;
use types::id::Src;
use types::job::{JobId, JobKind, Mask};
use types::replay_pointer::{self, ReplayPointer, ReplayTarget};

use super::completion::OldestJobs;
use super::reader::{Payloads, Reader};
use crate::target::open_stream;

/// The event stream that is verified, as dead letters, jobs and pointers name it.
#[derive(Debug, Clone)]
pub struct StreamSource {
    /// Its name.
    pub stream: String,
    /// The number of its incarnation; `None` if the store has given it none.
    pub src: Option<Src>,
    /// The numbers of the other event streams.
    pub others: Vec<Src>,
}

impl StreamSource {
    /// Whether this number is its own. Without a number of its own it takes what no other stream has.
    fn is(&self, src: Src) -> bool {
        self.src
            .map_or_else(|| !self.others.contains(&src), |own| own == src)
    }
}

/// The message or job that a dead letter was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadItem {
    /// The EVENTS message of this sequence, or a pointer of a replay to it.
    Message(u64),
    /// The job of this kind of the batch with this sequence.
    Job(u64, JobKind),
}

/// The dead letters of one incarnation of an event stream, by the message or job that each was: a few bytes for each.
pub struct DeadLetterIndex {
    js: jetstream::Context,
    source: StreamSource,
    next: u64,
    /// Sequences in DEAD.
    sequences: BTreeMap<DeadItem, u64>,
}

impl DeadLetterIndex {
    /// Reads all that DEAD holds.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn read(js: &jetstream::Context, source: StreamSource) -> anyhow::Result<Self> {
        let mut index = Self {
            js: js.clone(),
            source,
            next: 1,
            sequences: BTreeMap::new(),
        };
        index.read_new().await?;
        Ok(index)
    }

    /// Reads what came since, and removes what is gone of the batches `from..=to`.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn refresh(&mut self, from: u64, to: u64) -> anyhow::Result<()> {
        let mut gone = Vec::new();
        for (item, at) in self
            .sequences
            .iter()
            .filter(|(item, _)| (from..=to).contains(&item.seq()))
        {
            if stored_messages::get(&self.js, DEAD, *at).await?.is_none() {
                gone.push(*item);
            }
        }
        for item in gone {
            self.sequences.remove(&item);
        }
        self.read_new().await
    }

    /// The sequence in DEAD of the EVENTS message `seq`, if it is there.
    pub fn message(&self, seq: u64) -> Option<u64> {
        self.sequences.get(&DeadItem::Message(seq)).copied()
    }

    /// The EVENTS messages that are there.
    pub fn messages(&self) -> impl Iterator<Item = u64> {
        self.sequences.keys().filter_map(|item| match item {
            DeadItem::Message(seq) => Some(*seq),
            DeadItem::Job(..) => None,
        })
    }

    /// The kinds of the batch's jobs that are there.
    pub fn jobs(&self, seq: u64) -> Mask {
        let there = JobKind::ALL
            .into_iter()
            .filter(|kind| self.sequences.contains_key(&DeadItem::Job(seq, *kind)));
        Mask(there.map(|kind| kind.bit().0).sum())
    }

    async fn read_new(&mut self) -> anyhow::Result<()> {
        let stream = open_stream(&self.js, DEAD).await?;
        let last = stream.cached_info().state.last_sequence;
        let mut reader = Reader::new(
            self.js.clone(),
            stream,
            self.next,
            last,
            Payloads::HeadersOnly,
        );
        loop {
            let page = reader.page().await?;
            if page.is_empty() {
                break;
            }
            for message in page {
                let at = message.seq;
                let mut item = message
                    .dead_letter()
                    .and_then(|letter| item(&letter, &self.source));
                if item.is_none() && message.subject.starts_with("dead.REPLAY.") {
                    // Its payload names the message if no header does.
                    let pointer = stored_messages::get(&self.js, DEAD, at).await?;
                    item =
                        pointer.and_then(|pointer| pointed_message(&pointer.payload, &self.source));
                }
                self.sequences.extend(item.map(|item| (item, at)));
            }
        }
        self.next = self.next.max(last + 1);
        Ok(())
    }
}

impl DeadItem {
    fn seq(self) -> u64 {
        match self {
            Self::Message(seq) | Self::Job(seq, _) => seq,
        }
    }
}

/// What the dead letter was; `None` if it is of another incarnation, or does not say.
fn item(letter: &DeadLetter, source: &StreamSource) -> Option<DeadItem> {
    let is_current = |of: Src| source.is(of);
    match letter.stream.as_str() {
        stream if stream == source.stream => {
            let seq = letter.stream_sequence?;
            letter
                .src
                .is_none_or(is_current)
                .then_some(DeadItem::Message(seq))
        }
        JOBS => {
            // A replay's job is not the batch's own.
            let job = JobId::parse(letter.message_id.as_deref()?)?;
            let is_own = job.replay_id.is_none() && is_current(job.batch.src);
            is_own.then_some(DeadItem::Job(job.batch.seq, job.kind))
        }
        REPLAY => {
            let batch = letter.context.batch?;
            is_current(batch.src).then_some(DeadItem::Message(batch.seq))
        }
        _ => None,
    }
}

/// The message that a pointer was to store again.
fn pointed_message(payload: &[u8], source: &StreamSource) -> Option<DeadItem> {
    let pointer = serde_json::from_slice::<ReplayPointer>(payload).ok()?;
    let stores = pointer.targets.contains(&ReplayTarget::Persist);
    (stores && source.is(pointer.at.src)).then_some(DeadItem::Message(pointer.at.seq))
}

/// What is pending: pointers in REPLAY and jobs in JOBS. Both are read from the leader, message by message: a work
/// queue allows no consumer beside the workers' own.
pub struct PendingWork {
    js: jetstream::Context,
    jobs: Stream,
    next: u64,
    /// Sequences in REPLAY of pointers, by the EVENTS messages that they name.
    pointers: BTreeMap<u64, u64>,
}

impl PendingWork {
    /// Opens them.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub async fn open(js: &jetstream::Context) -> anyhow::Result<Self> {
        let jobs = open_stream(js, JOBS).await?;
        Ok(Self {
            js: js.clone(),
            jobs,
            next: 1,
            pointers: BTreeMap::new(),
        })
    }

    /// Whether REPLAY held a pointer to the message `seq` at the last refresh.
    pub fn has_pointer_to(&self, seq: u64) -> bool {
        self.pointers.contains_key(&seq)
    }

    /// Reads pointers that came since, and removes what is gone of the messages `from..=to`.
    ///
    /// # Errors
    /// Returns an error if REPLAY cannot be read.
    pub async fn refresh(
        &mut self,
        source: &StreamSource,
        from: u64,
        to: u64,
    ) -> anyhow::Result<()> {
        while let Some(message) =
            stored_messages::first_from(&self.js, REPLAY, self.next, replay_pointer::SUBJECT)
                .await?
        {
            self.next = message.seq + 1;
            let pointer = serde_json::from_slice::<ReplayPointer>(&message.payload);
            // What is no pointer is dead-lettered by the workers.
            if let Ok(pointer) = pointer
                && source.is(pointer.at.src)
                && pointer.targets.contains(&ReplayTarget::Persist)
            {
                self.pointers.insert(pointer.at.seq, message.seq);
            }
        }
        let near: Vec<(u64, u64)> = self
            .pointers
            .range(from..=to)
            .map(|(seq, at)| (*seq, *at))
            .collect();
        for (seq, at) in near {
            if stored_messages::get(&self.js, REPLAY, at).await?.is_none() {
                self.pointers.remove(&seq);
            }
        }
        Ok(())
    }

    /// The last sequence of JOBS.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    pub async fn last_job(&self) -> anyhow::Result<u64> {
        Ok(self
            .jobs
            .get_info()
            .await
            .context("The stream JOBS cannot be read")?
            .state
            .last_sequence)
    }

    /// The oldest live jobs.
    ///
    /// # Errors
    /// Returns an error if JOBS cannot be read.
    pub async fn oldest_jobs(&self, since: u64) -> anyhow::Result<OldestJobs> {
        let mut oldest = [None; 3];
        for (kind, oldest) in JobKind::ALL.into_iter().zip(&mut oldest) {
            *oldest = stored_messages::first_from(&self.js, JOBS, 1, &kind.subject(None, "*"))
                .await?
                .map(|message| message.seq);
        }
        Ok(OldestJobs { since, oldest })
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use bus::stored_messages::StoredMessage;
    use bytes::Bytes;

    use super::*;

    fn source(src: Src) -> StreamSource {
        StreamSource {
            stream: "EVENTS".to_owned(),
            src: Some(src),
            others: Vec::new(),
        }
    }

    #[test]
    fn a_stream_without_a_number_takes_what_no_other_has() {
        let unseen = StreamSource {
            src: None,
            others: vec![1, 3],
            ..source(0)
        };
        assert_eq!([1, 2, 3].map(|src| unseen.is(src)), [false, true, false]);
        assert_eq!([1, 2].map(|src| source(2).is(src)), [false, true]);
    }

    fn item_of(subject: &str, headers: &[(&str, &str)]) -> Option<DeadItem> {
        let mut map = HeaderMap::new();
        headers
            .iter()
            .for_each(|(name, value)| map.insert(*name, *value));
        item(
            &StoredMessage {
                seq: 1,
                at: 0,
                subject: subject.to_owned(),
                headers: map,
                undecodable: None,
                payload: Bytes::new(),
            }
            .dead_letter()?,
            &source(2),
        )
    }

    #[test]
    fn a_dead_letter_tells_which_message_or_job_it_was() {
        let events = "dead.EVENTS.persist";
        assert_eq!(
            item_of(events, &[("Devtrail-Stream-Sequence", "7")]),
            Some(DeadItem::Message(7))
        );
        let of_incarnation = |src| {
            item_of(
                events,
                &[("Devtrail-Stream-Sequence", "7"), ("Devtrail-Src", src)],
            )
        };
        assert_eq!(
            (of_incarnation("2"), of_incarnation("1")),
            (Some(DeadItem::Message(7)), None)
        );
        let job = |id| {
            item_of(
                "dead.JOBS.alert",
                &[("Devtrail-Msg-Id", id), ("Devtrail-Stream-Sequence", "9")],
            )
        };
        assert_eq!(job("2:7:alert"), Some(DeadItem::Job(7, JobKind::Alert)));
        assert_eq!(job("2:7:alert:r3"), Some(DeadItem::Job(7, JobKind::Alert)));
        for other in [
            "1:7:alert",
            "2:7:alert:replay-1",
            "2:7:nonsense",
            "2:7:alert:x:r1",
            "nonsense",
            "",
        ] {
            assert_eq!(job(other), None, "{other}");
        }
        assert_eq!(
            item_of("dead.REPLAY.persist-replay", &[("Devtrail-Batch", "2:8")]),
            Some(DeadItem::Message(8))
        );
        assert_eq!(
            item_of("dead.REPLAY.persist-replay", &[("Devtrail-Batch", "1:8")]),
            None
        );
        assert_eq!((item_of(events, &[]), item_of("dead", &[])), (None, None));
        let another_stream = "dead.EVENTS-0-of-3.persist";
        let seq = [("Devtrail-Stream-Sequence", "7")];
        assert_eq!(item_of(another_stream, &seq), None);
    }

    #[test]
    fn a_dead_pointer_names_its_message() {
        let pointer =
            br#"{"replay_id":null,"src":2,"seq":5,"targets":["persist"],"source":"stream"}"#;
        assert_eq!(
            pointed_message(pointer, &source(2)),
            Some(DeadItem::Message(5))
        );
        assert_eq!(
            (
                pointed_message(pointer, &source(1)),
                pointed_message(b"{}", &source(2))
            ),
            (None, None)
        );
        let derives = br#"{"replay_id":"r","src":2,"seq":5,"targets":["alert"],"source":"store"}"#;
        let stored = pointed_message(derives, &source(2));
        assert_eq!(stored, None, "it stores nothing");
    }
}

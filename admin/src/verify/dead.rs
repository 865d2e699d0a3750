//! What is in DEAD, by the message or job it was: a few bytes for each.

use std::collections::BTreeMap;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream;
use bus::{DEAD, EVENTS, JOBS, REPLAY, stored};
use types::dead_letter::DeadLetter;
use types::id::Src;
use types::job::{JobKind, Mask};
use types::replay_pointer::{ReplayPointer, ReplayTarget};
use types::time::Micros;

use super::reader::{Payloads, Reader};
use super::trail::kind_of;

/// What a dead letter was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Was {
    /// The EVENTS message of this sequence, or a pointer of a replay to it.
    Message(u64),
    /// The job of this kind of the batch with this sequence.
    Job(u64, JobKind),
}

/// The dead letters of one life of EVENTS.
pub struct DeadLetters {
    js: jetstream::Context,
    src: Option<Src>,
    next: u64,
    /// Their sequences in DEAD.
    known: BTreeMap<Was, u64>,
}

impl DeadLetters {
    /// Reads all that is there; `src` is the life's number, where it has one.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn read(js: &jetstream::Context, src: Option<Src>) -> anyhow::Result<Self> {
        let mut letters = Self {
            js: js.clone(),
            src,
            next: 1,
            known: BTreeMap::new(),
        };
        letters.read_on().await?;
        Ok(letters)
    }

    /// Looks again, after something did not add up: reads what came since, and forgets what is gone of
    /// the batches from `from` to `to`.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn look_again(&mut self, from: u64, to: u64) -> anyhow::Result<()> {
        let mut gone = Vec::new();
        for (was, at) in self
            .known
            .iter()
            .filter(|(was, _)| (from..=to).contains(&was.seq()))
        {
            if stored::message(&self.js, DEAD, *at).await?.is_none() {
                gone.push(*was);
            }
        }
        for was in gone {
            self.known.remove(&was);
        }
        self.read_on().await
    }

    /// The sequence in DEAD of the EVENTS message `seq`, where it is there.
    pub fn message(&self, seq: u64) -> Option<u64> {
        self.known.get(&Was::Message(seq)).copied()
    }

    /// The EVENTS messages that are there.
    pub fn messages(&self) -> impl Iterator<Item = u64> {
        self.known.keys().filter_map(|was| match was {
            Was::Message(seq) => Some(*seq),
            Was::Job(..) => None,
        })
    }

    /// The kinds of the batch's jobs that are there.
    pub fn jobs(&self, seq: u64) -> Mask {
        let there = JobKind::ALL
            .into_iter()
            .filter(|kind| self.known.contains_key(&Was::Job(seq, *kind)));
        Mask(there.map(|kind| kind.bit().0).sum())
    }

    async fn read_on(&mut self) -> anyhow::Result<()> {
        let stream = self
            .js
            .get_stream(DEAD)
            .await
            .context("The stream DEAD cannot be read")?;
        let last = stream.cached_info().state.last_sequence;
        let mut reader = Reader::new((self.js.clone(), stream), self.next, last, Payloads::Left);
        loop {
            let page = reader.page().await?;
            if page.is_empty() {
                break;
            }
            for message in page {
                let at = message.seq;
                let letter = read(message.at, &message.subject, &message.headers);
                let mut was = letter.and_then(|letter| was(&letter, self.src));
                if was.is_none() && message.subject.starts_with("dead.REPLAY.") {
                    // Its payload names the message, where no header does.
                    let pointer = stored::message(&self.js, DEAD, at).await?;
                    was = pointer.and_then(|pointer| pointed_at(&pointer.payload, self.src));
                }
                self.known.extend(was.map(|was| (was, at)));
            }
        }
        self.next = self.next.max(last + 1);
        Ok(())
    }
}

impl Was {
    fn seq(self) -> u64 {
        match self {
            Self::Message(seq) | Self::Job(seq, _) => seq,
        }
    }
}

fn read(at: Micros, subject: &str, headers: &HeaderMap) -> Option<DeadLetter> {
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    DeadLetter::read(at, subject, header)
}

/// What the dead letter was; `None` if it is of another incarnation, or does not say.
fn was(letter: &DeadLetter, src: Option<Src>) -> Option<Was> {
    let of_this_life = |of: Src| src.is_none_or(|src| src == of);
    match letter.stream.as_str() {
        EVENTS => {
            let seq = letter.stream_sequence?;
            letter
                .src
                .is_none_or(of_this_life)
                .then_some(Was::Message(seq))
        }
        JOBS => {
            let job_id = letter.message_id.as_deref()?;
            let mut parts = job_id.split(':');
            let (of, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            // A replay's job is not the batch's own; `r<n>` is its n-th redrive.
            let is_own = parts.nth(1).is_none_or(is_redrive) && parts.next().is_none();
            (is_own && of_this_life(of)).then_some(Was::Job(seq, kind_of(job_id)?))
        }
        REPLAY => {
            let batch = letter.context.batch?;
            of_this_life(batch.src).then_some(Was::Message(batch.seq))
        }
        _ => None,
    }
}

fn is_redrive(part: &str) -> bool {
    part.strip_prefix('r')
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The message that a pointer was to store again.
fn pointed_at(payload: &[u8], src: Option<Src>) -> Option<Was> {
    let pointer = serde_json::from_slice::<ReplayPointer>(payload).ok()?;
    let stores = pointer.targets.contains(&ReplayTarget::Persist);
    (stores && src.is_none_or(|src| src == pointer.at.src)).then_some(Was::Message(pointer.at.seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn was_of(subject: &str, headers: &[(&str, &str)]) -> Option<Was> {
        let mut map = HeaderMap::new();
        headers
            .iter()
            .for_each(|(name, value)| map.insert(*name, *value));
        was(&read(0, subject, &map)?, Some(2))
    }

    #[test]
    fn a_dead_letter_tells_which_message_or_job_it_was() {
        let events = "dead.EVENTS.persist";
        assert_eq!(
            was_of(events, &[("Devtrail-Stream-Sequence", "7")]),
            Some(Was::Message(7))
        );
        let of_life = |src| {
            was_of(
                events,
                &[("Devtrail-Stream-Sequence", "7"), ("Devtrail-Src", src)],
            )
        };
        assert_eq!((of_life("2"), of_life("1")), (Some(Was::Message(7)), None));
        let job = |id| {
            was_of(
                "dead.JOBS.alert",
                &[("Devtrail-Msg-Id", id), ("Devtrail-Stream-Sequence", "9")],
            )
        };
        assert_eq!(job("2:7:alert"), Some(Was::Job(7, JobKind::Alert)));
        assert_eq!(job("2:7:alert:r3"), Some(Was::Job(7, JobKind::Alert)));
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
            was_of("dead.REPLAY.persist-replay", &[("Devtrail-Batch", "2:8")]),
            Some(Was::Message(8))
        );
        assert_eq!(
            was_of("dead.REPLAY.persist-replay", &[("Devtrail-Batch", "1:8")]),
            None
        );
        assert_eq!((was_of(events, &[]), was_of("dead", &[])), (None, None));
    }

    #[test]
    fn a_dead_pointer_names_its_message() {
        let pointer =
            br#"{"replay_id":null,"src":2,"seq":5,"targets":["persist"],"source":"stream"}"#;
        assert_eq!(pointed_at(pointer, Some(2)), Some(Was::Message(5)));
        assert_eq!(
            (pointed_at(pointer, Some(1)), pointed_at(b"{}", Some(2))),
            (None, None)
        );
        let derives = br#"{"replay_id":"r","src":2,"seq":5,"targets":["alert"],"source":"store"}"#;
        assert_eq!(pointed_at(derives, Some(2)), None, "it stores nothing");
    }
}

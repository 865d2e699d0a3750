//! How much of an event stream may be purged, and what must stay. Pure.

use std::ops::Range;
use std::time::Duration;

use store::BatchProgress;
use types::event_streams::{EventStream, StreamSequence};
use types::time::{Micros, micros};

/// From this part of `max_bytes` on, messages are purged before their retention is over (docs/protocol.md, Retention).
const FULL_PERCENT: u64 = 80;
/// The stream is then purged down to this part, so that the next message does not start it again.
const PURGED_PERCENT: u64 = 70;

/// The stream as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// The sequence of its first message.
    pub first: u64,
    pub messages: u64,
    /// On disk.
    pub bytes: u64,
    /// `None` if an administrator removed the limit.
    pub max_bytes: Option<u64>,
}

impl Fill {
    /// The used part of `max_bytes` in percent, rounded down; 0 without a limit.
    #[must_use]
    pub fn percent(&self) -> u64 {
        self.max_bytes.map_or(0, |max| part(self.bytes, 100, max))
    }

    /// Whether space counts for more than retention.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.percent() >= FULL_PERCENT
    }

    /// How many of the oldest messages must be purged to make room, by their mean size.
    fn surplus(&self) -> u64 {
        let target = self
            .max_bytes
            .map_or(u64::MAX, |max| part(max, PURGED_PERCENT, 100));
        part(self.messages, self.bytes.saturating_sub(target), self.bytes).max(1)
    }
}

/// `whole × numerator ÷ denominator` without overflow.
fn part(whole: u64, numerator: u64, denominator: u64) -> u64 {
    let part = u128::from(whole) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Up to which message nothing need be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeLimit {
    /// Messages published before this time may be purged.
    pub before: Micros,
    /// So may messages with a sequence below this one, however new.
    pub below: u64,
}

impl PurgeLimit {
    /// The limit for a stream that is this full; `keep` is the retention, `None` for unlimited.
    /// Returns `None` if everything must be kept.
    #[must_use]
    pub fn of(fill: &Fill, keep: Option<Duration>, now: Micros) -> Option<Self> {
        let before = keep.map_or(Micros::MIN, |keep| now.saturating_sub(micros(keep)));
        let below = if fill.is_nearly_full() {
            fill.first.saturating_add(fill.surplus())
        } else {
            0
        };
        (keep.is_some() || below > 0).then_some(Self { before, below })
    }

    fn covers(&self, stage: &BatchProgress) -> bool {
        stage.published_at < self.before || stage.seq < self.below
    }
}

/// The first sequence that must stay, according to the stored batches. `stages` are those from `from` on.
/// If they have gaps, only the stream knows whether a message is there.
#[must_use]
pub fn keep_from(from: u64, stages: &[BatchProgress], limit: &PurgeLimit) -> u64 {
    let gone = stages
        .iter()
        .take_while(|stage| stage.is_done && limit.covers(stage));
    gone.last().map_or(from, |last| last.seq + 1)
}

/// Why the stream's first message cannot be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocker {
    /// A message without a batch: dead-lettered, or not stored yet.
    Unstored(u64),
    /// A job of the batch is in DEAD.
    Failed(u64),
    /// The batch is not completed.
    Unfinished(u64),
}

impl Blocker {
    /// The blocker at `from`. `stages` are the rows from there on. `message` is the first message at `from` or above,
    /// if it comes before the first row.
    #[must_use]
    pub fn at(from: u64, stages: &[BatchProgress], message: Option<u64>) -> Self {
        match (message, stages.first()) {
            (Some(seq), _) => Self::Unstored(seq),
            (None, None) => Self::Unstored(from),
            (None, Some(row)) if row.is_failed => Self::Failed(row.seq),
            (None, Some(row)) => Self::Unfinished(row.seq),
        }
    }
}

impl Blocker {
    /// What it is in this stream, and what to do about it.
    #[must_use]
    pub fn sentence(self, stream: EventStream) -> String {
        let written = |seq| StreamSequence::new(stream.to_string(), seq);
        match self {
            Self::Unstored(seq) => format!(
                "message {} is not stored. If `devtrail dead list --stream {stream}` names it, \
                 `devtrail dead redrive` or `devtrail dead drop` the dead letter; else start persist workers, or look \
                 why they do not store it",
                written(seq)
            ),
            Self::Failed(seq) => format!(
                "a job of batch {} was dead-lettered. Look at `devtrail dead list --stream JOBS`, then \
                 `devtrail dead redrive` or `devtrail dead drop` the dead letter",
                written(seq)
            ),
            Self::Unfinished(seq) => {
                let seq = written(seq);
                format!(
                    "batch {seq} is not completed. Start workers of every role, and look at `devtrail trace seq:{seq}`"
                )
            }
        }
    }
}

/// The sequences of `from..to` that have no batch. A message at one of them is not stored.
#[must_use]
pub fn gaps(from: u64, to: u64, stages: &[BatchProgress]) -> Vec<Range<u64>> {
    let below = stages
        .iter()
        .map(|stage| stage.seq)
        .take_while(|seq| *seq < to);
    let mut next = from;
    let mut gaps = Vec::new();
    for seq in below.chain([to]) {
        if next < seq {
            gaps.push(next..seq);
        }
        next = seq + 1;
    }
    gaps
}

#[cfg(test)]
mod tests;

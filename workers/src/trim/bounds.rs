//! How much of EVENTS may go: which messages nobody wants any more, and which must stay. Pure.

use std::ops::Range;
use std::time::Duration;

use store::BatchProgress;
use types::time::Micros;

/// Above this part of `max_bytes` the retention bound yields (docs/protocol.md, Retention).
const FULL_PERCENT: u64 = 80;
/// Down to this part it is then trimmed, so that the next message does not begin it anew.
const TRIMMED_PERCENT: u64 = 70;

/// The stream as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Sequence of its first message.
    pub first: u64,
    /// Its messages.
    pub messages: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Its bound in bytes; `None` where an administrator took it away.
    pub max_bytes: Option<u64>,
}

impl Fill {
    /// How much of the bound is taken, in percent, rounded down; 0 where there is no bound.
    #[must_use]
    pub fn percent(&self) -> u64 {
        self.max_bytes.map_or(0, |max| part(self.bytes, 100, max))
    }

    /// Whether the retention bound yields.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.percent() >= FULL_PERCENT
    }

    /// How many of the oldest messages are to go so that there is room again, by their mean size.
    fn surplus(&self) -> u64 {
        let wanted = self
            .max_bytes
            .map_or(u64::MAX, |max| part(max, TRIMMED_PERCENT, 100));
        part(self.messages, self.bytes.saturating_sub(wanted), self.bytes).max(1)
    }
}

/// `whole × numerator ÷ denominator` without overflow.
fn part(whole: u64, numerator: u64, denominator: u64) -> u64 {
    let part = u128::from(whole) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Which messages are not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Those that the stream had before this time.
    pub before: Micros,
    /// And those with a sequence below this one, whenever they came.
    pub below: u64,
}

impl Wish {
    /// What is not wanted of a stream that is this full; `keep` is the retention, `None` for ever.
    /// `None` where all is wanted.
    #[must_use]
    pub fn of(fill: &Fill, keep: Option<Duration>, now: Micros) -> Option<Self> {
        let kept = |keep: Duration| i64::try_from(keep.as_micros()).unwrap_or(Micros::MAX);
        let before = keep.map_or(Micros::MIN, |keep| now.saturating_sub(kept(keep)));
        let below = if fill.is_pressed() {
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

/// The first sequence that must stay, as far as the stored batches tell: `stages` are those from
/// `from` on. Where they have gaps, only the stream knows whether a message is there.
#[must_use]
pub fn keep_from(from: u64, stages: &[BatchProgress], wish: &Wish) -> u64 {
    let gone = stages
        .iter()
        .take_while(|stage| stage.is_done && wish.covers(stage));
    gone.last().map_or(from, |last| last.seq + 1)
}

/// What the stream's first message hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// A message without a batch: dead, or not stored yet.
    Unstored(u64),
    /// A job of the batch is in DEAD.
    Failed(u64),
    /// The batch is not completed.
    Unfinished(u64),
}

impl Blocks {
    /// What is at `from`, where nothing may go: `stages` are the rows from there on, `message` is the first
    /// message at `from` or above it, where that comes before the first row.
    #[must_use]
    pub fn by(from: u64, stages: &[BatchProgress], message: Option<u64>) -> Self {
        match (message, stages.first()) {
            (Some(seq), _) => Self::Unstored(seq),
            (None, None) => Self::Unstored(from),
            (None, Some(row)) if row.is_failed => Self::Failed(row.seq),
            (None, Some(row)) => Self::Unfinished(row.seq),
        }
    }
}

impl std::fmt::Display for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unstored(seq) => write!(
                f,
                "message {seq} is not stored. Where `devtrail dead list --stream EVENTS` names it, `devtrail dead redrive` or \
                 `devtrail dead drop` the letter; else start persist workers, or look why they do not store it"
            ),
            Self::Failed(seq) => write!(
                f,
                "a job of batch {seq} gave up. Look at `devtrail dead list --stream JOBS`, then `devtrail dead redrive` or \
                 `devtrail dead drop` the letter"
            ),
            Self::Unfinished(seq) => write!(
                f,
                "batch {seq} is not completed. Start workers of every role, and look at `devtrail trace seq:{seq}`"
            ),
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

//! The walk along stream and store, stretch by stretch.
//!
//! Devtrail works on meanwhile: what does not add up is looked at again before it is called a
//! finding, and what may be on its way is waited for.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use indicatif::ProgressBar;
use runtime::clock;
use store::{Account, Retention, VerifyReads};
use tokio::time::{Instant, MissedTickBehavior};
use types::batch::{self, BadMessage, Batch};
use types::id::{BatchRef, Src};
use types::stream::StreamIncarnation;

use super::account::Elsewhere;
use super::dead::DeadLetters;
use super::findings::{Checked, Found};
use super::queues::Queues;
use super::reader::{Payloads, Reader};
use super::stretches::{HOLE, Stretch, stretches};
use super::stuck::{self, Lanes, Patience};
use super::{account, trail};

/// The time between two looks at what does not add up yet.
const AGAIN: Duration = Duration::from_millis(100);

/// A message as read from the stream.
pub type Message = (u64, Result<Batch, BadMessage>);

/// A walk under way.
pub struct Walk<'a, L> {
    ledger: &'a L,
    js: jetstream::Context,
    incarnation: StreamIncarnation,
    stream: Stream,
    /// The life's number, once the store has given it one.
    src: Option<Src>,
    dead: DeadLetters,
    queues: Queues,
    wait: Duration,
    /// Until then, what may be on its way is waited for.
    deadline: Instant,
    progress: &'a ProgressBar,
    as_json: bool,
    /// Messages so far.
    pub messages: u64,
    /// What came of it so far.
    pub found: Found,
}

/// Where the stream begins and ends, as far as a row without its message may lie outside.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: u64,
    /// `None` where rows above are not looked at.
    last: Option<u64>,
}

impl<'a, L: VerifyReads + Retention> Walk<'a, L> {
    /// A walk along the life of the stream.
    ///
    /// # Errors
    /// Where DEAD or the store cannot be read.
    pub async fn new(
        (js, stream, incarnation): (&jetstream::Context, Stream, StreamIncarnation),
        ledger: &'a L,
        wait: Duration,
        (progress, as_json): (&'a ProgressBar, bool),
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + wait;
        let src = ledger.known_source(&incarnation).await?;
        let dead = DeadLetters::read(js, src).await?;
        let (queues, found) = (Queues::open(js).await?, Found::default());
        Ok(Self {
            ledger,
            js: js.clone(),
            incarnation,
            stream,
            src,
            dead,
            queues,
            wait,
            deadline,
            progress,
            as_json,
            messages: 0,
            found,
        })
    }

    /// Checks the messages of `from..=last`, and what the store has there.
    ///
    /// # Errors
    /// Where stream or store cannot be read, or stdout written.
    pub async fn along(&mut self, from: u64, last: u64) -> anyhow::Result<()> {
        let mut reader = Reader::new(
            (self.js.clone(), self.stream.clone()),
            from,
            last,
            Payloads::Read,
        )
        .apart(self.dead.messages());
        let mut next = from;
        let mut page = reader.page().await?;
        while !page.is_empty() {
            self.messages += page.len() as u64;
            let messages = page
                .into_iter()
                .map(|message| (message.seq, batch::decode(message.payload)));
            let (parts, after) = stretches(next, messages.collect());
            let read = async { reader.page().await };
            let check = async {
                for part in parts {
                    self.stretch(part).await?;
                }
                anyhow::Ok(())
            };
            let (read, checked) = tokio::join!(read, check);
            checked?;
            (page, next) = (read?, after);
        }
        if next <= last {
            self.stretch(Stretch {
                from: next,
                to: last,
                messages: Vec::new(),
            })
            .await?;
        }
        Ok(())
    }

    /// Checks what the store has beyond the stream's last message: then the stream was put back to an
    /// older state.
    ///
    /// # Errors
    /// Where stream or store cannot be read, or stdout written.
    pub async fn beyond(&mut self) -> anyhow::Result<()> {
        let Some(src) = self.known().await? else {
            return Ok(());
        };
        let mut from = self.extent(true).await?.last.unwrap_or_default() + 1;
        while let Some(stored) = self.ledger.next_stored(src, from).await? {
            let part = Stretch {
                from: stored,
                to: stored.saturating_add(HOLE - 1),
                messages: Vec::new(),
            };
            let before = self.found.finding_count;
            from = part.to.saturating_add(1);
            self.settle(&part, true).await?;
            if self.found.finding_count == before {
                // It was live traffic, which goes on.
                break;
            }
        }
        Ok(())
    }

    async fn stretch(&mut self, part: Stretch<Message>) -> anyhow::Result<()> {
        let width = part.to - part.from + 1;
        if !part.messages.is_empty() || width <= HOLE {
            self.settle(&part, false).await?;
        } else if let Some(src) = self.known().await? {
            // A wide hole: only where the store has anything. Mostly it is what was trimmed since the walk
            // began, and then nothing of it is to be read.
            let mut from = part.from.max(self.extent(false).await?.first);
            while let Some(stored) = self
                .ledger
                .next_stored(src, from)
                .await?
                .filter(|seq| *seq <= part.to)
            {
                let to = (stored + HOLE - 1).min(part.to);
                self.settle(
                    &Stretch {
                        from: stored,
                        to,
                        messages: Vec::new(),
                    },
                    false,
                )
                .await?;
                from = to + 1;
            }
        }
        self.progress.inc(width);
        Ok(())
    }

    /// Looks until the stretch adds up, or is not going to.
    async fn settle(&mut self, part: &Stretch<Message>, is_beyond: bool) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(AGAIN);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut extent = Extent {
            first: 0,
            last: None,
        };
        let (mut is_first, mut since) = (true, None);
        loop {
            looks.tick().await;
            let lanes = match since {
                Some(since) => Some(self.queues.lanes(since).await?),
                None => None,
            };
            let accounts = match self.known().await? {
                // A life the store never saw has no number: nothing of it is stored.
                None => Vec::new(),
                Some(src) => self.ledger.accounts(src, part.from, part.to).await?,
            };
            if !is_first {
                // After the rows: what they are of was in the stream before.
                extent = self.extent(is_beyond).await?;
            }
            let checked = self.look(part, accounts, extent, lanes.as_ref());
            let may_pass = checked.waits || checked.findings.iter().any(|finding| finding.may_pass);
            let is_settled = !may_pass || Instant::now() >= self.deadline;
            if (checked.findings.is_empty() && !checked.waits) || (is_settled && !is_first) {
                return Ok(self.found.add(checked, self.progress, self.as_json)?);
            }
            is_first = false;
            if since.is_none() && checked.waits {
                since = Some(self.queues.last_job().await?);
            }
            // In the order in which a letter goes that is redriven: DEAD, REPLAY, the store.
            self.dead.look_again(part.from, part.to).await?;
            self.queues
                .look_again(self.src, (part.from, part.to))
                .await?;
        }
    }

    /// Holds messages against accounts.
    fn look(
        &self,
        part: &Stretch<Message>,
        accounts: Vec<Account>,
        extent: Extent,
        lanes: Option<&Lanes>,
    ) -> Checked {
        let patience = Patience {
            now: clock::now(),
            wait: self.wait,
        };
        let mut checked = Checked::default();
        let has_message =
            |seq: u64| seq < extent.first || extent.last.is_some_and(|last| seq <= last);
        let surplus = |account: &Account, checked: &mut Checked| {
            if account.is_stored() && !has_message(account.at.seq) {
                account::surplus(account, checked);
            }
        };
        let mut accounts = accounts.into_iter().peekable();
        for (seq, message) in &part.messages {
            while let Some(account) = accounts.next_if(|account| account.at.seq < *seq) {
                surplus(&account, &mut checked);
            }
            let account = accounts.next_if(|account| account.at.seq == *seq);
            let at = BatchRef {
                src: self.src.unwrap_or_default(),
                seq: *seq,
            };
            account::check(
                at,
                message,
                account.as_ref(),
                self.elsewhere(*seq),
                &mut checked,
            );
            if let Some(account) = account {
                let dead = self.dead.jobs(*seq);
                trail::check(&account, dead, &mut checked);
                stuck::check(&account, dead, patience, lanes, &mut checked);
            }
        }
        accounts.for_each(|account| surplus(&account, &mut checked));
        checked
    }

    fn elsewhere(&self, seq: u64) -> Elsewhere {
        match self.dead.message(seq) {
            Some(dead) => Elsewhere::InDead(dead),
            None if self.queues.point_at(seq) => Elsewhere::OnTheWay,
            None => Elsewhere::Not,
        }
    }

    /// Where the stream begins and, if rows beyond its end are looked at, ends.
    async fn extent(&self, is_beyond: bool) -> anyhow::Result<Extent> {
        let info = self
            .stream
            .get_info()
            .await
            .context("The stream EVENTS cannot be read")?;
        let last = is_beyond.then_some(info.state.last_sequence);
        Ok(Extent {
            first: info.state.first_sequence,
            last,
        })
    }

    async fn known(&mut self) -> anyhow::Result<Option<Src>> {
        if self.src.is_none() {
            self.src = self.ledger.known_source(&self.incarnation).await?;
        }
        Ok(self.src)
    }
}

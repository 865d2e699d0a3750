//! Goes along stream and store, range by range, and compares them.
//!
//! Devtrail works on meanwhile: what may resolve is checked again before it is a finding, and what is pending is
//! awaited.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use bus::EVENTS;
use indicatif::ProgressBar;
use runtime::clock;
use store::{Account, Retention, VerifyReads};
use tokio::time::{Instant, MissedTickBehavior};
use types::batch::{self, BadMessage, Batch};
use types::id::{BatchRef, Src};
use types::stream::StreamIncarnation;

use super::audit_trail;
use super::completion::{self, OldestJobs, WaitLimit};
use super::findings::{CheckResult, Findings};
use super::placement::{self, Whereabouts};
use super::queues::{DeadLetterIndex, PendingWork};
use super::ranges::{MAX_GAP, SeqRange, split_into_ranges};
use super::reader::{Payloads, Reader};
use crate::target::open_stream;

/// The time between two checks of what may resolve.
const RECHECK: Duration = Duration::from_millis(100);

/// A message as read from the stream.
pub type Message = (u64, Result<Batch, BadMessage>);

/// One incarnation of EVENTS.
pub struct VerifiedStream {
    pub js: jetstream::Context,
    pub stream: Stream,
    pub incarnation: StreamIncarnation,
}

impl VerifiedStream {
    /// Opens the stream.
    ///
    /// # Errors
    /// Returns an error if it is missing or unsafe, or the server does not answer.
    pub async fn open(js: jetstream::Context) -> anyhow::Result<Self> {
        Ok(Self {
            incarnation: bus::bind_stream(&js, EVENTS).await?,
            stream: open_stream(&js, EVENTS).await?,
            js,
        })
    }
}

/// How to verify, and how to show it.
pub struct VerifyOptions<'a> {
    /// How long pending batches may take.
    pub wait: Duration,
    pub progress: &'a ProgressBar,
    pub as_json: bool,
}

/// Goes along stream and store, range by range.
pub struct VerifyCursor<'a, L> {
    store: &'a L,
    events: VerifiedStream,
    /// The incarnation's number, once the store has given it one.
    src: Option<Src>,
    dead: DeadLetterIndex,
    pending_work: PendingWork,
    options: VerifyOptions<'a>,
    /// Until then, what may resolve is checked again.
    deadline: Instant,
    /// Messages so far.
    pub messages: u64,
    pub findings: Findings,
}

/// The first and last sequence of the stream: a row outside of them may be without its message.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: u64,
    /// `None` if rows above are not checked.
    last: Option<u64>,
}

impl<'a, L: VerifyReads + Retention> VerifyCursor<'a, L> {
    /// Reads DEAD, and opens the other streams.
    ///
    /// # Errors
    /// Returns an error if DEAD or the store cannot be read.
    pub async fn open(
        events: VerifiedStream,
        store: &'a L,
        options: VerifyOptions<'a>,
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + options.wait;
        let src = store.known_source(&events.incarnation).await?;
        let dead = DeadLetterIndex::read(&events.js, src).await?;
        let pending_work = PendingWork::open(&events.js).await?;
        Ok(Self {
            store,
            events,
            src,
            dead,
            pending_work,
            options,
            deadline,
            messages: 0,
            findings: Findings::default(),
        })
    }

    /// Checks the messages of `from..=last`, and what the store has there.
    ///
    /// # Errors
    /// Returns an error if stream or store cannot be read, or stdout written.
    pub async fn check_range(&mut self, from: u64, last: u64) -> anyhow::Result<()> {
        let mut reader = Reader::new(
            self.events.js.clone(),
            self.events.stream.clone(),
            from,
            last,
            Payloads::Read,
        )
        .reading_singly(self.dead.messages());
        let mut next = from;
        let mut page = reader.page().await?;
        while !page.is_empty() {
            self.messages += page.len() as u64;
            let messages = page
                .into_iter()
                .map(|message| (message.seq, batch::decode(message.payload)));
            let split = split_into_ranges(next, messages.collect());
            let read = async { reader.page().await };
            let check = async {
                for range in split.ranges {
                    self.check_part(range).await?;
                }
                anyhow::Ok(())
            };
            let (read, checked) = tokio::join!(read, check);
            checked?;
            page = read?;
            next = split.next;
        }
        if next <= last {
            self.check_part(SeqRange {
                from: next,
                to: last,
                messages: Vec::new(),
            })
            .await?;
        }
        Ok(())
    }

    /// Checks what the store has beyond the stream's last message: then the stream was restored to an older state.
    ///
    /// # Errors
    /// Returns an error if stream or store cannot be read, or stdout written.
    pub async fn check_beyond_end(&mut self) -> anyhow::Result<()> {
        let Some(src) = self.source_number().await? else {
            return Ok(());
        };
        let mut from = self.extent(true).await?.last.unwrap_or_default() + 1;
        while let Some(stored) = self.store.next_stored(src, from).await? {
            let range = SeqRange {
                from: stored,
                to: stored.saturating_add(MAX_GAP - 1),
                messages: Vec::new(),
            };
            let before = self.findings.finding_count;
            from = range.to.saturating_add(1);
            self.check_until_settled(&range, true).await?;
            if self.findings.finding_count == before {
                // It was live traffic, which goes on.
                break;
            }
        }
        Ok(())
    }

    async fn check_part(&mut self, range: SeqRange<Message>) -> anyhow::Result<()> {
        let width = range.to - range.from + 1;
        if !range.messages.is_empty() || width <= MAX_GAP {
            self.check_until_settled(&range, false).await?;
        } else if let Some(src) = self.source_number().await? {
            // A wide gap: only what the store has is checked. Mostly the gap was purged since verify began, and nothing
            // of it is read.
            let mut from = range.from.max(self.extent(false).await?.first);
            while let Some(stored) = self
                .store
                .next_stored(src, from)
                .await?
                .filter(|seq| *seq <= range.to)
            {
                let to = (stored + MAX_GAP - 1).min(range.to);
                self.check_until_settled(
                    &SeqRange {
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
        self.options.progress.inc(width);
        Ok(())
    }

    /// Checks a range until nothing of it may resolve, or the wait is over.
    async fn check_until_settled(
        &mut self,
        range: &SeqRange<Message>,
        is_beyond: bool,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(RECHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut extent = Extent {
            first: 0,
            last: None,
        };
        let mut is_first = true;
        let mut since = None;
        loop {
            ticks.tick().await;
            let oldest_jobs = match since {
                Some(since) => Some(self.pending_work.oldest_jobs(since).await?),
                None => None,
            };
            let accounts = match self.source_number().await? {
                // An incarnation that the store never saw has no number: nothing of it is stored.
                None => Vec::new(),
                Some(src) => self.store.accounts(src, range.from, range.to).await?,
            };
            if !is_first {
                // After the rows: their messages were in the stream before.
                extent = self.extent(is_beyond).await?;
            }
            let checked = self.compare(range, accounts, extent, oldest_jobs.as_ref());
            let may_resolve =
                checked.is_pending || checked.findings.iter().any(|finding| finding.may_resolve);
            let is_settled = !may_resolve || Instant::now() >= self.deadline;
            if (checked.findings.is_empty() && !checked.is_pending) || (is_settled && !is_first) {
                return Ok(self.findings.add(
                    checked,
                    self.options.progress,
                    self.options.as_json,
                )?);
            }
            is_first = false;
            if since.is_none() && checked.is_pending {
                since = Some(self.pending_work.last_job().await?);
            }
            // In the order in which a redriven dead letter goes: DEAD, REPLAY, the store.
            self.dead.refresh(range.from, range.to).await?;
            self.pending_work
                .refresh(self.src, range.from, range.to)
                .await?;
        }
    }

    /// Compares messages with accounts.
    fn compare(
        &self,
        range: &SeqRange<Message>,
        accounts: Vec<Account>,
        extent: Extent,
        oldest_jobs: Option<&OldestJobs>,
    ) -> CheckResult {
        let limit = WaitLimit {
            now: clock::now(),
            wait: self.options.wait,
        };
        let mut checked = CheckResult::default();
        let has_message =
            |seq: u64| seq < extent.first || extent.last.is_some_and(|last| seq <= last);
        let surplus = |account: &Account, checked: &mut CheckResult| {
            if account.is_stored() && !has_message(account.at.seq) {
                placement::surplus(account, checked);
            }
        };
        let mut accounts = accounts.into_iter().peekable();
        for (seq, message) in &range.messages {
            while let Some(account) = accounts.next_if(|account| account.at.seq < *seq) {
                surplus(&account, &mut checked);
            }
            let account = accounts.next_if(|account| account.at.seq == *seq);
            let at = BatchRef {
                src: self.src.unwrap_or_default(),
                seq: *seq,
            };
            placement::check(
                at,
                message,
                account.as_ref(),
                self.whereabouts(*seq),
                &mut checked,
            );
            if let Some(account) = account {
                let dead = self.dead.jobs(*seq);
                audit_trail::check(&account, dead, &mut checked);
                completion::check(&account, dead, limit, oldest_jobs, &mut checked);
            }
        }
        accounts.for_each(|account| surplus(&account, &mut checked));
        checked
    }

    fn whereabouts(&self, seq: u64) -> Whereabouts {
        match self.dead.message(seq) {
            Some(dead) => Whereabouts::InDead(dead),
            None if self.pending_work.has_pointer_to(seq) => Whereabouts::Pending,
            None => Whereabouts::Nowhere,
        }
    }

    /// The present first and, if rows beyond the end are checked, last sequence of the stream.
    async fn extent(&self, is_beyond: bool) -> anyhow::Result<Extent> {
        let info = self
            .events
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

    async fn source_number(&mut self) -> anyhow::Result<Option<Src>> {
        if self.src.is_none() {
            self.src = self.store.known_source(&self.events.incarnation).await?;
        }
        Ok(self.src)
    }
}

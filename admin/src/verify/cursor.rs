//! Goes along stream and store, range by range, and compares them.
//!
//! Devtrail works on meanwhile: what may resolve is checked again before it is a finding, and what is pending is
//! awaited.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use indicatif::ProgressBar;
use runtime::clock;
use store::{Account, Identity, Retention, SeqGap, VerifyReads};
use tokio::time::{Instant, MissedTickBehavior};
use types::batch::{self, BadMessage, Batch};
use types::event_streams::EventStream;
use types::id::{BatchRef, Src};
use types::stream::StreamIncarnation;

use super::audit_trail;
use super::completion::{self, OldestJobs, WaitLimit};
use super::findings::{CheckResult, Findings};
use super::holes::holes;
use super::placement::{self, Whereabouts};
use super::queues::{DeadLetterIndex, PendingWork, StreamSource};
use super::ranges::{MAX_GAP, SeqRange, split_into_ranges};
use super::reader::{Payloads, Reader};
use crate::target::open_stream;

/// The time between two checks of what may resolve.
const RECHECK: Duration = Duration::from_millis(100);

/// A message as read from the stream.
pub type Message = (u64, Result<Batch, BadMessage>);

/// One incarnation of an event stream.
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
    pub async fn open(js: jetstream::Context, stream: EventStream) -> anyhow::Result<Self> {
        let name = stream.to_string();
        Ok(Self {
            incarnation: bus::bind_stream(&js, &name).await?,
            stream: open_stream(&js, &name).await?,
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
    source: StreamSource,
    dead: DeadLetterIndex,
    pending_work: PendingWork,
    options: VerifyOptions<'a>,
    /// Until then, what may resolve is checked again.
    deadline: Instant,
    /// Messages so far.
    pub messages: u64,
    findings: &'a mut Findings,
}

/// Sequences in which gaps of the store are looked for at once.
const CHUNK: u64 = 100_000;
/// Most gaps of a chunk that are looked into at once.
const GAPS: u32 = 1_000;

/// What is looked for in a range of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Each sequence has its message, or a reason to have none.
    Whole,
    /// Only what the store has there; what it lacks was looked for.
    Stored,
    /// What the store has beyond the stream's last message.
    Beyond,
}

/// The first and last sequence of the stream: a row outside of them may be without its message.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: u64,
    /// `None` if rows above are not checked.
    last: Option<u64>,
}

impl<'a, L: VerifyReads + Retention + Identity> VerifyCursor<'a, L> {
    /// Reads DEAD, and opens the other streams.
    ///
    /// # Errors
    /// Returns an error if DEAD or the store cannot be read.
    pub async fn open(
        events: VerifiedStream,
        source: StreamSource,
        store: &'a L,
        options: VerifyOptions<'a>,
        findings: &'a mut Findings,
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + options.wait;
        let dead = DeadLetterIndex::read(&events.js, source.clone()).await?;
        let pending_work = PendingWork::open(&events.js).await?;
        Ok(Self {
            store,
            events,
            source,
            dead,
            pending_work,
            options,
            deadline,
            messages: 0,
            findings,
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
            self.check_until_settled(&range, Scope::Beyond).await?;
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
            self.check_until_settled(&range, Scope::Whole).await?;
        } else {
            self.check_wide_gap(&range).await?;
        }
        self.options.progress.inc(width);
        Ok(())
    }

    /// Checks that what was purged before verify began was stored, or dropped by an administrator.
    ///
    /// # Errors
    /// Returns an error if stream or store cannot be read, or stdout written.
    pub async fn check_below_first(&mut self, first: u64) -> anyhow::Result<()> {
        if let Some(src) = self.source_number().await? {
            // It took the stream over when this was purged: the other store had it.
            if self.store.is_adopted(src).await? {
                return Ok(());
            }
        }
        self.report_holes(1, first.saturating_sub(1)).await
    }

    /// Reports the sequences in `from..=to`, which have no message, that nothing explains.
    async fn report_holes(&mut self, from: u64, to: u64) -> anyhow::Result<()> {
        let mut next = from;
        while next <= to {
            let end = to.min(next.saturating_add(CHUNK - 1));
            let src = self.source_number().await?;
            let whole = SeqGap {
                from: next,
                to: end,
            };
            // Most is stored: the store says where it is not.
            let gaps = match src {
                Some(src) => self.store.gaps(src, next, end, GAPS).await?,
                None => vec![whole],
            };
            let is_cut = gaps.len() == GAPS as usize;
            let end = gaps.last().filter(|_| is_cut).map_or(end, |last| last.to);
            let mut checked = CheckResult::default();
            for gap in gaps {
                let explained = match src {
                    Some(src) => self.store.explained(src, gap.from, gap.to).await?,
                    None => Vec::new(),
                };
                let explained = self.with_dead(explained, gap);
                for hole in holes(gap.from, gap.to, explained) {
                    checked.counts.lost += hole.len();
                    checked.report(hole.text(&self.events.incarnation.name));
                }
            }
            self.findings
                .add(checked, self.options.progress, self.options.as_json)?;
            next = end + 1;
        }
        Ok(())
    }

    /// What is explained, with the messages of the gap that are in DEAD: that holds them whole.
    fn with_dead(&self, mut explained: Vec<u64>, gap: SeqGap) -> Vec<u64> {
        let dead = self.dead.messages();
        explained.extend(dead.filter(|seq| (gap.from..=gap.to).contains(seq)));
        explained.sort_unstable();
        explained
    }

    async fn check_wide_gap(&mut self, range: &SeqRange<Message>) -> anyhow::Result<()> {
        // Mostly the gap was purged since verify began, and nothing of it is read.
        let first = self.extent(false).await?.first;
        self.report_holes(range.from.max(first), range.to).await?;
        if let Some(src) = self.source_number().await? {
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
                    Scope::Stored,
                )
                .await?;
                from = to + 1;
            }
        }
        Ok(())
    }

    /// Checks a range until nothing of it may resolve, or the wait is over.
    async fn check_until_settled(
        &mut self,
        range: &SeqRange<Message>,
        scope: Scope,
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
                extent = self.extent(scope == Scope::Beyond).await?;
            }
            let mut checked = self.compare(range, &accounts, extent, oldest_jobs.as_ref());
            if scope == Scope::Whole {
                self.find_holes(range, &accounts, extent, &mut checked);
            }
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
                .refresh(&self.source, range.from, range.to)
                .await?;
        }
    }

    /// Compares messages with accounts.
    fn compare(
        &self,
        range: &SeqRange<Message>,
        accounts: &[Account],
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
        let mut accounts = accounts.iter().peekable();
        for (seq, message) in &range.messages {
            while let Some(account) = accounts.next_if(|account| account.at.seq < *seq) {
                surplus(account, &mut checked);
            }
            let account = accounts.next_if(|account| account.at.seq == *seq);
            let at = BatchRef {
                src: self.source.src.unwrap_or_default(),
                seq: *seq,
            };
            placement::check(at, message, account, self.whereabouts(*seq), &mut checked);
            if let Some(account) = account {
                let dead = self.dead.jobs(*seq);
                audit_trail::check(account, dead, &mut checked);
                completion::check(account, dead, limit, oldest_jobs, &mut checked);
            }
        }
        accounts.for_each(|account| surplus(account, &mut checked));
        checked
    }

    /// Suspects each sequence of the range that has no message, if nothing explains that. What was purged since is
    /// none.
    fn find_holes(
        &self,
        range: &SeqRange<Message>,
        accounts: &[Account],
        extent: Extent,
        checked: &mut CheckResult,
    ) {
        let is_explained = |account: &&Account| {
            account.is_stored() || account.steps.iter().any(|taken| taken.step == "dropped")
        };
        let messages = range.messages.iter().map(|(seq, _)| *seq);
        let explained = accounts.iter().filter(is_explained);
        let accounted = messages.chain(explained.map(|account| account.at.seq));
        let whole = SeqGap {
            from: range.from.max(extent.first),
            to: range.to,
        };
        let accounted = self.with_dead(accounted.collect(), whole);
        let accounted = accounted.into_iter().filter(|seq| *seq >= whole.from);
        for hole in holes(whole.from, whole.to, accounted) {
            checked.counts.lost += hole.len();
            checked.suspect(hole.text(&self.events.incarnation.name));
        }
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
            .with_context(|| format!("The stream {} cannot be read", self.source.stream))?;
        let last = is_beyond.then_some(info.state.last_sequence);
        Ok(Extent {
            first: info.state.first_sequence,
            last,
        })
    }

    async fn source_number(&mut self) -> anyhow::Result<Option<Src>> {
        if self.source.src.is_none() {
            self.source.src = self.store.known_source(&self.events.incarnation).await?;
        }
        Ok(self.source.src)
    }
}

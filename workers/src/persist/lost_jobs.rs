//! Jobs that were published, and are neither in JOBS nor done: the stream was deleted or restored to an older state.
//! Their batches would stay `triggered` indefinitely; so the jobs are published again.
//!
//! JOBS deletes a job once it is acked, and it is acked once the store has it as done. So where the stream has no older
//! job of a kind, a batch that waits for one has lost it. Such a batch is claimed in one statement, after that look: a
//! job that was acked before is done by then. Publishing a job twice is harmless: the ledger knows it.

use std::time::Duration;

use anyhow::Context as _;
use bus::{JOBS, bind_stream, stored_messages};
use runtime::clock;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::Outbox;
use tokio::time::{MissedTickBehavior, interval};
use types::job::{JobKind, Mask};
use types::stream::StreamIncarnation;
use types::time::{Micros, SECOND};

use super::job_outbox::JobOutbox;
use crate::outbox_relay::RelayedOutbox;

/// The time between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Clocks of workers may differ by so much.
const CLOCKS: Micros = 10 * SECOND;
/// Most batches of one sweep.
const CLAIM: u32 = 500;

/// The end of JOBS at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    incarnation: StreamIncarnation,
    last: u64,
    at: Micros,
}

/// Publishes lost jobs again.
pub struct LostJobs<S> {
    outbox: JobOutbox<S>,
    /// Jobs that were published before it are being waited for.
    mark: Option<Mark>,
}

impl<S: Outbox> LostJobs<S> {
    pub fn new(outbox: JobOutbox<S>) -> Self {
        Self { outbox, mark: None }
    }

    /// Sweeps until the process stops.
    pub async fn run(mut self, retry: RetryPolicy, shutdown: Shutdown) {
        let mut backoff = retry.backoff(&shutdown);
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { _ = ticks.tick() => {}, () = shutdown.draining() => return }
            let token = shutdown.drain_token();
            match token.run_until_cancelled_owned(self.sweep()).await {
                Some(Err(error)) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "lost jobs cannot be looked for; trying again");
                    backoff.wait().await;
                }
                Some(Ok(())) => backoff.reset(),
                None => return,
            }
        }
    }

    async fn sweep(&mut self) -> anyhow::Result<()> {
        let Some(mark) = self.mark.take() else {
            self.mark = Some(self.end().await?);
            return Ok(());
        };
        let oldest = self.oldest().await?;
        let now = self.end().await?;
        let passed = if now.incarnation == mark.incarnation {
            passed(&mark, oldest)
        } else {
            Mask::NONE
        };
        if passed == Mask::NONE {
            // Older jobs wait: what was lost among them shows once they are done.
            self.mark = Some(if now.incarnation == mark.incarnation {
                mark
            } else {
                now
            });
            return Ok(());
        }
        self.mark = Some(now);
        self.publish_again(&mark, passed).await
    }

    async fn publish_again(&self, mark: &Mark, kinds: Mask) -> anyhow::Result<()> {
        let outbox = &self.outbox;
        let before = mark.at - CLOCKS;
        let lost = outbox.store.claim_unfinished(before, kinds, CLAIM).await?;
        let Some(first) = lost.first() else {
            return Ok(());
        };
        tracing::warn!(
            batches = lost.len(),
            first = %first.body.batch,
            "jobs of batches are neither in JOBS nor done; publishing them again"
        );
        for group in lost.chunks(JobOutbox::<S>::GROUP) {
            let mut published = Vec::with_capacity(group.len());
            for result in outbox.publish(group.to_vec()).await {
                match result {
                    Ok(triggered) => published.push(triggered),
                    Err(error) => tracing::warn!(%error, "a lost job was not published"),
                }
            }
            outbox.store.mark_retriggered(published).await?;
        }
        Ok(())
    }

    /// The present end of JOBS.
    async fn end(&self) -> anyhow::Result<Mark> {
        let js = &self.outbox.js;
        let at = clock::now();
        let incarnation = bind_stream(js, JOBS).await?;
        let stream = js
            .get_stream(JOBS)
            .await
            .context("the stream JOBS cannot be read")?;
        let last = stream.cached_info().state.last_sequence;
        Ok(Mark {
            incarnation,
            last,
            at,
        })
    }

    /// The sequence of the oldest live job of each kind, in the order of [`JobKind::ALL`].
    async fn oldest(&self) -> anyhow::Result<[Option<u64>; 3]> {
        let mut oldest = [None; 3];
        for (kind, oldest) in JobKind::ALL.into_iter().zip(&mut oldest) {
            let subject = kind.subject(None, "*");
            let found = stored_messages::first_from(&self.outbox.js, JOBS, 1, &subject).await?;
            *oldest = found.map(|message| message.seq);
        }
        Ok(oldest)
    }
}

/// The kinds of which JOBS has no job any more from before the mark.
fn passed(mark: &Mark, oldest: [Option<u64>; 3]) -> Mask {
    let kinds = JobKind::ALL.into_iter().zip(oldest);
    let passed = kinds.filter(|(_, oldest)| oldest.is_none_or(|oldest| oldest > mark.last));
    Mask(passed.map(|(kind, _)| kind.bit().0).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_passed_once_no_older_job_of_it_is_left() {
        let mark = Mark {
            incarnation: StreamIncarnation {
                name: JOBS.to_owned(),
                created: 1,
            },
            last: 10,
            at: 0,
        };
        assert_eq!(passed(&mark, [None, Some(11), Some(10)]), Mask(1 | 2));
        assert_eq!(passed(&mark, [Some(1), Some(1), Some(1)]), Mask::NONE);
    }
}

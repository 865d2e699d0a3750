//! What is on its way: the pointers that wait in REPLAY, and the oldest jobs in JOBS.

use std::collections::BTreeMap;

use anyhow::Context as _;
use async_nats::jetstream::{self, stream::Stream};
use bus::{JOBS, REPLAY, stored};
use types::id::Src;
use types::job::JobKind;
use types::replay_pointer::{self, ReplayPointer, ReplayTarget};

use super::stuck::Lanes;

/// Both streams. They are read by the leader, message by message: a work queue gives no consumer beside
/// the workers' own.
pub struct Queues {
    js: jetstream::Context,
    jobs: Stream,
    next: u64,
    /// The places in REPLAY of pointers to messages of EVENTS, by these.
    pointers: BTreeMap<u64, u64>,
}

impl Queues {
    /// Opens them.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn open(js: &jetstream::Context) -> anyhow::Result<Self> {
        let jobs = js
            .get_stream(JOBS)
            .await
            .context("The stream JOBS cannot be read")?;
        Ok(Self {
            js: js.clone(),
            jobs,
            next: 1,
            pointers: BTreeMap::new(),
        })
    }

    /// Whether a pointer to the message `seq` waited when it was last looked.
    pub fn point_at(&self, seq: u64) -> bool {
        self.pointers.contains_key(&seq)
    }

    /// Looks again for pointers: reads what came since, and forgets what is gone of `from..=to`.
    ///
    /// # Errors
    /// Where REPLAY cannot be read.
    pub async fn look_again(
        &mut self,
        src: Option<Src>,
        (from, to): (u64, u64),
    ) -> anyhow::Result<()> {
        while let Some(message) =
            stored::first_from(&self.js, REPLAY, self.next, replay_pointer::SUBJECT).await?
        {
            self.next = message.seq + 1;
            let pointer = serde_json::from_slice::<ReplayPointer>(&message.payload);
            // What is no pointer is given up by the workers.
            if let Ok(pointer) = pointer
                && src.is_none_or(|src| src == pointer.at.src)
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
            if stored::message(&self.js, REPLAY, at).await?.is_none() {
                self.pointers.remove(&seq);
            }
        }
        Ok(())
    }

    /// The last sequence of JOBS.
    ///
    /// # Errors
    /// Where it cannot be read.
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
    /// Where JOBS cannot be read.
    pub async fn lanes(&self, since: u64) -> anyhow::Result<Lanes> {
        let mut oldest = [None; 3];
        for (kind, oldest) in JobKind::ALL.into_iter().zip(&mut oldest) {
            *oldest = stored::first_from(&self.js, JOBS, 1, &kind.subject(None, "*"))
                .await?
                .map(|message| message.seq);
        }
        Ok(Lanes { since, oldest })
    }
}

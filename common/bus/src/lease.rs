//! A lease: work that one process at a time does for all.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    kv::{self, Operation, UpdateErrorKind},
};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::worker_registry::{FAREWELL, Failures, RENEWALS, RegistryError, failed, open};

/// Held by one process at a time, for as long as that renews it.
///
/// The holder stops believing in it when four fifths of its life have passed since it *began* the
/// last renewal, the server gives it away after the whole of it: no two ever hold it at once, as
/// long as their clocks run at about the same speed. (A machine that was suspended may believe for
/// a moment; so what is done under a lease must be harmless when done twice.)
///
/// Dropped, it runs out within the life of an entry; [`Lease::release`] gives it up at once.
#[derive(Debug)]
pub struct Lease {
    until: watch::Receiver<Option<Instant>>,
    release: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Lease {
    /// Tries for the lease `name` from now on, and keeps it once it has it. `holder` tells people
    /// who has it. Must be called in a runtime.
    #[must_use]
    pub fn hold(js: jetstream::Context, name: &str, holder: &str) -> Self {
        // The token tells two leases of one holder apart.
        let value = json!({"holder": holder, "token": Uuid::new_v4()}).to_string();
        let entry = Entry {
            js,
            key: format!("lease.{name}"),
            value: value.into(),
        };
        let (held, until) = watch::channel(None);
        let release = CancellationToken::new();
        let keeper = tokio::spawn(keep(entry, held, release.clone()));
        Self {
            until,
            release,
            keeper,
        }
    }

    /// Whether this process holds it. Costs next to nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        is_held(*self.until.borrow())
    }

    /// Waits until this process holds it.
    pub async fn held(&self) {
        let mut until = self.until.clone();
        // The keeper ends only with the lease.
        let _ = until.wait_for(|until| is_held(*until)).await;
    }

    /// Gives it up, so that another process can have it at once.
    pub async fn release(mut self) {
        self.release.cancel();
        // It ends by itself; the bound is its own.
        let _ = (&mut self.keeper).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn is_held(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

/// The entry that stands for the lease while this process holds it.
struct Entry {
    js: jetstream::Context,
    key: String,
    value: Bytes,
}

/// How a turn ended.
struct Turn {
    /// The revision that the entry has, where it is this process's.
    revision: Option<u64>,
    /// How long entries live.
    incarnation: Duration,
}

async fn keep(entry: Entry, held: watch::Sender<Option<Instant>>, release: CancellationToken) {
    let (mut revision, mut failures) = (None, Failures::default());
    loop {
        let began = Instant::now();
        let Some(turn) = release.run_until_cancelled(entry.turn(revision)).await else {
            break;
        };
        let had = revision.is_some();
        let pause = turn.map(|turn| {
            revision = turn.revision;
            held.send_replace(revision.map(|_| began + turn.incarnation * 4 / 5));
            // Just lost: it may be that an answer of the server got lost, so look at once.
            if had && revision.is_none() {
                Duration::ZERO
            } else {
                turn.incarnation / RENEWALS
            }
        });
        let pause = failures.pause_after(pause, &entry.key);
        let pause = tokio::time::sleep(pause); // sleep: the time between two renewals
        release.run_until_cancelled(pause).await;
    }
    held.send_replace(None);
    if let Some(revision) = revision {
        match tokio::time::timeout(FAREWELL, entry.give_up(revision)).await {
            Ok(Ok(())) => {}
            not_taken => {
                tracing::debug!(?not_taken, key = entry.key, "the lease is left to expire")
            }
        }
    }
}

impl Entry {
    /// Renews the entry of this revision, or takes the lease where nobody has it.
    async fn turn(&self, revision: Option<u64>) -> Result<Turn, RegistryError> {
        let (bucket, incarnation) = open(&self.js).await?;
        let expected = match revision {
            Some(revision) => Some(revision),
            None => self.free(&bucket).await?,
        };
        let Some(expected) = expected else {
            return Ok(Turn {
                revision: None,
                incarnation,
            });
        };
        match bucket.update(&self.key, self.value.clone(), expected).await {
            Ok(revision) => Ok(Turn {
                revision: Some(revision),
                incarnation,
            }),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(Turn {
                revision: None,
                incarnation,
            }),
            Err(error) => Err(failed(error)),
        }
    }

    /// The revision to replace, where nobody else holds the lease: 0 where there is no entry.
    async fn free(&self, bucket: &kv::Store) -> Result<Option<u64>, RegistryError> {
        Ok(match bucket.entry(&self.key).await.map_err(failed)? {
            None => Some(0),
            Some(entry) if entry.operation != Operation::Put || entry.value == self.value => {
                Some(entry.revision)
            }
            Some(_) => None,
        })
    }

    async fn give_up(&self, revision: u64) -> Result<(), RegistryError> {
        let (bucket, _) = open(&self.js).await?;
        bucket
            .purge_expect_revision(&self.key, Some(revision))
            .await
            .map_err(failed)
    }
}

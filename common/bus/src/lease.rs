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

use crate::worker_registry::{
    Bucket, REMOVE_TIMEOUT, RENEWALS, RegistryError, RenewalPause, failed,
};

/// Held by one process at a time, for as long as that renews it. An entry of the bucket `workers` represents it.
///
/// The owner stops relying on it when four fifths of the entry's lifetime have passed since it *began* the
/// last renewal; the server drops the entry after the whole of it. So no two own it at once, as
/// long as their clocks run at about the same speed. (A machine that was suspended may rely on it for
/// a moment; so what is done under a lease must be harmless when done twice.)
///
/// Dropped, it expires within the lifetime of an entry; [`Lease::release`] frees it at once.
#[derive(Debug)]
pub struct Lease {
    until: watch::Receiver<Option<Instant>>,
    release: CancellationToken,
    renewer: JoinHandle<()>,
}

impl Lease {
    /// Tries to acquire the lease `name` from now on, and renews it then. `owner` says to people
    /// who has it. Must be called in a runtime.
    #[must_use]
    pub fn hold(js: jetstream::Context, name: &str, owner: &str) -> Self {
        // The token distinguishes two leases of one owner.
        let value = json!({"owner": owner, "token": Uuid::new_v4()}).to_string();
        let entry = Entry {
            js,
            key: format!("lease.{name}"),
            value: value.into(),
        };
        let (held, until) = watch::channel(None);
        let release = CancellationToken::new();
        let renewer = tokio::spawn(renew(entry, held, release.clone()));
        Self {
            until,
            release,
            renewer,
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
        // The renewer ends only with the lease.
        let _ = until.wait_for(|until| is_held(*until)).await;
    }

    /// Frees it, so that another process can acquire it at once.
    pub async fn release(mut self) {
        self.release.cancel();
        // It ends by itself; the bound is its own.
        let _ = (&mut self.renewer).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

fn is_held(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

/// The entry that represents the lease while this process holds it.
struct Entry {
    js: jetstream::Context,
    key: String,
    value: Bytes,
}

/// How a renewal ended.
struct Renewal {
    /// The revision of the entry, if it is this process's.
    revision: Option<u64>,
    /// How long entries live.
    lifetime: Duration,
}

async fn renew(entry: Entry, held: watch::Sender<Option<Instant>>, release: CancellationToken) {
    let mut revision = None;
    let mut renewal_pause = RenewalPause::default();
    loop {
        let began = Instant::now();
        let Some(renewal) = release.run_until_cancelled(entry.renew(revision)).await else {
            break;
        };
        let had = revision.is_some();
        let pause = renewal.map(|renewal| {
            revision = renewal.revision;
            held.send_replace(revision.map(|_| began + renewal.lifetime * 4 / 5));
            // Just lost: a reply of the server may have got lost, so try again at once.
            if had && revision.is_none() {
                Duration::ZERO
            } else {
                renewal.lifetime / RENEWALS
            }
        });
        let pause = renewal_pause.after(pause, &entry.key);
        let pause = tokio::time::sleep(pause); // sleep: the time between two renewals
        release.run_until_cancelled(pause).await;
    }
    held.send_replace(None);
    if let Some(revision) = revision {
        match tokio::time::timeout(REMOVE_TIMEOUT, entry.remove(revision)).await {
            Ok(Ok(())) => {}
            failed => {
                tracing::debug!(?failed, key = entry.key, "the lease is left to expire");
            }
        }
    }
}

impl Entry {
    /// Renews the entry of this revision, or acquires the lease if it is free.
    async fn renew(&self, revision: Option<u64>) -> Result<Renewal, RegistryError> {
        let Bucket { store, lifetime } = Bucket::open(&self.js).await?;
        let renewal = |revision| Renewal { revision, lifetime };
        let expected = match revision {
            Some(revision) => Some(revision),
            None => self.free_revision(&store).await?,
        };
        let Some(expected) = expected else {
            return Ok(renewal(None));
        };
        match store.update(&self.key, self.value.clone(), expected).await {
            Ok(revision) => Ok(renewal(Some(revision))),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(renewal(None)),
            Err(error) => Err(failed(error)),
        }
    }

    /// The revision to replace, 0 if there is no entry; `None` if another process holds the lease.
    async fn free_revision(&self, store: &kv::Store) -> Result<Option<u64>, RegistryError> {
        Ok(match store.entry(&self.key).await.map_err(failed)? {
            None => Some(0),
            Some(entry) if entry.operation != Operation::Put || entry.value == self.value => {
                Some(entry.revision)
            }
            Some(_) => None,
        })
    }

    async fn remove(&self, revision: u64) -> Result<(), RegistryError> {
        let Bucket { store, .. } = Bucket::open(&self.js).await?;
        store
            .purge_expect_revision(&self.key, Some(revision))
            .await
            .map_err(failed)
    }
}

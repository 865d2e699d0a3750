//! Who sends: API keys from the bucket `api_keys`, watched, so that changes are live within a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::{self, kv};
use common::id::DeveloperId;
use common::key::{BUCKET, DeveloperRecord, KeyRecord, Scope, digest};
use common::process::Stop;
use common::retry::RetryPolicy;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::sync::watch;

use crate::App;
use crate::error::{ErrorCode, Problem};

/// The keys as they are now. Cheap to clone; all clones see the same.
#[derive(Clone, Default)]
pub struct Keys(Arc<RwLock<Table>>);

#[derive(Default)]
struct Table {
    keys: HashMap<String, KeyRecord>,
    epochs: HashMap<String, u64>,
}

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's developer.
    pub developer: DeveloperId,
    /// The developer's epoch.
    pub epoch: u64,
    /// What the key may do.
    pub scopes: Vec<Scope>,
}

/// Finds out whose request it is, and whether its key may do what `scope` stands for.
///
/// # Errors
/// 401 without a valid key, 403 without the scope; 503 while the keys are not loaded: a good key must
/// not look revoked then.
pub fn authenticate(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Caller, Problem> {
    let unknown = |detail: &str| Problem::new(ErrorCode::Unauthenticated, detail);
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, key) = value.and_then(|value| value.split_once(' ')).ok_or_else(|| {
        unknown("The header Authorization: Bearer <key> is missing. `devtrail keys create` makes a key.")
    })?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown("Authorization must have the form Bearer <key>."));
    }
    if !*app.keys_loaded.borrow() {
        let detail = "The API keys are not loaded yet: this collector is starting, or NATS is away.";
        return Err(Problem::new(ErrorCode::StreamUnavailable, detail));
    }
    let caller = app.keys.find(key.trim()).ok_or_else(|| {
        unknown("The API key is unknown or revoked. `devtrail keys create` makes a new one.")
    })?;
    if caller.scopes.contains(&scope) {
        return Ok(caller);
    }
    let detail = format!(
        "The key lacks the scope {scope}: use a key that has it; `devtrail keys create` makes one.",
        scope = scope.as_str()
    );
    Err(Problem::new(ErrorCode::ScopeMissing, detail))
}

impl Keys {
    /// Looks a key up by its SHA-256: equal time whatever the key, since a hash table of digests
    /// tells nothing about keys.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Caller> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let record = table.keys.get(&digest(key))?;
        let epoch = table.epochs.get(record.developer.as_str()).copied().unwrap_or_default();
        Some(Caller { developer: record.developer.clone(), epoch, scopes: record.scopes.clone() })
    }

    /// Follows the bucket until the process stops; `loaded` turns true once all keys are known.
    pub async fn follow(self, js: jetstream::Context, loaded: watch::Sender<bool>, stop: Stop) {
        for attempt in 0.. {
            tokio::select! {
                ended = self.watch(&js, &loaded) => {
                    tracing::warn!(reason = %ended, "the watch on API keys ended; the keys known stay valid meanwhile");
                }
                () = stop.draining() => return,
            }
            tokio::select! { () = RetryPolicy::DEFAULT.pause(attempt.min(4)) => {}, () = stop.draining() => return }
        }
    }

    /// Reads all of the bucket into a fresh table, then applies changes. Returns why it ended.
    async fn watch(&self, js: &jetstream::Context, loaded: &watch::Sender<bool>) -> async_nats::Error {
        let run = async {
            let bucket = js.get_key_value(BUCKET).await?;
            let mut changes = bucket.watch_with_history(">").await?;
            let mut fresh = Table::default();
            // An empty bucket sends nothing: there is no last entry to wait for.
            let mut complete = bucket.status().await?.values() == 0;
            loop {
                if complete {
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut fresh);
                    loaded.send_replace(true);
                    break;
                }
                let entry = changes.next().await.ok_or("the watch ended")??;
                complete = entry.delta == 0;
                fresh.apply(&entry);
            }
            while let Some(entry) = changes.next().await {
                self.0.write().unwrap_or_else(PoisonError::into_inner).apply(&entry?);
            }
            Err::<std::convert::Infallible, async_nats::Error>("the watch ended".into())
        };
        match run.await {
            Err(error) => error,
        }
    }
}

impl Table {
    fn apply(&mut self, entry: &kv::Entry) {
        let gone = entry.operation != kv::Operation::Put;
        if let Some(digest) = entry.key.strip_prefix("key.") {
            match serde_json::from_slice::<KeyRecord>(&entry.value) {
                Ok(record) if !gone => drop(self.keys.insert(digest.to_owned(), record)),
                parsed => {
                    // Unreadable counts as revoked: a damaged entry must not keep an old key alive.
                    self.keys.remove(digest);
                    if let (false, Err(error)) = (gone, parsed) {
                        tracing::error!(entry = entry.key, %error, "an API key's record cannot be read: the key is refused");
                    }
                }
            }
        } else if let Some(developer) = entry.key.strip_prefix("developer.") {
            match serde_json::from_slice::<DeveloperRecord>(&entry.value) {
                Ok(record) => drop(self.epochs.insert(developer.to_owned(), record.epoch)),
                Err(error) => {
                    tracing::error!(entry = entry.key, %error, "a developer's record cannot be read");
                }
            }
        }
    }
}

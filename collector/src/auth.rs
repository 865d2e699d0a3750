//! Who sends: API keys from the bucket `api_keys`, watched, so that changes are live within a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use async_nats::jetstream::{self, kv};
use futures_util::StreamExt;
use governor::clock::MonotonicClock;
use http::{HeaderMap, header};
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use types::id::DeveloperId;
use types::key::{BUCKET, DeveloperRecord, KeyRecord, Scope, digest};

use crate::app::App;
use crate::rate::{Meter, Policy};
use http_server::{ErrorCode, Problem};

/// The keys as they are now. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub struct Keys {
    table: Arc<RwLock<Table>>,
    defaults: Defaults,
}

/// What holds for a key that does not say otherwise.
#[derive(Debug, Clone, Copy)]
struct Defaults {
    /// Events a second; 0: no limit.
    rate: u32,
    max_events: usize,
}

#[derive(Default)]
struct Table {
    keys: HashMap<String, Key>,
    epochs: HashMap<String, u64>,
}

/// A key, and what it has sent of late.
struct Key {
    record: KeyRecord,
    /// None where it has no limit.
    meter: Option<Arc<Meter>>,
}

/// Whose request it is.
#[derive(Debug)]
pub struct Caller {
    /// The key's developer.
    pub developer: DeveloperId,
    /// The developer's epoch.
    pub epoch: u64,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// Counts the key's events; none where it has no limit.
    pub meter: Option<Arc<Meter>>,
}

/// Finds out whose request it is, and whether its key may do what `scope` stands for.
///
/// # Errors
/// 401 without a valid key, 403 without the scope; 503 while the keys are not loaded: a good key must
/// not look revoked then.
pub fn authenticate(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Caller, Problem> {
    let unknown = |detail: &str| Problem::new(ErrorCode::Unauthenticated, detail);
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, key) = value.and_then(|value| value.split_once(' ')).ok_or_else(|| {
        unknown("The header Authorization: Bearer <key> is missing. `devtrail keys create` makes a key.")
    })?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown("Authorization must have the form Bearer <key>."));
    }
    if !*app.keys_loaded.borrow() {
        let detail =
            "The API keys are not loaded yet: this collector is starting, or NATS is away.";
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
    /// No keys yet. A key without a rate of its own may send `rate` events a second (0: no limit), and any key
    /// at least `max_events` at once.
    #[must_use]
    pub fn new(rate: u32, max_events: usize) -> Self {
        Self {
            table: Arc::default(),
            defaults: Defaults { rate, max_events },
        }
    }

    /// Looks a key up by its SHA-256: equal time whatever the key, since a hash table of digests
    /// tells nothing about keys.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Caller> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Key { record, meter } = table.keys.get(&digest(key))?;
        let epoch = table
            .epochs
            .get(record.developer.as_str())
            .copied()
            .unwrap_or_default();
        let (developer, scopes) = (record.developer.clone(), record.scopes.clone());
        Some(Caller {
            developer,
            epoch,
            scopes,
            meter: meter.clone(),
        })
    }

    /// Follows the bucket until the process stops; `loaded` turns true once all keys are known.
    pub async fn follow(
        self,
        js: jetstream::Context,
        loaded: watch::Sender<bool>,
        pauses: RetryPolicy,
        shutdown: Shutdown,
    ) {
        for attempt in 0.. {
            tokio::select! {
                ended = self.watch(&js, &loaded) => {
                    tracing::warn!(reason = %ended, "the watch on API keys ended; the keys known stay valid meanwhile");
                }
                () = shutdown.draining() => return,
            }
            tokio::select! { () = pauses.pause(attempt.min(4)) => {}, () = shutdown.draining() => return }
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a table in the place of the one before. What its keys have sent stays counted: reading the bucket
    /// again, as after each reconnect, must not let everyone send a burst.
    fn replace(&self, mut fresh: Table) {
        let mut table = self.write();
        for (digest, key) in &mut fresh.keys {
            key.keep_meter_of(table.keys.get(digest));
        }
        *table = fresh;
    }

    /// Reads all of the bucket into a fresh table, then applies changes. Returns why it ended.
    async fn watch(
        &self,
        js: &jetstream::Context,
        loaded: &watch::Sender<bool>,
    ) -> async_nats::Error {
        let run = async {
            let bucket = js.get_key_value(BUCKET).await?;
            let mut changes = bucket.watch_with_history(">").await?;
            let mut fresh = Table::default();
            // An empty bucket sends nothing: there is no last entry to wait for.
            let mut complete = bucket.status().await?.values() == 0;
            loop {
                if complete {
                    self.replace(std::mem::take(&mut fresh));
                    loaded.send_replace(true);
                    break;
                }
                let entry = changes.next().await.ok_or("the watch ended")??;
                complete = entry.delta == 0;
                fresh.apply(&entry, self.defaults);
            }
            while let Some(entry) = changes.next().await {
                self.write().apply(&entry?, self.defaults);
            }
            Err::<std::convert::Infallible, async_nats::Error>("the watch ended".into())
        };
        match run.await {
            Err(error) => error,
        }
    }
}

impl Key {
    fn new(record: KeyRecord, defaults: Defaults) -> Self {
        let policy = Policy::of(record.rate.unwrap_or(defaults.rate), defaults.max_events);
        Self {
            record,
            meter: policy.map(|policy| Arc::new(Meter::new(policy, MonotonicClock))),
        }
    }

    /// What was counted stays counted, unless the rate itself has changed.
    fn keep_meter_of(&mut self, before: Option<&Self>) {
        let policy = |key: &Self| key.meter.as_ref().map(|meter| meter.policy());
        if let Some(before) = before.filter(|before| policy(before) == policy(self)) {
            self.meter.clone_from(&before.meter);
        }
    }
}

impl Table {
    fn apply(&mut self, entry: &kv::Entry, defaults: Defaults) {
        let gone = entry.operation != kv::Operation::Put;
        if let Some(digest) = entry.key.strip_prefix("key.") {
            match serde_json::from_slice::<KeyRecord>(&entry.value) {
                Ok(record) if !gone => {
                    let mut key = Key::new(record, defaults);
                    key.keep_meter_of(self.keys.get(digest));
                    self.keys.insert(digest.to_owned(), key);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults {
        rate: 1,
        max_events: 10,
    };

    fn record(rate: Option<u32>) -> KeyRecord {
        let developer = "ada".parse().unwrap();
        KeyRecord {
            developer,
            scopes: vec![Scope::EventsWrite],
            rate,
            created_at: String::new(),
        }
    }

    fn table(keys: &[(&str, Option<u32>)]) -> Table {
        let key =
            |(name, rate): &(&str, Option<u32>)| (digest(name), Key::new(record(*rate), DEFAULTS));
        Table {
            keys: keys.iter().map(key).collect(),
            epochs: HashMap::new(),
        }
    }

    fn passes(keys: &Keys, key: &str, events: usize) -> bool {
        keys.find(key)
            .unwrap()
            .meter
            .is_none_or(|meter| meter.charge(events).is_ok())
    }

    #[test]
    fn what_keys_have_sent_outlives_a_reading_of_the_bucket_and_ends_with_their_rate() {
        let keys = Keys::new(DEFAULTS.rate, DEFAULTS.max_events);
        keys.replace(table(&[
            ("default", None),
            ("own", Some(2)),
            ("free", Some(0)),
        ]));
        for (key, more) in [("default", false), ("own", false), ("free", true)] {
            assert!(passes(&keys, key, 10), "{key}");
            assert_eq!(passes(&keys, key, 10), more, "{key}");
        }
        // A key's meter is its own; the default written out is the same rate.
        keys.replace(table(&[
            ("default", Some(1)),
            ("own", Some(3)),
            ("new", None),
        ]));
        for (key, more) in [("default", false), ("own", true), ("new", true)] {
            assert_eq!(passes(&keys, key, 10), more, "{key}");
        }
        assert!(keys.find("free").is_none());
    }
}

//! The API keys of the bucket `api_keys`, watched, so that changes are live within a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use async_nats::jetstream::kv;
use governor::clock::MonotonicClock;
use http_server::client_address::ClientAddress;
use types::api_key::{ApiKeyRecord, BUCKET, DeveloperRecord, Scope, digest};
use types::id::DeveloperId;

use crate::rate_limit::{RateLimitPolicy, RateLimiter};
use crate::settings_mirror::SettingsMirror;
use bus::bucket_mirror::BucketMirror;

/// The keys as they are now. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub struct ApiKeys {
    table: Arc<RwLock<Table>>,
    defaults: Defaults,
    settings: SettingsMirror,
}

/// The limits of a key that has none of its own.
#[derive(Debug, Clone, Copy)]
struct Defaults {
    /// Events a second; 0: no limit.
    rate: u32,
    max_events: usize,
}

/// What the bucket holds.
#[derive(Default)]
pub struct Table {
    keys: HashMap<String, Key>,
    epochs: HashMap<String, u64>,
}

/// A key, and what it has sent lately.
struct Key {
    record: ApiKeyRecord,
    digest: Arc<str>,
    /// `None`: no limit.
    rate_limiter: Option<Arc<RateLimiter>>,
}

/// The sender of a request, as its key tells.
#[derive(Debug)]
pub struct Caller {
    pub developer: DeveloperId,
    /// The developer's epoch.
    pub epoch: u64,
    /// The IANA zone that the developer has set.
    pub zone: Option<String>,
    pub scopes: Vec<Scope>,
    /// Counts the key's events; `None`: no limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    /// The key's digest.
    pub key: Arc<str>,
    /// Where the request came from.
    pub address: ClientAddress,
}

impl ApiKeys {
    /// No keys yet. A key without a rate of its own may send `rate` events a second (0: no limit), and any key
    /// at least `max_events` at once.
    #[must_use]
    pub fn new(rate: u32, max_events: usize, settings: SettingsMirror) -> Self {
        Self {
            table: Arc::default(),
            defaults: Defaults { rate, max_events },
            settings,
        }
    }

    /// Looks a key up by its SHA-256. The time it takes tells nothing about keys: the table holds digests.
    #[must_use]
    pub fn find(&self, key: &str, address: ClientAddress) -> Option<Caller> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Key {
            record,
            digest,
            rate_limiter,
        } = table.keys.get(&digest(key))?;
        let epoch = table
            .epochs
            .get(record.developer.as_str())
            .copied()
            .unwrap_or_default();
        Some(Caller {
            developer: record.developer.clone(),
            epoch,
            zone: self.settings.zone(&record.developer),
            scopes: record.scopes.clone(),
            rate_limiter: rate_limiter.clone(),
            key: digest.clone(),
            address,
        })
    }

    /// Whether the key of this digest is valid still, its developer's, and has the scope.
    #[must_use]
    pub fn allows(&self, digest: &str, developer: &DeveloperId, scope: Scope) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.keys.get(digest).is_some_and(|key| {
            key.record.developer == *developer && key.record.scopes.contains(&scope)
        })
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketMirror for ApiKeys {
    const BUCKET: &'static str = BUCKET;
    const WHAT: &'static str = "API keys";
    type Table = Table;

    fn apply(&self, table: &mut Table, entry: &kv::Entry) {
        table.apply(entry, self.defaults);
    }

    /// What its keys have sent stays counted: reading the bucket again, as after each reconnect, must not let everyone
    /// send a burst.
    fn replace(&self, mut fresh: Table) {
        let mut table = self.write();
        for (digest, key) in &mut fresh.keys {
            key.keep_count_of(table.keys.get(digest));
        }
        *table = fresh;
    }

    fn update(&self, entry: &kv::Entry) {
        self.write().apply(entry, self.defaults);
    }
}

impl Key {
    fn new(digest: &str, record: ApiKeyRecord, defaults: Defaults) -> Self {
        let policy = RateLimitPolicy::of(record.rate.unwrap_or(defaults.rate), defaults.max_events);
        Self {
            record,
            digest: digest.into(),
            rate_limiter: policy.map(|policy| Arc::new(RateLimiter::new(policy, MonotonicClock))),
        }
    }

    /// What was counted stays counted, unless the rate itself has changed.
    fn keep_count_of(&mut self, before: Option<&Self>) {
        let policy = |key: &Self| key.rate_limiter.as_ref().map(|limiter| limiter.policy());
        if let Some(before) = before.filter(|before| policy(before) == policy(self)) {
            self.rate_limiter.clone_from(&before.rate_limiter);
        }
    }
}

impl Table {
    fn apply(&mut self, entry: &kv::Entry, defaults: Defaults) {
        let gone = entry.operation != kv::Operation::Put;
        if let Some(digest) = entry.key.strip_prefix("key.") {
            match serde_json::from_slice::<ApiKeyRecord>(&entry.value) {
                Ok(record) if !gone => {
                    let mut key = Key::new(digest, record, defaults);
                    key.keep_count_of(self.keys.get(digest));
                    self.keys.insert(digest.to_owned(), key);
                }
                parsed => {
                    // Unreadable counts as revoked: a damaged entry must not keep an old key alive.
                    self.keys.remove(digest);
                    if let (false, Err(error)) = (gone, parsed) {
                        tracing::error!(entry = entry.key, %error, "an API key's record cannot be read: the key is \
                            refused");
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

    fn record(rate: Option<u32>) -> ApiKeyRecord {
        let developer = "ada".parse().unwrap();
        ApiKeyRecord {
            developer,
            scopes: vec![Scope::EventsWrite],
            rate,
            created_at: String::new(),
        }
    }

    fn nowhere() -> ClientAddress {
        ClientAddress::of(std::net::Ipv4Addr::UNSPECIFIED.into())
    }

    fn table(keys: &[(&str, Option<u32>)]) -> Table {
        let key = |(name, rate): &(&str, Option<u32>)| {
            (digest(name), Key::new(name, record(*rate), DEFAULTS))
        };
        Table {
            keys: keys.iter().map(key).collect(),
            epochs: HashMap::new(),
        }
    }

    fn passes(keys: &ApiKeys, key: &str, events: usize) -> bool {
        keys.find(key, nowhere())
            .unwrap()
            .rate_limiter
            .is_none_or(|limiter| limiter.charge(events).is_ok())
    }

    #[test]
    fn counts_outlive_a_reload_and_end_with_the_rate() {
        let keys = ApiKeys::new(
            DEFAULTS.rate,
            DEFAULTS.max_events,
            SettingsMirror::default(),
        );
        keys.replace(table(&[
            ("default", None),
            ("own", Some(2)),
            ("free", Some(0)),
        ]));
        for (key, more) in [("default", false), ("own", false), ("free", true)] {
            assert!(passes(&keys, key, 10), "{key}");
            assert_eq!(passes(&keys, key, 10), more, "{key}");
        }
        // Each key has a limiter of its own; the default written out is the same rate.
        keys.replace(table(&[
            ("default", Some(1)),
            ("own", Some(3)),
            ("new", None),
        ]));
        for (key, more) in [("default", false), ("own", true), ("new", true)] {
            assert_eq!(passes(&keys, key, 10), more, "{key}");
        }
        assert!(keys.find("free", nowhere()).is_none());
    }
}

//! Developers' timeouts, by the bucket `settings`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::kv;
use bus::bucket_mirror::BucketMirror;
use types::developer_settings::{BUCKET, DeveloperSettings, LEAST_IDLE, MOST_IDLE};

use super::windows::IdleTimeout;

/// The timeouts as they are now. Cheap to clone; all clones see the same.
#[derive(Debug, Clone, Default)]
pub struct IdleTimeouts {
    timeouts: Arc<RwLock<HashMap<String, IdleTimeout>>>,
}

impl IdleTimeouts {
    /// The developer's.
    #[must_use]
    pub fn of(&self, developer: &str) -> IdleTimeout {
        let timeouts = self.timeouts.read().unwrap_or_else(PoisonError::into_inner);
        timeouts
            .get(developer)
            .copied()
            .unwrap_or(IdleTimeout::DEFAULT)
    }

    /// The developers who have settings.
    #[must_use]
    pub fn developers(&self) -> BTreeSet<String> {
        let timeouts = self.timeouts.read().unwrap_or_else(PoisonError::into_inner);
        timeouts.keys().cloned().collect()
    }
}

impl BucketMirror for IdleTimeouts {
    const BUCKET: &'static str = BUCKET;
    const WHAT: &'static str = "developers' settings";
    type Table = HashMap<String, IdleTimeout>;

    fn apply(&self, table: &mut Self::Table, entry: &kv::Entry) {
        let Some(developer) = entry.key.strip_prefix("developer.") else {
            return;
        };
        let is_there = entry.operation == kv::Operation::Put;
        let settings = match serde_json::from_slice::<DeveloperSettings>(&entry.value) {
            Ok(settings) if is_there => settings,
            Err(error) if is_there => {
                tracing::error!(entry = entry.key, %error, "a developer's settings cannot be read: they count as none");
                DeveloperSettings::default()
            }
            _ => DeveloperSettings::default(),
        };
        let timeout = IdleTimeout {
            ms: settings
                .idle_seconds
                .map_or(IdleTimeout::DEFAULT.ms, |seconds| {
                    1000 * seconds.clamp(LEAST_IDLE, MOST_IDLE) as i64
                }),
            revision: entry.revision as i64,
        };
        table.insert(developer.to_owned(), timeout);
    }

    fn replace(&self, fresh: Self::Table) {
        *self
            .timeouts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn update(&self, entry: &kv::Entry) {
        let mut timeouts = self
            .timeouts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.apply(&mut timeouts, entry);
    }
}

//! What developers have set, by the bucket `settings`: the zone for batches whose client names none, and the timeout.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::kv;
use types::developer_settings::{BUCKET, DEFAULT_IDLE, DeveloperSettings};
use types::id::DeveloperId;

use bus::bucket_mirror::BucketMirror;
use bus::developer_settings;

/// The settings as they are now. Cheap to clone; all clones see the same.
#[derive(Debug, Clone, Default)]
pub struct SettingsMirror {
    settings: Arc<RwLock<HashMap<String, DeveloperSettings>>>,
}

impl SettingsMirror {
    /// The IANA zone that the developer has set.
    #[must_use]
    pub fn zone(&self, developer: &DeveloperId) -> Option<String> {
        self.with(developer, |settings| settings.zone.clone())
            .flatten()
    }

    /// The developer's timeout, in seconds: the longest pause that counts as active time.
    #[must_use]
    pub fn idle_seconds(&self, developer: &DeveloperId) -> u64 {
        self.with(developer, DeveloperSettings::idle)
            .unwrap_or(DEFAULT_IDLE)
    }

    /// All that the developer has set.
    #[must_use]
    pub fn of(&self, developer: &DeveloperId) -> DeveloperSettings {
        self.with(developer, DeveloperSettings::clone)
            .unwrap_or_default()
    }

    /// Reads the settings where they are; `None` if the developer has set nothing. The zone is asked for with each
    /// request.
    fn with<T>(
        &self,
        developer: &DeveloperId,
        read: impl FnOnce(&DeveloperSettings) -> T,
    ) -> Option<T> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        settings.get(developer.as_str()).map(read)
    }
}

impl BucketMirror for SettingsMirror {
    const BUCKET: &'static str = BUCKET;
    const WHAT: &'static str = "developers' settings";
    type Table = HashMap<String, DeveloperSettings>;

    fn apply(&self, table: &mut Self::Table, entry: &kv::Entry) {
        let Some((developer, settings)) = developer_settings(entry) else {
            return;
        };
        if settings == DeveloperSettings::default() {
            table.remove(developer);
        } else {
            table.insert(developer.to_owned(), settings);
        }
    }

    fn replace(&self, fresh: Self::Table) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn update(&self, entry: &kv::Entry) {
        let mut settings = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.apply(&mut settings, entry);
    }
}

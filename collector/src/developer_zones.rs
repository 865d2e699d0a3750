//! The zones that developers have set, by the bucket `settings`: for batches whose client names none.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::kv;
use types::developer_settings::BUCKET;
use types::id::DeveloperId;

use bus::bucket_mirror::BucketMirror;
use bus::developer_settings;

/// The zones as they are now. Cheap to clone; all clones see the same.
#[derive(Debug, Clone, Default)]
pub struct DeveloperZones {
    zones: Arc<RwLock<HashMap<String, String>>>,
}

impl DeveloperZones {
    /// The IANA zone that the developer has set.
    #[must_use]
    pub fn of(&self, developer: &DeveloperId) -> Option<String> {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        zones.get(developer.as_str()).cloned()
    }
}

impl BucketMirror for DeveloperZones {
    const BUCKET: &'static str = BUCKET;
    const WHAT: &'static str = "developers' settings";
    type Table = HashMap<String, String>;

    fn apply(&self, table: &mut Self::Table, entry: &kv::Entry) {
        let Some((developer, settings)) = developer_settings(entry) else {
            return;
        };
        match settings.zone {
            Some(zone) => drop(table.insert(developer.to_owned(), zone)),
            None => drop(table.remove(developer)),
        }
    }

    fn replace(&self, fresh: Self::Table) {
        *self.zones.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn update(&self, entry: &kv::Entry) {
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        self.apply(&mut zones, entry);
    }
}

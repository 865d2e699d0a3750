//! Developers' timeouts, by the bucket `settings`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::kv;
use bus::bucket_mirror::BucketMirror;
use bus::developer_settings;
use tokio::sync::watch;
use types::developer_settings::{BUCKET, DEFAULT_IDLE, DeveloperSettings};

/// The longest pause of a developer that still counts as active time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimeout {
    /// In milliseconds.
    pub ms: i64,
}

impl IdleTimeout {
    /// That of developers who have set none.
    pub const DEFAULT: Self = Self {
        ms: 1000 * DEFAULT_IDLE as i64,
    };

    fn of(settings: &DeveloperSettings) -> Self {
        Self {
            ms: 1000 * settings.idle() as i64,
        }
    }
}

/// The timeouts as they are now. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct IdleTimeouts {
    timeouts: Arc<RwLock<HashMap<String, IdleTimeout>>>,
    /// Whether all of the bucket is known.
    loaded: watch::Receiver<bool>,
}

impl IdleTimeouts {
    /// Those of a bucket that is followed; `loaded` turns true once all of it is known.
    #[must_use]
    pub fn followed(loaded: watch::Receiver<bool>) -> Self {
        Self {
            timeouts: Arc::default(),
            loaded,
        }
    }

    /// Everybody's is the default.
    #[must_use]
    pub fn default_for_all() -> Self {
        let (_, loaded) = watch::channel(true);
        Self::followed(loaded)
    }

    /// Waits until the bucket is known: what is computed before would be computed again.
    pub async fn loaded(&self) {
        let mut loaded = self.loaded.clone();
        // Nobody follows any more: the process stops.
        let _ = loaded.wait_for(|is_loaded| *is_loaded).await;
    }

    /// The developer's.
    #[must_use]
    pub fn of(&self, developer: &str) -> IdleTimeout {
        let timeouts = self.timeouts.read().unwrap_or_else(PoisonError::into_inner);
        timeouts
            .get(developer)
            .copied()
            .unwrap_or(IdleTimeout::DEFAULT)
    }

    /// Those of all developers who have, or had, settings.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, IdleTimeout> {
        let timeouts = self.timeouts.read().unwrap_or_else(PoisonError::into_inner);
        timeouts
            .iter()
            .map(|(developer, timeout)| (developer.clone(), *timeout))
            .collect()
    }
}

impl BucketMirror for IdleTimeouts {
    const BUCKET: &'static str = BUCKET;
    const WHAT: &'static str = "developers' settings";
    type Table = HashMap<String, IdleTimeout>;

    fn apply(&self, table: &mut Self::Table, entry: &kv::Entry) {
        let Some((developer, settings)) = developer_settings(entry) else {
            return;
        };
        // Also one without settings any more: days may have been computed with them.
        table.insert(developer.to_owned(), IdleTimeout::of(&settings));
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_timeout_is_within_its_bounds_or_the_default() {
        let ms = |idle_seconds| {
            let settings = DeveloperSettings {
                idle_seconds,
                ..DeveloperSettings::default()
            };
            IdleTimeout::of(&settings).ms
        };
        assert_eq!(ms(None), 900_000);
        assert_eq!(ms(Some(300)), 300_000);
        assert_eq!((ms(Some(1)), ms(Some(u64::MAX))), (60_000, 3_600_000));
    }

    #[test]
    fn nobodys_timeout_is_known_before_the_bucket_is() {
        let (loaded, is_loaded) = watch::channel(false);
        let timeouts = IdleTimeouts::followed(is_loaded);
        assert!(timeouts.loaded().now_or_never().is_none());
        loaded.send_replace(true);
        assert!(timeouts.loaded().now_or_never().is_some());
        assert_eq!(timeouts.of("ada"), IdleTimeout::DEFAULT);
    }
}

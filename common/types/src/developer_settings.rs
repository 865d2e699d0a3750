//! Settings of a developer that change results: what the bucket `settings` holds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::DeveloperId;

/// The key-value bucket of settings.
pub const BUCKET: &str = "settings";

/// The timeout of developers who have set none, in seconds: WakaTime's default keystroke timeout
/// (<https://wakatime.com/developers#durations>, `timeout`).
pub const DEFAULT_IDLE: u64 = 900;
/// The shortest timeout, in seconds: below, an hour would have more sessions than anyone reads.
pub const LEAST_IDLE: u64 = 60;
/// The longest timeout, in seconds. A day is put together from hours that reach further back than that.
pub const MOST_IDLE: u64 = 3600;

/// The value under `developer.<id>`: one JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeveloperSettings {
    /// The IANA zone, such as `Europe/Berlin`, for batches whose client names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The longest pause that still counts as active time, in seconds: [`LEAST_IDLE`] to [`MOST_IDLE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// Members that this version does not know: a newer one's, kept when it is written.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl DeveloperSettings {
    /// The timeout in seconds: the one that is set, within its bounds; else the default.
    #[must_use]
    pub fn idle(&self) -> u64 {
        let within = |seconds: u64| seconds.clamp(LEAST_IDLE, MOST_IDLE);
        self.idle_seconds.map_or(DEFAULT_IDLE, within)
    }
}

/// The bucket's key for a developer's settings.
#[must_use]
pub fn settings_entry(developer: &DeveloperId) -> String {
    format!("developer.{developer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_newer_versions_are_kept() {
        let text = r#"{"zone":"Asia/Kolkata","idle_seconds":300,"theme":"dark"}"#;
        let settings: DeveloperSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.zone.as_deref(), Some("Asia/Kolkata"));
        assert_eq!(settings.idle_seconds, Some(300));
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        assert_eq!(
            serde_json::from_str::<DeveloperSettings>("{}").unwrap(),
            DeveloperSettings::default()
        );
    }
}

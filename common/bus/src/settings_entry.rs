//! Developers' settings, as the bucket `settings` has them.

use async_nats::jetstream::kv;
use types::developer_settings::DeveloperSettings;

/// Whose settings an entry of the bucket is, and what they are now; `None` if it is nobody's.
///
/// Settings that were removed are the default. So are those that cannot be read; they are logged.
#[must_use]
pub fn developer_settings(entry: &kv::Entry) -> Option<(&str, DeveloperSettings)> {
    let developer = entry.key.strip_prefix("developer.")?;
    if entry.operation != kv::Operation::Put {
        return Some((developer, DeveloperSettings::default()));
    }
    let settings = serde_json::from_slice(&entry.value).unwrap_or_else(|error| {
        tracing::error!(entry = entry.key, %error, "a developer's settings cannot be read: they count as none");
        DeveloperSettings::default()
    });
    Some((developer, settings))
}

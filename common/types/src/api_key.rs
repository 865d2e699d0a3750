//! API keys: what the bucket `api_keys` holds, and how a key is looked up.
//!
//! A key has the form of a UUID v4 (122 random bits; WakaTime clients refuse other forms). Only
//! its SHA-256 is stored: a random key needs no slow hash, and a lookup is on each request's path.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::id::DeveloperId;

/// The key-value bucket of keys and developers.
pub const BUCKET: &str = "api_keys";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Send events.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Read the own metrics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Read the own alerts.
    #[serde(rename = "alerts:read")]
    AlertsRead,
}

impl Scope {
    /// Every scope: the default of a new key.
    pub const ALL: [Self; 3] = [Self::EventsWrite, Self::MetricsRead, Self::AlertsRead];

    /// Its name in key records, on the command line and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::MetricsRead => "metrics:read",
            Self::AlertsRead => "alerts:read",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no scope; there are {}", known()))
    }
}

/// The value under `key.<sha256>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// The developer that the key belongs to.
    pub developer: DeveloperId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Events a second, if not the collector's default; 0 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// The value under `developer.<id>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeveloperRecord {
    /// Rises when the developer is forgotten, so that old message ids mean nothing any more.
    pub epoch: u64,
}

/// A fresh key.
#[must_use]
pub fn generate() -> String {
    Uuid::new_v4().to_string()
}

/// The lower-case hex SHA-256 of a key.
#[must_use]
pub fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The bucket's key for the API key with this digest.
#[must_use]
pub fn key_entry(digest: &str) -> String {
    format!("key.{digest}")
}

/// The bucket's key for the developer's record; there is one only after a `forget`.
#[must_use]
pub fn developer_entry(developer: &DeveloperId) -> String {
    format!("developer.{developer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_name() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!(
            "events"
                .parse::<Scope>()
                .unwrap_err()
                .contains("events:write, metrics:read")
        );
    }

    #[test]
    fn a_key_is_a_uuid_and_only_its_digest_is_an_entry() {
        let key = generate();
        assert_eq!(Uuid::parse_str(&key).unwrap().get_version_num(), 4);
        // FIPS 180-4's example for "abc".
        assert!(digest("abc").starts_with("ba7816bf8f01cfea"));
        assert!(!key_entry(&digest(&key)).contains(&key));
    }
}

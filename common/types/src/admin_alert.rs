//! Alerts to administrators, as the messages of the stream ADMIN.
//!
//! Only the watcher of the workers writes them (`workers/src/watch`). Readers fold the messages into the open alerts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::severity::Severity;
use crate::time::Micros;

/// Subject of [`RuleFailed`] reports; every watcher subscribes to it.
pub const RULE_FAILURES: &str = "devtrail.note.rule_failed";

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Messages were dead-lettered: they are in the stream DEAD.
    DeadLetter,
    /// A circuit breaker is open: the dependency that it protects fails again and again.
    BreakerOpen,
    /// More messages than the bound wait for a consumer.
    Lag,
    /// A stream that refuses new messages when it is full is nearly full.
    StreamNearlyFull,
    /// A disk, or JetStream's own limit, is nearly used up.
    DiskNearlyFull,
    /// No process of a role sends heartbeats.
    RoleSilent,
    /// Batches were stored some time ago and are not completed.
    BatchOverdue,
    /// A rule could not be evaluated (R4.4).
    RuleFailed,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::DeadLetter,
        Self::BreakerOpen,
        Self::Lag,
        Self::StreamNearlyFull,
        Self::DiskNearlyFull,
        Self::RoleSilent,
        Self::BatchOverdue,
        Self::RuleFailed,
    ];

    /// Its name in subjects and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::BreakerOpen => "breaker_open",
            Self::Lag => "lag",
            Self::StreamNearlyFull => "stream_nearly_full",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::RoleSilent => "role_silent",
            Self::BatchOverdue => "batch_overdue",
            Self::RuleFailed => "rule_failed",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::DiskNearlyFull | Self::RoleSilent => Severity::Critical,
            Self::DeadLetter | Self::BreakerOpen | Self::StreamNearlyFull => Severity::High,
            Self::Lag | Self::BatchOverdue | Self::RuleFailed => Severity::Warning,
        }
    }

    /// What to do, in one line.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::DeadLetter => {
                "`devtrail dead list` says why; fix the cause, then `devtrail dead redrive`, or drop them."
            }
            Self::BreakerOpen => {
                "Look whether the dependency behind it answers; it closes by itself."
            }
            Self::Lag => {
                "Look at `devtrail status`: start more workers, or find what slows them; \
                 what is missing, `devtrail streams apply` makes again."
            }
            Self::StreamNearlyFull => {
                "Find why it is not emptied (`devtrail status`), or raise its max_bytes; full, it refuses."
            }
            Self::DiskNearlyFull => {
                "Free space or give it a larger disk; full, nothing is stored any more."
            }
            Self::RoleSilent => {
                "Start a process of this role; its work waits, and nothing is lost."
            }
            Self::BatchOverdue => {
                "`devtrail trace seq:N` of the oldest shows the step that is missing; look for its worker."
            }
            Self::RuleFailed => {
                "The worker's log says how it failed; its alerts are missing until it is fixed."
            }
        }
    }

    /// The section of the runbook about it.
    #[must_use]
    pub fn runbook(self) -> String {
        format!("docs/runbook.md#{}", self.as_str())
    }

    /// The subject of its messages.
    #[must_use]
    pub fn nats_subject(self) -> String {
        format!("admin.alert.{}", self.as_str())
    }
}

/// Whether the condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It holds.
    Raised,
    /// It is over.
    Resolved,
}

/// A measured number and its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The measured number; its unit follows from its name.
    pub value: u64,
    /// The most that it may be; `None` if it has no bound.
    pub bound: Option<u64>,
}

/// One message of the stream ADMIN: a revision of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminAlert {
    /// Identifies the alert from raised to resolved.
    pub alert_id: String,
    /// The number of the message among those of the alert, from 0.
    pub revision: u64,
    /// The kind of condition.
    pub kind: AlertKind,
    /// The stream, consumer, role or rule that it is about.
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// Raised, or resolved.
    pub state: AlertState,
    /// How many single occurrences it covers, such as dead letters.
    pub count: u64,
    /// A sentence that describes it.
    pub title: String,
    /// The measured numbers, by name.
    pub numbers: BTreeMap<String, Measurement>,
    /// What to do, in one line.
    pub advice: String,
    /// The section of the runbook about it.
    pub runbook: String,
    /// When the condition was first seen.
    #[serde(with = "instant")]
    pub first_seen: Micros,
    /// When it was last seen.
    #[serde(with = "instant")]
    pub last_seen: Micros,
    /// When this message was made.
    #[serde(with = "instant")]
    pub time: Micros,
}

impl AdminAlert {
    /// `<alert id>:<revision>`: the message id in ADMIN, and `Devtrail-Alert-Id` of the webhook.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}:{}", self.alert_id, self.revision)
    }

    /// What identifies its condition.
    #[must_use]
    pub fn key(&self) -> AlertKey {
        AlertKey {
            kind: self.kind,
            subject: self.subject.clone(),
        }
    }
}

/// What identifies a condition. At most one alert is open for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertKey {
    /// The kind of condition.
    pub kind: AlertKind,
    /// The stream, consumer, role or rule that it is about.
    pub subject: String,
}

/// The id of the alert about this condition that was first raised at `first_seen`: 32 hex of BLAKE3 over the three,
/// length-prefixed.
#[must_use]
pub fn alert_id(kind: AlertKind, subject: &str, first_seen: Micros) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in [kind.as_str(), subject, &first_seen.to_string()] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The newest message of each alert, in the order they were first raised.
#[must_use]
pub fn newest(messages: impl IntoIterator<Item = AdminAlert>) -> Vec<AdminAlert> {
    let mut alerts: Vec<AdminAlert> = Vec::new();
    let mut indexes: BTreeMap<String, usize> = BTreeMap::new();
    for message in messages {
        match indexes.get(&message.alert_id) {
            Some(&index) => alerts[index] = message,
            None => {
                indexes.insert(message.alert_id.clone(), alerts.len());
                alerts.push(message);
            }
        }
    }
    alerts
}

/// A worker's report that a rule could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFailed {
    /// The rule's id.
    pub rule: String,
    /// Why, as in the log.
    pub error: String,
}

/// Instants as RFC 3339.
mod instant {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::time::{Micros, parse_rfc3339, rfc3339};

    /// Writes microseconds since 1970 as RFC 3339.
    pub fn serialize<S: Serializer>(at: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    /// Reads RFC 3339 as microseconds since 1970; an error of the deserializer for any other text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = parse_rfc3339(&text).and_then(|written| written.at);
        at.ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests;

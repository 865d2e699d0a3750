//! The collector's verdict on each event, and the closed list of its reasons.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::EventRef;

/// The outcome of admission for one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Stored as a new event.
    Accepted,
    /// The same event is already stored; dropped, with a record that names the original.
    Duplicate,
    /// Can never be accepted as it is; kept for audit.
    Rejected,
    /// Kept whole, and may be admitted later.
    Quarantined,
}

impl Verdict {
    /// The name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Why an event was not accepted as a new event. The list is closed: clients may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Rejected: the event does not fit its type's schema.
    SchemaInvalid,
    /// Rejected: `id` is missing, or not 1 to 128 characters from 0x21 to 0x7E.
    IdInvalid,
    /// Rejected: `occurred_at` is missing or no RFC 3339 time with an offset.
    TimeInvalid,
    /// Rejected: the event is no JSON object.
    NotAnObject,
    /// Quarantined: no schema knows the type.
    TypeUnknown,
    /// Quarantined: another major version, or a newer minor that fails the newest known schema.
    SchemaVersionUnsupported,
    /// Quarantined: effective time before 2000 or more than 24 hours after receipt.
    TimeImplausible,
    /// Quarantined: an event with other content has the id.
    IdConflict,
    /// Duplicate: the event is already stored, or came earlier in the batch.
    DuplicateId,
}

impl Code {
    /// The code of this name; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::from(name)).ok()
    }

    /// The verdict that the code explains.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::SchemaInvalid | Self::IdInvalid | Self::TimeInvalid | Self::NotAnObject => {
                Verdict::Rejected
            }
            Self::TypeUnknown
            | Self::SchemaVersionUnsupported
            | Self::TimeImplausible
            | Self::IdConflict => Verdict::Quarantined,
            Self::DuplicateId => Verdict::Duplicate,
        }
    }

    /// The name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SchemaInvalid => "schema_invalid",
            Self::IdInvalid => "id_invalid",
            Self::TimeInvalid => "time_invalid",
            Self::NotAnObject => "not_an_object",
            Self::TypeUnknown => "type_unknown",
            Self::SchemaVersionUnsupported => "schema_version_unsupported",
            Self::TimeImplausible => "time_implausible",
            Self::IdConflict => "id_conflict",
            Self::DuplicateId => "duplicate_id",
        }
    }
}

/// Events of a batch by verdict; the four parts add up to `received`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Events in the envelope.
    pub received: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// Of these, duplicates.
    pub duplicate: u32,
    /// Of these, rejected.
    pub rejected: u32,
    /// Of these, quarantined.
    pub quarantined: u32,
}

impl Counts {
    /// Counts one more event with `verdict`.
    pub fn add(&mut self, verdict: Verdict) {
        self.received += 1;
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Duplicate => self.duplicate += 1,
            Verdict::Rejected => self.rejected += 1,
            Verdict::Quarantined => self.quarantined += 1,
        }
    }
}

impl FromIterator<Verdict> for Counts {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        let mut counts = Self::default();
        verdicts.into_iter().for_each(|verdict| counts.add(verdict));
        counts
    }
}

/// An event that was not accepted as a new event, as the reply lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exception {
    /// Its place in `events`, from 0.
    pub index: u32,
    /// Its id; `None` if it is not usable.
    pub id: Option<String>,
    /// The event's verdict.
    pub verdict: Verdict,
    /// Why.
    pub code: Code,
    /// JSON Pointer (RFC 6901) into the event, if one member is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The supported schema versions, if the event's version or type is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported: Option<Vec<String>>,
    /// The event that has the id, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
}

/// The event that has the id of a duplicate or conflicting one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Original {
    /// In the same batch, at this index.
    SameBatch {
        /// Its place in `events`, from 0.
        index: u32,
    },
    /// In the store.
    Stored {
        /// Its stream sequence and ordinal.
        #[serde(flatten)]
        at: EventRef,
        /// The batch it came in.
        batch_id: String,
        /// When that batch was received, RFC 3339.
        received_at: String,
    },
}

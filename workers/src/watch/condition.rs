//! Conditions: what probes found to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use types::admin_alert::{AlertKey, AlertKind, Measurement};

/// Something that is wrong, as a probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub kind: AlertKind,
    /// A stream, a consumer, a role, a rule …
    pub subject: String,
    /// Whether it raises an alert. A condition that is nearly over only keeps an alert open.
    pub is_firing: bool,
    /// Whether it must fire at two probes in a row to raise an alert: something may be fixing it already.
    pub pending_first: bool,
    /// How many single failures it sums up.
    pub count: u64,
    /// A sentence.
    pub title: String,
    /// What was measured, by name.
    pub numbers: BTreeMap<String, Measurement>,
}

/// What one round of probes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbedConditions {
    /// The kinds that could be probed. Of others nothing is known, so their alerts stay as they are.
    pub probed: BTreeSet<AlertKind>,
    /// At most one for a kind and subject. A condition that is not among them is over.
    pub conditions: Vec<Condition>,
}

impl ProbedConditions {
    /// Adds conditions of a kind, which thereby counts as probed.
    pub fn add(&mut self, kind: AlertKind, conditions: impl IntoIterator<Item = Condition>) {
        self.probed.insert(kind);
        self.conditions.extend(conditions);
    }
}

impl Condition {
    /// What identifies it, and its alert.
    #[must_use]
    pub fn key(&self) -> AlertKey {
        AlertKey {
            kind: self.kind,
            subject: self.subject.clone(),
        }
    }

    /// A condition that fires at once.
    #[must_use]
    pub fn firing(kind: AlertKind, subject: &str, count: u64, title: String) -> Self {
        Self {
            kind,
            subject: subject.to_owned(),
            is_firing: true,
            pending_first: false,
            count,
            title,
            numbers: BTreeMap::new(),
        }
    }

    /// Adds a measured number.
    #[must_use]
    pub fn with(mut self, name: &str, value: u64, bound: Option<u64>) -> Self {
        self.numbers
            .insert(name.to_owned(), Measurement { value, bound });
        self
    }
}

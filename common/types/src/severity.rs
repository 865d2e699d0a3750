//! How bad it is: critical > high > warning > info (R4.5).

use serde::{Deserialize, Serialize};

/// A severity. The worst sorts first, so that sorting gives the order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Act at once: something is being lost.
    Critical,
    /// Act today.
    High,
    /// Worth a thought.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Warning, Self::Info];

    /// The name in files, subjects and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// The severity of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == name)
    }

    /// The place of a name in the order of delivery, from 0; an unknown name comes last.
    #[must_use]
    pub fn rank(name: &str) -> usize {
        Self::ALL
            .iter()
            .position(|severity| severity.as_str() == name)
            .unwrap_or(Self::ALL.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_the_unknown_last() {
        let mut names = ["info", "other", "high", "warning", "critical"];
        names.sort_by_key(|name| Severity::rank(name));
        assert_eq!(names, ["critical", "high", "warning", "info", "other"]);
        assert!(Severity::ALL.is_sorted());
        assert_eq!(Severity::named("high"), Some(Severity::High));
    }
}

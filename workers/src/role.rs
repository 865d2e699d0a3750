//! What a worker process does.

use clap::ValueEnum;

/// The role of a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkerRole {
    /// Every role: the only one on SQLite, where one process writes
    All,
    /// Store batches, publish their jobs, reply to queries about them
    Persist,
    /// Compute metrics, reply to queries about them
    Aggregate,
    /// Normalize events
    Normalize,
    /// Evaluate rules, deliver alerts
    Alert,
}

impl WorkerRole {
    /// Whether a process of this role does the work of `part`.
    #[must_use]
    pub fn includes(self, part: Self) -> bool {
        self == Self::All || self == part
    }

    /// The name on the command line and in the worker registry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Persist => "persist",
            Self::Aggregate => "aggregate",
            Self::Normalize => "normalize",
            Self::Alert => "alert",
        }
    }
}

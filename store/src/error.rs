//! Why a call to the store failed.

/// Why a call to the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A dependency failed: busy, disk full, connection lost. Retried indefinitely.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What was to be stored breaks a constraint, or no column can hold it. Each attempt would fail.
    #[error("the store refused it: {0}")]
    Refused(String),
    /// The stream was restored to an older state than the database: an administrator has to fix it.
    #[error("{0}")]
    StreamRestored(String),
    /// Anything else: a defect, or damaged data.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The database is of another shape, damaged, half restored, or closed to this program: an administrator has to
    /// fix it.
    #[error("{0}")]
    Incompatible(String),
}

impl StoreError {
    /// Whether a dependency failed, not what was to be stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused(_)
            | Self::StreamRestored(_)
            | Self::Failed(_)
            | Self::Incompatible(_) => false,
        }
    }
}

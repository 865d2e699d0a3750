//! The families of rows, in the order of the table.

use clap::ValueEnum;
use harness::Engine;
use serde::{Deserialize, Serialize};

/// A family of rows: what one deployment, or one load, can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// CPU of a batch before it is published
    Admission,
    /// The collector beside raw publishes, on the disk
    Collector,
    /// The same with every fsync 5 ms slower
    CollectorSlowSync,
    /// The same in memory
    CollectorInMemory,
    /// The persist role beside the same rows by hand
    Persist,
    /// A backlog of many developers, stored and completed
    Drain,
    /// A closed loop to completed, and request to stored at half of its rate
    Pipe,
    /// Syncs to the disk a batch
    Syncs,
    /// Batches of one event into an hour that holds very many
    HeavyHour,
    /// A job against the history of its developer
    History,
    /// Other developers' results while one floods
    Fairness,
    /// Batches that are all stored already
    Resend,
    /// One, two and four processes a role on Postgres
    ScaleOut,
    /// The command `devtrail keys` among many keys
    Keys,
    /// Ten million events, once, in a folder under target/; goes on where it was stopped
    Long,
}

impl Family {
    /// The stores that its rows are measured on one after the other; none for rows that are on one kind anyway.
    #[must_use]
    pub fn engines(self) -> &'static [Engine] {
        match self {
            Self::Admission
            | Self::Collector
            | Self::CollectorSlowSync
            | Self::CollectorInMemory
            | Self::Keys
            | Self::Long => &[],
            Self::ScaleOut => &[Engine::Postgres],
            Self::Persist
            | Self::Drain
            | Self::Pipe
            | Self::Syncs
            | Self::HeavyHour
            | Self::History
            | Self::Fairness
            | Self::Resend => &[Engine::Sqlite, Engine::Postgres],
        }
    }
}

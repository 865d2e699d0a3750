//! The families of rows, one file each.

mod drain;
mod heavy_hour;

use clap::ValueEnum;

use crate::plan::Plan;
use crate::report::Report;

/// A family of rows: what one deployment, or one load, can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// A backlog of many developers, stored and completed
    Drain,
    /// Batches of one event into an hour that holds very many
    HeavyHour,
}

impl Family {
    /// Measures the rows and adds them to the report.
    ///
    /// # Errors
    /// The failure of a process, or a load that does not end.
    pub async fn measure(self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Drain => drain::measure(plan, report).await,
            Self::HeavyHour => heavy_hour::measure(plan, report).await,
        }
    }
}

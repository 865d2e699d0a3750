//! `devtrail quarantine`: events that were kept whole instead of stored. Shows them, and admits them
//! again by the schemas of now.

mod fate;
mod list;
mod message;
mod on_the_way;
mod readmit;
mod report;
mod show;
mod wanted;

use runtime::process::Process;

/// What to do with quarantined events.
#[derive(Debug, clap::Subcommand)]
pub enum QuarantineCommand {
    /// List quarantined events that are not stored
    List(list::ListSettings),
    /// Show a quarantined event whole, and what admission would say of it now
    Show(show::ShowSettings),
    /// Admit quarantined events again; what fits now is sent to the store
    Readmit(readmit::ReadmitSettings),
}

/// Runs the command.
///
/// # Errors
/// Where a schema file is not usable, nothing is found, or database or stream do not answer.
pub async fn run(command: QuarantineCommand, process: &Process) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List(settings) => list::run(&settings).await,
        QuarantineCommand::Show(settings) => show::run(&settings).await,
        QuarantineCommand::Readmit(settings) => readmit::run(&settings, process).await,
    }
}

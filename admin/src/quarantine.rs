//! `devtrail quarantine`: events that were kept whole instead of stored. Shows them, and admits them
//! again by the schemas of now.

mod cursor;
mod disposition;
mod inspect;
mod publish;
mod readmit;

use runtime::process::Process;

/// What to do with quarantined events.
#[derive(Debug, clap::Subcommand)]
pub enum QuarantineCommand {
    /// List quarantined events that are not stored
    List(inspect::QuarantineListSettings),
    /// Show a quarantined event whole, and what admission would say of it now
    Show(inspect::QuarantineShowSettings),
    /// Admit quarantined events again; what fits now is sent to the store
    Readmit(readmit::QuarantineReadmitSettings),
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a schema file is not usable, nothing is found, or database or stream do not answer.
pub async fn run(command: QuarantineCommand, process: &Process) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List(settings) => inspect::list(&settings).await,
        QuarantineCommand::Show(settings) => inspect::show(&settings).await,
        QuarantineCommand::Readmit(settings) => readmit::run(&settings, process).await,
    }
}

//! `devtrail dead`: shows dead letters, redrives them, or drops them for good.

mod cursor;
mod drop;
mod inspect;
mod message;
mod plan;
mod redrive;
mod report;
mod session;

use runtime::process::Process;

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub enum DeadCommand {
    /// List dead letters: what could not be handled, and why
    List(inspect::DeadListSettings),
    /// Show a dead letter whole, and what became of its batch
    Show(inspect::DeadShowSettings),
    /// Redrive dead letters, and wait until they are stored or done
    Redrive(redrive::DeadRedriveSettings),
    /// Drop dead letters for good
    Drop(drop::DeadDropSettings),
}

/// Runs the command.
///
/// # Errors
/// Returns an error if there is no such letter, database, stream or worker do not answer, or one was
/// dead-lettered again.
pub async fn run(command: DeadCommand, process: &Process) -> anyhow::Result<()> {
    match command {
        DeadCommand::List(settings) => inspect::list(&settings).await,
        DeadCommand::Show(settings) => inspect::show(&settings).await,
        DeadCommand::Redrive(settings) => redrive::run(&settings, process).await,
        DeadCommand::Drop(settings) => drop::run(&settings, process).await,
    }
}

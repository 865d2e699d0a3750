//! `devtrail dead`: what gave up. Shows it, gives it another try, or drops it for good.

mod desk;
mod discard;
mod letter;
mod list;
mod plan;
mod redrive;
mod report;
mod show;
mod walk;

use runtime::process::Process;

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub enum DeadCommand {
    /// List dead letters: what gave up, and why
    List(list::ListSettings),
    /// Show a dead letter whole, and what became of its batch
    Show(show::ShowSettings),
    /// Give dead letters another try, and wait until they are stored or done
    Redrive(redrive::RedriveSettings),
    /// Drop dead letters for good
    Drop(discard::DropSettings),
}

/// Runs the command.
///
/// # Errors
/// Where there is no such letter, database, stream or worker do not answer, or a letter gave up again.
pub async fn run(command: DeadCommand, process: &Process) -> anyhow::Result<()> {
    match command {
        DeadCommand::List(settings) => list::run(&settings).await,
        DeadCommand::Show(settings) => show::run(&settings).await,
        DeadCommand::Redrive(settings) => redrive::run(&settings, process).await,
        DeadCommand::Drop(settings) => discard::run(&settings, process).await,
    }
}

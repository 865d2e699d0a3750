//! `devtrail-worker ROLE`: stores batches, and later aggregates, normalizes and alerts.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use common::process::{Frame, Settings, Usage};
use workers::WorkerSettings;

/// Pulls batches from NATS JetStream and stores them.
#[derive(Parser)]
#[command(
    name = "devtrail-worker",
    version,
    after_help = "Examples:
  devtrail-worker all
  devtrail-worker all --database-url sqlite:/var/lib/devtrail/devtrail.db"
)]
struct Program {
    /// What this process does
    role: Role,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    frame: Frame,
}

/// What a worker process does.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Every role: the only one on SQLite, where one process writes
    All,
    /// Store batches
    Persist,
}

impl Settings for Program {
    fn frame(&self) -> &Frame {
        &self.frame
    }
}

fn main() -> ExitCode {
    common::process::run(|program: Program, process| async move {
        match program.role {
            Role::All => workers::run_all(program.worker, process).await,
            Role::Persist => Err(Usage(
                "On SQLite one process runs every role: start `devtrail-worker all`. Single roles come with Postgres."
                    .to_owned(),
            )
            .into()),
        }
    })
}

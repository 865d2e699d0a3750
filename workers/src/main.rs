//! `devtrail-worker ROLE`: stores batches, aggregates, normalizes, alerts.

use std::process::ExitCode;

use clap::Parser;
use common::process::{Frame, Settings};
use workers::{Role, WorkerSettings};

/// Pulls batches and jobs from NATS JetStream and turns them into stored data.
#[derive(Parser)]
#[command(
    name = "devtrail-worker",
    version,
    after_help = "Examples:
  devtrail-worker all                                            every role, on SQLite
  devtrail-worker all --database-url sqlite:/var/lib/devtrail/devtrail.db
  devtrail-worker persist --database-url postgres://db/devtrail  one role; start as many as you like"
)]
struct Program {
    /// What this process does
    role: Role,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    frame: Frame,
}

impl Settings for Program {
    fn frame(&self) -> &Frame {
        &self.frame
    }
}

fn main() -> ExitCode {
    common::process::run(|program: Program, process| workers::run(program.role, program.worker, process))
}

//! `devtrail-worker ROLE`: stores batches, aggregates, normalizes, alerts.

use std::process::ExitCode;

use clap::Parser;
use http_server::admin_listener::AdminListener;
use runtime::metrics;
use runtime::private_files;
use runtime::settings::{CommonArgs, Settings};
use workers::{WorkerRole, WorkerSettings};

/// Pulls batches and jobs from NATS JetStream and turns them into stored data.
#[derive(Parser)]
#[command(
    name = "devtrail-worker",
    version,
    after_long_help = "Examples:
  devtrail-worker all                                            every role, on SQLite
  devtrail-worker all --database-url sqlite:/var/lib/devtrail/devtrail.db
  devtrail-worker persist --database-url postgres://db/devtrail  one role; start as many as you like
  devtrail-worker all --admin-listen 127.0.0.1:9788              health and metrics at that address"
)]
struct Program {
    /// What this process does
    role: WorkerRole,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    common_args: CommonArgs,
}

impl Settings for Program {
    fn common_args(&self) -> &CommonArgs {
        &self.common_args
    }
}

fn main() -> ExitCode {
    runtime::process::run(|program: Program, process| async move {
        private_files::begin();
        let admin = AdminListener::bind(&program.worker.admin).await?;
        if admin.address().is_some() {
            metrics::install(metrics::Program::Worker);
        }
        let running = workers::run(program.role, program.worker, process.clone());
        admin.serve_during(&process, running).await
    })
}

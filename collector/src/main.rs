//! `devtrail-collector`: HTTP in, JetStream out. Stateless; run as many as wanted.

use std::process::ExitCode;

use clap::Parser;
use collector::CollectorSettings;
use common::process::{Frame, Settings};

/// Takes batches of developer-activity events over HTTP and publishes each to NATS JetStream.
#[derive(Parser)]
#[command(
    name = "devtrail-collector",
    version,
    after_help = "Examples:
  devtrail-collector
  devtrail-collector --listen 0.0.0.0:8787 --nats-url nats://nats.internal:4222
  DEVTRAIL_LOG=debug devtrail-collector --config collector.toml"
)]
struct Program {
    #[command(flatten)]
    collector: CollectorSettings,
    #[command(flatten)]
    frame: Frame,
}

impl Settings for Program {
    fn frame(&self) -> &Frame {
        &self.frame
    }
}

fn main() -> ExitCode {
    common::process::run(|program: Program, process| async move {
        let listener = collector::listen(&program.collector.listen).await?;
        collector::run(program.collector, listener, process).await
    })
}

//! `devtrail-collector`: HTTP in, JetStream out. Stateless; run as many as wanted.

use std::process::ExitCode;

use clap::Parser;
use collector::CollectorSettings;
use http_server::admin_listener::AdminListener;
use runtime::settings::{CommonArgs, Settings};

/// Takes batches of developer-activity events over HTTP and publishes each to NATS JetStream.
#[derive(Parser)]
#[command(
    name = "devtrail-collector",
    version,
    after_long_help = "Examples:
  devtrail-collector
  devtrail-collector --listen 0.0.0.0:8787 --nats-url nats://nats.internal:4222
  devtrail-collector --listen 0.0.0.0:8787 --admin-listen 127.0.0.1:9787
  DEVTRAIL_LOG=debug devtrail-collector --config collector.toml
  devtrail-collector --print-openapi > openapi.json"
)]
struct Program {
    #[command(flatten)]
    collector: CollectorSettings,
    /// Print the OpenAPI description of the HTTP interface and exit
    #[arg(long)]
    print_openapi: bool,
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
        if program.print_openapi {
            runtime::stdout::print(collector::openapi())?;
            return Ok(());
        }
        let listener = collector::listen(&program.collector.listen).await?;
        let admin = AdminListener::bind(&program.collector.admin).await?;
        let asked = process.clone();
        admin
            .serve_during(&asked, collector::run(program.collector, listener, process))
            .await
    })
}

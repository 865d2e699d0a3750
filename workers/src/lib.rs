//! The workers: durable pull consumers that turn the stream into stored data.

mod database;
pub mod persist;

use anyhow::Context as _;
use async_nats::jetstream;
use common::bus::{self, NatsSettings};
use common::process::Process;

pub use database::{DatabaseSettings, DatabaseUrl};

/// The workers' settings.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerSettings {
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Where the store is.
    #[command(flatten)]
    pub database: DatabaseSettings,
}

/// Runs every role in this process, as SQLite needs it, until the process stops.
///
/// # Errors
/// Where the database is in use or unusable, or the stream or its consumer is missing or unsafe.
pub async fn run_all(settings: WorkerSettings, process: Process) -> anyhow::Result<()> {
    let opened = settings.database.open()?;
    let Some(client) = bus::connect(&settings.nats.nats_url, &process.actor.to_string(), &process.stop).await
    else {
        return Ok(());
    };
    let js = jetstream::new(client);
    persist::run(js, opened.store, process).await.context("the persist role cannot start")
}

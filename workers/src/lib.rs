//! The workers: durable pull consumers that turn the stream into stored data.
//!
//! [`persist`] stores batches and publishes their jobs. [`aggregate`], [`normalize`] and [`alert`] do these jobs, by
//! way of what they share in [`jobs`]. On Postgres any number of processes may run a role; on SQLite one process runs
//! them all.

pub mod aggregate;
pub mod alert;
mod awaited_batch;
mod database;
pub mod delivery_state;
mod error_class;
pub mod export;
mod health;
pub mod hour_partials;
pub mod jobs;
pub mod normalize;
pub mod outbox_relay;
pub mod ownership;
pub mod persist;
mod present_streams;
pub mod query_responder;
pub mod report;
mod retention;
mod role;
mod settings;
pub mod watch;
pub mod webhook;
mod worker;

pub use database::{DatabaseSettings, DatabaseUrl, OpenedStore};
pub use retention::RetentionSettings;
pub use role::WorkerRole;
pub use settings::WorkerSettings;
pub use watch::WatchSettings;
pub use worker::run;

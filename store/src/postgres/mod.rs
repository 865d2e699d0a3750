//! Postgres: a pool of sessions, any number of processes, every write one transaction with a fixed
//! order of locks (docs/protocol.md, Transactions).

mod alert_outbox;
mod attempts;
mod audit;
mod batches;
mod database;
mod dead_letters;
mod error;
mod export;
mod history;
mod identity;
mod jobs;
mod listings;
mod migrate;
mod monitoring;
mod newest;
mod outbox;
mod persist;
mod quarantine;
mod query_reads;
mod records;
mod retention;
mod row;
mod statements;
mod store;
mod url;
mod verify_reads;

pub use database::Postgres;
pub use url::{BadPostgresUrl, PostgresUrl};

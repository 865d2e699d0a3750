//! SQLite: one file, one writer that groups everyone's statements, readers on their own connections.

mod alert_outbox;
mod attempts;
mod audit;
mod batches;
mod checkpoint;
mod connection;
mod database;
mod dead_letters;
mod error;
mod export;
mod history;
mod identity;
mod jobs;
mod listings;
mod monitoring;
mod outbox;
mod persist;
mod quarantine;
mod query_reads;
mod readers;
mod records;
mod retention;
mod row;
mod statements;
mod store;
mod verify_reads;
mod writer;

pub use connection::SQLITE_CACHE_KIB;
pub use database::Sqlite;

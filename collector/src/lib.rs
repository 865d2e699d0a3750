//! The collector: accept a batch, publish it, respond once it is on disk.
//!
//! A request meets, in this order: [`http_server::serve`] (connection), `cors` (origin), `routes` (the steps),
//! `authorized` (key and scope), `body` (bytes within limits), [`types::formats`] (its batch; pure),
//! [`types::admission`] (verdicts; pure), `rate_limit` (events of the key) and [`publisher`] (PubAck). If the client
//! prefers it, `stored_wait` waits until the batch is stored. The workers tell what is stored, through `query_client`.
//! Alerts are read from the stream ALERTS (`alert_log`); `alert_feed` tells who has new ones.
//! `openapi` describes the routes.

mod admission_control;
mod alert_feed;
mod alert_log;
mod api_keys;
mod app_state;
mod audit_notes;
mod authorized;
mod body;
mod breaker_recovery;
mod cors;
mod file_descriptors;
mod incarnation_cache;
mod openapi;
pub mod partitions;
mod prefer;
pub mod publisher;
mod query_client;
mod rate_limit;
mod routes;
mod run;
mod settings;
mod settings_mirror;
mod stored_wait;

pub use admission_control::OverloadSettings;
pub use routes::document as openapi;
pub use run::{listen, run};
pub use settings::{ClientSettings, CollectorSettings, RequestLimits};

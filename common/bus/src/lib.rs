//! NATS: connecting, what streams and consumers must be, binding to them, pulling from them.

mod address;
mod admin_alerts;
pub mod api;
pub mod atomic_group;
mod bind;
pub mod bucket_mirror;
mod connect_failure;
mod connection;
pub mod consumer_status;
pub mod direct_get;
mod event_streams;
pub mod lease;
mod login;
pub mod monitor;
mod names;
pub mod pull;
mod settings_entry;
pub mod store_owner;
pub mod stored_messages;
pub mod stream_metrics;
pub mod sync;
pub mod topology;
pub mod worker_registry;

pub use address::{NATS_ADDRESS, NatsAddress};
pub use admin_alerts::{AdminAlertLog, admin_alerts, publish_admin_alert};
pub use bind::{BindError, bind_consumer, bind_stream};
pub use connect_failure::ConnectFailure;
pub use connection::{
    ConnectionSettings, NatsSettings, connect, connect_once, connects, reconnected,
};
pub use event_streams::{event_streams, existing_event_streams};
pub use login::{NatsAccess, NatsLoginArgs};
pub use names::{
    ADMIN, ALERTS, ConsumerRef, DEAD, JOBS, PERSIST, PERSIST_REPLAY, REPLAY, ResourceName,
    WEBHOOK_ADMIN,
};
pub use settings_entry::developer_settings;

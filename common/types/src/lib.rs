//! What Devtrail's programs say to each other, as pure values: no I/O, no clock, no settings.
//!
//! An event's way through it: [`formats`] reads a body, [`admission`] gives each event a verdict by the
//! [`schema`]s, [`batch`] is the message that holds them, [`job`] what is to be done about it.

pub mod admin_alert;
pub mod admission;
pub mod api_key;
pub mod audit;
pub mod batch;
pub mod dead_letter;
pub mod developer_settings;
pub mod event;
pub mod event_streams;
pub mod export;
pub mod formats;
pub mod id;
pub mod job;
pub mod json;
pub mod query;
pub mod replay_pointer;
pub mod schema;
pub mod severity;
pub mod stream;
pub mod time;
pub mod verdict;
pub mod week;

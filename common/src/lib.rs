//! What every Devtrail program shares.
//!
//! The pure half knows no I/O: [`id`], [`event`], [`schema`], [`verdict`], [`clock`], [`batch`],
//! [`job`], [`pointer`], [`audit`], [`retry`], [`breaker`], [`severity`], [`admin_alert`]. The I/O half is the frame
//! every program runs in: [`process`] (configuration, logs, signals), [`metrics`], and [`bus`] (NATS: connect, bind,
//! pull).

pub mod admin_alert;
pub mod audit;
pub mod batch;
pub mod breaker;
pub mod bus;
pub mod clock;
pub mod crash;
pub mod event;
pub mod id;
pub mod job;
pub mod json;
pub mod key;
pub mod metrics;
pub mod pointer;
pub mod process;
pub mod query;
pub mod retry;
pub mod schema;
pub mod severity;
pub mod verdict;

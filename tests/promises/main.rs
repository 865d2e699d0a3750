//! What Devtrail promises, against real processes: one file a promise.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod apart;
mod http;
mod kept_once;
mod limits;
mod nothing_between;
mod put_back;
mod real_input;
mod stops;
mod survives;
mod synced;

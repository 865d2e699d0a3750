//! The contract's promises about routes, shown from outside: what holds where input is hostile or odd, and
//! that the next good batch is accepted all the same. Each test cites the promises that it shows.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bodies;
mod commands;
mod compression;
mod cors;
mod envelopes;
mod error_codes;
mod event_types;
mod fairness;
mod framing;
mod fuzz;
mod http2;
mod ids;
mod json;
mod limits;
mod memory;
mod overload;
mod prefer_wait;
mod problem;
mod proxies;
mod queries;
mod query_key;
mod refusal_log;
mod reply;
mod requests;
mod routes;
mod slow_clients;
mod support;
mod times;
mod unavailable;
mod versions;

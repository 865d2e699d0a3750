//! The contract's promises about routes, shown from outside: what holds where input is hostile or odd, and
//! that the next good batch is accepted all the same. Each test cites the promises that it shows.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod away;
mod bodies;
mod codes;
mod commands;
mod envelopes;
mod framing;
mod http2;
mod ids;
mod json;
mod limits;
mod memory;
mod mutations;
mod overload;
mod packed;
mod problem;
mod questions;
mod reply;
mod requests;
mod routes;
mod slow;
mod talk;
mod times;
mod types;
mod versions;
mod wait;

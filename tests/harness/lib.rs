//! The end-to-end harness: real programs on real folders and free ports, killed when a test ends.

mod client;
mod input;
mod up;

pub use client::{Client, envelope, event};
pub use input::{Person, real_input};
pub use up::{Up, nats_server};

use std::path::PathBuf;

/// A program of the workspace, built by `cargo build` before the tests run.
///
/// # Panics
/// Where it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/promises-… → target/PROFILE
    let folder = tests.parent().and_then(|deps| deps.parent()).expect("cargo's folders");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins`, or `make test`",
        path.display()
    );
    path
}

//! The end-to-end harness: real programs on real folders and free ports, killed when a test ends.

mod address;
mod client;
mod database;
mod deployment;
mod devtrail_up;
mod disk;
mod input;
mod raw_connection;
mod webhook;

pub use address::free_address;
pub use client::{Client, WaitReply, envelope, event};
pub use database::{Database, DatabaseLock, Engine};
pub use deployment::{Deployment, ROLES, stderr_of, until, wait_until_stopped};
pub use devtrail_up::{DevtrailUp, nats_server};
pub use disk::{Disk, Mounts, own_mounts};
pub use input::{Person, real_input};
pub use raw_connection::{Answer, RawConnection};
pub use webhook::{WebhookPost, WebhookReceiver};

use std::path::PathBuf;

/// Compiles test cases for both stores: each is an async function of an [`Engine`].
#[macro_export]
macro_rules! on_both_stores {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(harness::Engine::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(harness::Engine::Postgres).await;
            })+
        }
    };
}

/// A program of the workspace, built by `cargo build` before the tests run.
///
/// # Panics
/// Where it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/promises-… (a test) or target/PROFILE/devtrail-bench
    let folder = tests.parent().expect("a program lies in a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().expect("cargo's folders")
    } else {
        folder
    };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins`, or `make test`",
        path.display()
    );
    path
}

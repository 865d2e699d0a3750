//! The end-to-end harness: real programs on real folders and free ports, killed when a test ends.

mod address;
mod client;
mod database;
mod deployment;
mod devtrail_up;
mod disk;
mod event_streams;
mod input;
mod left_out;
mod nats_server;
mod processes;
mod programs;
mod raw_connection;
mod streams;
mod wait;
mod webhook;

pub use address::free_address;
pub use client::{Client, WaitReply, envelope, event};
pub use database::{Database, DatabaseLock, Engine};
pub use deployment::{Deployment, ROLES};
pub use devtrail_up::DevtrailUp;
pub use disk::{Disk, Mounts, own_mounts};
pub use event_streams::{
    event_streams, events_of, sequence_of, src_of, stream_of, written_sequence,
};
pub use input::{Person, real_input};
pub use left_out::{in_ci, leave_out};
pub use nats_server::NatsGuard;
pub use processes::Processes;
pub use programs::{nats_server, program, stderr_of, up_command};
pub use raw_connection::{Answer, RawConnection};
pub use streams::Streams;
pub use wait::{until, wait_until_stopped};
pub use webhook::{WebhookPost, WebhookReceiver};

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

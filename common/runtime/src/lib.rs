//! The frame every Devtrail program runs in.
//!
//! [`process::run`] reads the [`settings`], starts the [`logging`], watches the signals ([`shutdown`]) and runs the
//! program. Beside it: what every step that reaches another process uses ([`retry`], [`breaker`]), and what
//! administrators see of a process ([`health`], [`metrics`]).

pub mod breaker;
pub mod clock;
pub mod crash;
pub mod disk;
pub mod health;
mod logging;
pub mod metrics;
mod panic_text;
pub mod private_files;
pub mod process;
pub mod retry;
pub mod schema_folder;
pub mod settings;
pub mod shutdown;
pub mod stdout;
pub mod text_file;

pub use logging::wants_colour;
pub use panic_text::panic_text;

/// The allocator of every program that is built with the feature `jemalloc`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

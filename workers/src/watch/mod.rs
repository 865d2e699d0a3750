//! The watcher: alerts to administrators, raised and resolved in the stream ADMIN, and posted to their webhook.
//!
//! Every worker process has one; the one that holds the lease probes everything, every few seconds. Its readings become
//! conditions (`readings`), and these become messages (`condition_tracker`): both are pure. ADMIN keeps the watcher's
//! state: whichever process gets the lease reads the open alerts from there. A message is published only if ADMIN has
//! not changed since, so that no alert is ever raised twice.

mod condition;
mod condition_tracker;
mod disk_probes;
mod liveness;
mod probe;
mod probes;
mod readings;
mod rule_failures;
mod settings;
mod watcher;
mod webhook;

pub use settings::WatchSettings;
pub use watcher::{Watch, run};
pub use webhook::deliver;

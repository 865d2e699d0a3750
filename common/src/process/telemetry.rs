//! Logs: readable lines on a terminal, JSON lines elsewhere; always on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Usage;

/// Installs the process's log output.
///
/// # Errors
/// Where `filter` does not parse.
pub fn init(filter: &str) -> Result<(), Usage> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Usage(format!("--log {filter:?} is no log filter ({error}); use info, debug, or a filter such as collector=debug"))
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second program of one process (tests) keeps the first one's output.
    let _ = if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).with_ansi(false).try_init()
    };
    Ok(())
}

//! A signal ends a command.

use runtime::shutdown::Shutdown;

/// Runs a command that holds no resources: a signal ends it at once.
///
/// # Errors
/// Returns the command's error, or one that says that a signal ended it.
pub async fn until_shutdown<T>(
    command: impl Future<Output = anyhow::Result<T>>,
    shutdown: &Shutdown,
) -> anyhow::Result<T> {
    tokio::select! {
        result = command => result,
        () = shutdown.draining() => anyhow::bail!("Stopped by a signal before it was done; run the command again."),
    }
}

//! Waiting for a condition, with a limit.

use std::time::Duration;

/// A condition that takes longer has failed: the machines are slow, not that slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `condition` gives something.
///
/// # Panics
/// If it does not in time.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    waited(condition)
        .await
        .unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Waits until a process that was sent SIGSTOP is frozen: each of its threads stops on its own.
///
/// # Panics
/// If it does not in time, or is gone.
pub async fn wait_until_stopped(pid: u32) {
    let stopped = |task: std::fs::DirEntry| {
        // A thread may have ended meanwhile; its name, in parentheses, stands before its state.
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        Some(stat.rsplit(')').next()?.trim_start().starts_with('T'))
    };
    until("the process stands still", async || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
            .expect("a process")
            .flatten();
        tasks
            .filter_map(stopped)
            .all(|stopped| stopped)
            .then_some(())
    })
    .await;
}

/// What `condition` gives in time.
pub(crate) async fn waited<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let mut polls = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        loop {
            polls.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.ok()
}

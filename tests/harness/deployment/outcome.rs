//! What became of what was sent: waited for, counted, verified.

use std::time::Duration;

use serde_json::Value;

use super::{Deployment, stderr_of};
use crate::Database;

/// A condition that takes longer has failed: the machines are slow, not that slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `condition` gives something.
///
/// # Panics
/// Where it does not in time.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    waited(condition)
        .await
        .unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Waits until a process that was sent SIGSTOP stands still: each of its threads stops on its own.
///
/// # Panics
/// Where it does not in time, or is gone.
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
async fn waited<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> Option<T> {
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

impl Deployment {
    /// Waits until `count` batches are stored and every one is completed.
    ///
    /// # Panics
    /// Where that does not come.
    pub async fn completed(&self, count: i64) {
        const LEFT: &str = "SELECT count(*) FROM batches WHERE state = 'completed'";
        let completed = async || {
            (self.has_tables().await && self.database.count(LEFT).await == count).then_some(())
        };
        if waited(completed).await.is_none() {
            let states =
                "SELECT state, done, failed, count(*) FROM batches GROUP BY state, done, failed";
            let logs = self.logs();
            let states = if self.has_tables().await {
                self.database.rows(states).await
            } else {
                Vec::new()
            };
            panic!(
                "waited in vain until {count} batches are completed; there are {states:?}\n{logs}"
            );
        }
    }

    /// The last lines that each process logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let tail = |name: &String| {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().rev().take(8).collect();
            format!(
                "== {name}\n{}\n",
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        };
        self.processes.keys().map(tail).collect()
    }

    /// Whether a worker has made the database's tables.
    pub async fn has_tables(&self) -> bool {
        let sql = match &self.database {
            Database::Sqlite(path) if !path.exists() => return false,
            Database::Sqlite(_) => "SELECT count(*) FROM sqlite_master WHERE name = 'alerts'",
            Database::Postgres(_) => {
                "SELECT count(*) FROM information_schema.tables WHERE table_name = 'alerts'"
            }
        };
        self.database.count(sql).await == 1
    }

    /// Runs `devtrail verify` and gives its report.
    ///
    /// # Panics
    /// Where it finds anything.
    #[must_use]
    pub fn verify(&self) -> Value {
        let output = self.run("devtrail", &["verify", "--json"]);
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "verify: {report}{}",
            stderr_of(&output)
        );
        serde_json::from_str(&report).expect("a report")
    }
}

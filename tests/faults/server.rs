//! A PostgreSQL server of the run's own, which syncs, and is killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::schedule::ProcessFault;

/// A server in a folder of its own, removed when dropped.
pub struct Server {
    folder: PathBuf,
    /// As tests and `devtrail verify` reach it.
    pub url: String,
}

/// Runs `scripts/postgres.sh` and gives what it prints.
fn script(arguments: &[&str]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("scripts/postgres.sh"));
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.expect("scripts/postgres.sh runs");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Server {
    /// Starts one with fsync and synchronous commit.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| script(&["start", "--fsync", "faults"]));
        let started = started
            .await
            .expect("no panic")
            .expect("a Postgres server (its reason is above)");
        let (folder, url) = started.split_once(' ').expect("`DIR URL`");
        Self {
            folder: folder.into(),
            url: url.to_owned(),
        }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        let (_, rest) = self.url.split_once('@').expect("a URL with a user");
        rest.split_once('/').expect("a URL with a database").0
    }

    /// The URL by way of another address.
    pub fn url_at(&self, address: &str) -> String {
        self.url.replacen(self.address(), address, 1)
    }

    /// The server's process and its children's. Empty if it does not run.
    fn pids(&self) -> Vec<i32> {
        let file =
            std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(server) = file
            .lines()
            .next()
            .and_then(|line| line.parse::<i32>().ok())
        else {
            return Vec::new();
        };
        let command =
            std::fs::read_to_string(format!("/proc/{server}/cmdline")).unwrap_or_default();
        // The file outlives a kill -9: whose pid is it now?
        if !command.contains(&*self.folder.to_string_lossy()) {
            return Vec::new();
        }
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"))
            .unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        std::iter::once(server).chain(children).collect()
    }

    fn signal_all(&self, signal: Signal) {
        for pid in self.pids() {
            // A child may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Begins a fault.
    pub fn begin(&self, blow: ProcessFault) {
        match blow {
            ProcessFault::Kill => self.signal_all(Signal::SIGKILL),
            ProcessFault::Pause => self.signal_all(Signal::SIGSTOP),
            ProcessFault::Stop => {
                // SIGINT to the server is its fast shutdown: sessions are ended, data is written.
                if let Some(&server) = self.pids().first() {
                    let _ = kill(Pid::from_raw(server), Signal::SIGINT);
                }
            }
        }
    }

    /// Whether its process is there.
    pub fn runs(&self) -> bool {
        !self.pids().is_empty()
    }

    /// Goes on after a pause.
    pub fn go_on(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Starts it again; `false` if it does not start yet, such as while its children end.
    pub fn again(&self) -> bool {
        script(&["again", &self.folder.to_string_lossy()]).is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go_on();
        let _ = script(&["stop", &self.folder.to_string_lossy()]);
    }
}

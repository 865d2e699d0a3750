//! A site whose processes are killed and come back at the same places.

use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Deployment, until};
use crate::{Database, Engine, nats_server};

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;
/// Signals that nobody sends: they come from a program's own fault.
const CRASHES: [i32; 4] = [
    Signal::SIGABRT as i32,
    Signal::SIGSEGV as i32,
    Signal::SIGBUS as i32,
    Signal::SIGILL as i32,
];

impl Deployment {
    /// A site with its streams on a Postgres server of the caller's own.
    ///
    /// # Panics
    /// Where the streams cannot be made.
    pub async fn start_on_postgres(url: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::Postgres(url);
        Self::bare_on(database, Engine::Postgres, folder, str::to_owned)
            .await
            .with_streams()
    }

    /// Starts nats-server on this port, with its monitor on that one; -1 takes a free one.
    pub(super) fn spawn_nats(&mut self, port: &str, monitor: &str) {
        let folder = self.folder.path().to_owned();
        let mut command = Command::new(nats_server());
        command.arg("-c").arg(self.path("server.conf")).args([
            "-a",
            "127.0.0.1",
            "-p",
            port,
            "-m",
            monitor,
        ]);
        command
            .arg("--ports_file_dir")
            .arg(&folder)
            .arg("-sd")
            .arg(folder.join("nats"));
        self.spawn("nats", &mut command);
    }

    /// Starts the nats-server again where it was, without waiting until it answers.
    ///
    /// # Panics
    /// Where it runs, or never did.
    pub fn nats_again(&mut self) {
        let port = |address: &str| {
            let (_, port) = address.rsplit_once(':').expect("an address with a port");
            port.trim_end_matches('/').to_owned()
        };
        let (port, monitor) = (port(&self.nats), port(&self.monitor));
        self.spawn_nats(&port, &monitor);
    }

    /// Moves what the nats-server has on disk into `folder`, where it goes on.
    ///
    /// # Panics
    /// Where it does not run, or the folder is none.
    pub async fn move_nats(&mut self, folder: &Path) {
        let _ = self.stop("nats").await;
        let (old, new) = (self.path("nats"), folder.join("nats"));
        let copied = Command::new("cp").arg("-a").arg(&old).arg(&new).status();
        assert!(
            copied.expect("cp runs").success(),
            "the streams cannot be copied"
        );
        std::fs::remove_dir_all(&old)
            .and_then(|()| symlink(&new, &old))
            .expect("another folder");
        self.nats_again();
        let answers = async || async_nats::connect(&self.nats).await.ok().map(drop);
        until("nats-server answers again", answers).await;
    }

    /// Whether the process of this name runs; one that has ended is forgotten, and `false`. How one
    /// crashed is kept in [`Self::crashes`].
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub fn runs(&mut self, name: &str) -> bool {
        let Some(child) = self.processes.get_mut(name) else {
            return false;
        };
        if let Some(status) = child.try_wait().expect("it can be asked") {
            self.processes.remove(name);
            if status.code() == Some(PANICKED)
                || status.signal().is_some_and(|one| CRASHES.contains(&one))
            {
                let stderr_of: Vec<String> = self
                    .log(name)
                    .lines()
                    .rev()
                    .take(3)
                    .map(str::to_owned)
                    .collect();
                self.crashes.push(format!(
                    "{name} ended with {status}: {}",
                    stderr_of.join(" | ")
                ));
            }
            return false;
        }
        true
    }
}

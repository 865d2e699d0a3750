//! Processes by name, with what each logs.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::until;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;
/// Signals that nobody sends: they come from a program's own fault.
const CRASHES: [i32; 4] = [
    Signal::SIGABRT as i32,
    Signal::SIGSEGV as i32,
    Signal::SIGBUS as i32,
    Signal::SIGILL as i32,
];

/// Processes by name; all end with it.
pub struct Processes {
    /// Where each one's log lies.
    folder: PathBuf,
    running: BTreeMap<String, Child>,
    /// How processes crashed that were found gone.
    pub crashes: Vec<String>,
}

impl Processes {
    /// None yet; their logs will lie in `folder`.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            running: BTreeMap::new(),
            crashes: Vec::new(),
        }
    }

    /// Starts a program under `name`; what it logs goes to a file of the folder.
    ///
    /// # Panics
    /// If it does not start, or one of that name runs.
    pub fn spawn(&mut self, name: &str, command: &mut Command) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file(name));
        let log = log.expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let before = self
            .running
            .insert(name.to_owned(), child.expect("the program starts"));
        assert!(before.is_none(), "{name} runs already");
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// What the process of this name logged.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// kill -9.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).expect("it runs");
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("it can be killed");
    }

    /// Asks the process to stop and waits for its exit.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn stop(&mut self, name: &str) -> ExitStatus {
        self.signal(name, Signal::SIGTERM);
        self.ended(name).await
    }

    /// The names of the processes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// The process id of the process of this name.
    ///
    /// # Panics
    /// If it was not started.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        self.running[name].id()
    }

    /// Sends a signal to the process of this name.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str, signal: Signal) {
        let pid = self.running[name].id().cast_signed();
        kill(Pid::from_raw(pid), signal).expect("it can be signalled");
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// If it does not.
    pub async fn ended(&mut self, name: &str) -> ExitStatus {
        let child = self.running.get_mut(name).expect("it was started");
        let status = until("the process ends", async || {
            child.try_wait().expect("it can be asked")
        })
        .await;
        // Only now: one that does not end is still killed with the deployment.
        self.running.remove(name);
        status
    }

    /// Whether the process of this name runs; one that has ended is forgotten, and `false`. How one
    /// crashed is kept in [`Self::crashes`].
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn runs(&mut self, name: &str) -> bool {
        let Some(child) = self.running.get_mut(name) else {
            return false;
        };
        if let Some(status) = child.try_wait().expect("it can be asked") {
            self.running.remove(name);
            if status.code() == Some(PANICKED)
                || status.signal().is_some_and(|one| CRASHES.contains(&one))
            {
                let last_lines: Vec<String> = self
                    .log(name)
                    .lines()
                    .rev()
                    .take(3)
                    .map(str::to_owned)
                    .collect();
                self.crashes.push(format!(
                    "{name} ended with {status}: {}",
                    last_lines.join(" | ")
                ));
            }
            return false;
        }
        true
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
        self.running.keys().map(tail).collect()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

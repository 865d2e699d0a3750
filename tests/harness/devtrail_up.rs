//! One running `devtrail up`, on a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use types::event_streams::EventStreams;

use crate::client::Client;
use crate::event_streams::event_streams;
use crate::programs::{nats_server, program};

/// A start or a condition that takes longer has failed: the machines are slow, not that slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `devtrail up`. Dropped: stopped for good, its nats-server as well.
pub struct DevtrailUp {
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl DevtrailUp {
    /// Starts on a fresh folder and waits until a batch would be accepted.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more arguments, which hold for each restart as well.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), arguments).await
    }

    /// The same in a folder of its own under `parent`.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_in(parent: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let mut up = Self {
            folder: tempfile::tempdir_in(parent).expect("a folder"),
            arguments,
            child: None,
        };
        up.restart().await;
        up
    }

    /// Starts again on the same folder.
    ///
    /// # Panics
    /// If it does not start, or still runs.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// Starts again on the same folder, with more flags.
    ///
    /// # Panics
    /// If it does not start, or still runs.
    pub async fn restart_with(&mut self, flags: &[&str]) {
        assert!(self.child.is_none(), "it still runs");
        let _ = std::fs::remove_file(self.path("addresses.json"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("up.log"))
            .expect("a log");
        let mut command = Command::new(program("devtrail"));
        command
            .arg("up")
            .arg("--data")
            .arg(self.folder.path())
            .args(["--listen", "127.0.0.1:0", "--nats-port", "0"]);
        command
            .arg("--nats-server")
            .arg(nats_server())
            .args(&self.arguments)
            .args(flags);
        if event_streams() != EventStreams::ONE {
            command.env("DEVTRAIL_EVENT_STREAMS", event_streams().to_string());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("devtrail up starts"));
        self.until("it listens", || {
            Path::new(&self.path("addresses.json"))
                .exists()
                .then_some(())
        })
        .await;
    }

    /// A file of its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One of the addresses in use: `collector`, `nats`, `monitor`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path("addresses.json")).expect("addresses.json");
        let addresses: Value = serde_json::from_slice(&bytes).expect("addresses.json is JSON");
        addresses[name].as_str().expect("an address").to_owned()
    }

    /// A client with the first key.
    ///
    /// # Panics
    /// If there is no key.
    #[must_use]
    pub fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.path("api-key")).expect("api-key");
        Client::new(&self.address("collector"), key.trim())
    }

    /// Pids of `devtrail up` and of its nats-server.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pids(&self) -> (i32, i32) {
        let up = self.child.as_ref().expect("it runs").id().cast_signed();
        let start = Instant::now();
        // A server that starts makes the file before it writes it.
        let pid = loop {
            let text =
                std::fs::read_to_string(self.path("nats-server.pid")).expect("nats-server.pid");
            match text.trim().parse() {
                Ok(pid) => break pid,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{text:?} is no pid: {error}"),
            }
            std::thread::yield_now();
        };
        (up, pid)
    }

    /// kill -9 of `devtrail up`; its nats-server is left behind.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("it can be killed");
    }

    /// kill -9 of the nats-server.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_nats(&self) {
        kill(Pid::from_raw(self.pids().1), Signal::SIGKILL).expect("nats-server can be killed");
    }

    /// Asks it to stop and waits for its exit code.
    ///
    /// # Panics
    /// If it does not stop.
    pub async fn stop(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.pids().0), Signal::SIGTERM).expect("it can be signalled");
        self.ended().await
    }

    /// Waits for its exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let exit = tokio::task::spawn_blocking(move || child.wait());
        tokio::time::timeout(PATIENCE, exit)
            .await
            .expect("it stops")
            .expect("no panic")
            .expect("an exit")
            .code()
    }

    /// Runs a command of `devtrail` on its folder.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn devtrail(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("devtrail"));
        command
            .args(arguments)
            .arg("--data")
            .arg(self.folder.path())
            .env("DEVTRAIL_LOG", "warn");
        command.output().expect("devtrail runs")
    }

    /// Runs `devtrail verify` and gives its report.
    ///
    /// # Panics
    /// If it finds anything.
    #[must_use]
    pub fn verify(&self) -> Value {
        let output = self.devtrail(&["verify", "--json"]);
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "verify: {report}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&report).expect("a report")
    }

    /// The database, opened for reading.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.path("devtrail.db"), flags)
            .expect("the database opens")
    }

    /// A single number of the database.
    ///
    /// # Panics
    /// If the query fails.
    #[must_use]
    pub fn count(&self, sql: &str) -> i64 {
        self.database()
            .query_row(sql, [], |row| row.get(0))
            .expect("the query runs")
    }

    /// The bytes of a single column of the one row that `sql` finds.
    ///
    /// # Panics
    /// If the query fails.
    #[must_use]
    pub fn bytes(&self, sql: &str) -> Vec<u8> {
        self.database()
            .query_row(sql, [], |row| row.get(0))
            .expect("the query runs")
    }

    /// The text of the stored event of this id.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn kept(&self, event_id: &str) -> String {
        let body = self.bytes(&format!(
            "SELECT body FROM events WHERE event_id = '{event_id}'"
        ));
        String::from_utf8(body).expect("a stored event is text")
    }

    /// Waits until `condition` gives something.
    ///
    /// # Panics
    /// If it does not in time; the end of the log says why.
    pub async fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        let mut polls = tokio::time::interval(Duration::from_millis(10));
        loop {
            polls.tick().await;
            if let Some(value) = condition() {
                return value;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain until {what}. The log:\n{}",
                self.log()
            );
        }
    }

    /// All that it has logged.
    #[must_use]
    pub fn whole_log(&self) -> String {
        std::fs::read_to_string(self.path("up.log")).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let text = self.whole_log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for DevtrailUp {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // In order, so that the nats-server goes with it; by force if that fails.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            let start = Instant::now();
            while start.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
                std::thread::yield_now();
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let left = std::fs::read_to_string(self.path("nats-server.pid"))
            .ok()
            .and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = left {
            let command =
                std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains(&*self.folder.path().to_string_lossy()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

//! A Devtrail of separate processes, as an administrator runs it: any mix, on either store.

mod collector;
mod lifecycle;
mod outcome;
mod streams;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Client, Database, Engine, program};
pub use outcome::{until, wait_until_stopped};

/// The roles that a site on Postgres runs as processes of their own.
pub const ROLES: [&str; 4] = ["persist", "aggregate", "normalize", "alert"];

/// Processes of one site; all end with it.
pub struct Deployment {
    folder: TempDir,
    engine: Engine,
    /// Its database.
    pub database: Database,
    /// Addresses of the nats-server and its monitor.
    pub nats: String,
    /// The monitor's.
    pub monitor: String,
    processes: BTreeMap<String, Child>,
    /// How processes crashed that were found gone.
    pub crashes: Vec<String>,
}

impl Deployment {
    /// A nats-server with nothing on it, and an empty database.
    ///
    /// # Panics
    /// Where they do not start.
    pub async fn bare(engine: Engine) -> Self {
        Self::bare_in(engine, &std::env::temp_dir(), str::to_owned).await
    }

    /// A site with its streams.
    ///
    /// # Panics
    /// Where they cannot be made.
    pub async fn start(engine: Engine) -> Self {
        Self::start_in(engine, &std::env::temp_dir()).await
    }

    /// The same with a changed configuration of the nats-server.
    ///
    /// # Panics
    /// Where the streams cannot be made.
    pub async fn configured(engine: Engine, edit: impl FnOnce(&str) -> String) -> Self {
        Self::bare_in(engine, &std::env::temp_dir(), edit)
            .await
            .with_streams()
    }

    /// The same in a folder of its own under `parent`.
    ///
    /// # Panics
    /// Where the streams cannot be made.
    pub async fn start_in(engine: Engine, parent: &Path) -> Self {
        Self::bare_in(engine, parent, str::to_owned)
            .await
            .with_streams()
    }

    async fn bare_in(engine: Engine, parent: &Path, edit: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let database = Database::fresh(engine, folder.path()).await;
        Self::bare_on(database, engine, folder, edit).await
    }

    async fn bare_on(
        database: Database,
        engine: Engine,
        folder: TempDir,
        edit: impl FnOnce(&str) -> String,
    ) -> Self {
        let none = String::new();
        let (processes, crashes) = (BTreeMap::new(), Vec::new());
        let mut deployment = Self {
            folder,
            engine,
            database,
            nats: none.clone(),
            monitor: none,
            processes,
            crashes,
        };
        let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/server.conf");
        let given = std::fs::read_to_string(given).expect("the server's configuration");
        // Streams reserve their bounds, by default within what the disk has free: little, on a machine that builds.
        let roomy = "sync_interval: always\n  max_file_store: 64GB";
        let conf = edit(&given).replace("sync_interval: always", roomy);
        std::fs::write(deployment.path("server.conf"), conf).expect("a file");
        deployment.start_nats().await;
        deployment
    }

    fn with_streams(self) -> Self {
        let applied = self.run("devtrail", &["streams", "apply"]);
        assert!(applied.status.success(), "{}", stderr_of(&applied));
        self
    }

    /// A file of its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start_nats(&mut self) {
        let folder = self.folder.path().to_owned();
        self.spawn_nats("-1", "-1");
        let pid = self.processes["nats"].id();
        let file = folder.join(format!("nats-server_{pid}.ports"));
        let read = async || serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok();
        let ports = until("nats-server tells its ports", read).await;
        let one = |kind: &str| ports[kind][0].as_str().expect("an address").to_owned();
        (self.nats, self.monitor) = (one("nats"), one("monitoring"));
    }

    /// Starts a worker under `name`; `crash` names the point where it dies (see `runtime::crash`).
    pub fn worker(&mut self, name: &str, role: &str, crash: Option<&str>) {
        let crash = crash.map(|point| ("DEVTRAIL_CRASH_POINT", point));
        self.worker_with(name, role, crash.as_slice());
    }

    /// The same with more in its environment.
    pub fn worker_with(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        let mut command = self.command("devtrail-worker", &[role]);
        command.envs(environment.iter().copied());
        self.spawn(name, &mut command);
    }

    /// The same with more arguments, and a point where it dies.
    pub fn worker_given(
        &mut self,
        name: &str,
        role: &str,
        arguments: &[&str],
        crash: Option<&str>,
    ) {
        let mut command = self.command("devtrail-worker", &[role]);
        command
            .args(arguments)
            .envs(crash.map(|point| ("DEVTRAIL_CRASH_POINT", point)));
        self.spawn(name, &mut command);
    }

    /// Starts workers for every role: on SQLite the one process, on Postgres `each` of every role.
    pub fn workers(&mut self, each: usize) {
        if self.engine == Engine::Sqlite {
            return self.worker("all", "all", None);
        }
        for role in ROLES {
            for number in 0..each {
                self.worker(&format!("{role}-{number}"), role, None);
            }
        }
    }

    /// The role that does `role`'s work on this engine.
    #[must_use]
    pub fn role<'a>(&self, role: &'a str) -> &'a str {
        if self.engine == Engine::Sqlite {
            "all"
        } else {
            role
        }
    }

    /// Starts a program under `name`; what it logs goes to a file of the site.
    ///
    /// # Panics
    /// Where it does not start, or one of that name runs.
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
            .processes
            .insert(name.to_owned(), child.expect("the program starts"));
        assert!(before.is_none(), "{name} runs already");
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// What the process of this name logged.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// A program with this site's addresses in its environment.
    #[must_use]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("DEVTRAIL_NATS_URL", &self.nats);
        command.env("DEVTRAIL_NATS_MONITOR_URL", &self.monitor);
        command.env("DEVTRAIL_DATABASE_URL", self.database.url());
        command
    }

    /// Runs a program of the site to its end.
    ///
    /// # Panics
    /// Where it cannot be run.
    #[must_use]
    pub fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments)
            .output()
            .expect("the program runs")
    }

    /// A fresh key of a developer.
    ///
    /// # Panics
    /// Where none can be made.
    #[must_use]
    pub fn key(&self, developer: &str) -> String {
        let made = self.run("devtrail", &["keys", "create", developer]);
        assert!(made.status.success(), "{}", stderr_of(&made));
        String::from_utf8(made.stdout)
            .expect("a key is text")
            .trim()
            .to_owned()
    }

    /// A client of the collector at `url`, with a fresh key of a developer that the collector knows.
    ///
    /// # Panics
    /// Where the key does not become known.
    pub async fn client(&self, url: &str, developer: &str) -> Client {
        let client = Client::new(url, &self.key(developer));
        let known = async || (client.post(&Value::Null).await.ok()?.status() != 401).then_some(());
        until("the collector knows the key", known).await;
        client
    }

    /// kill -9.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.processes.remove(name).expect("it runs");
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("it can be killed");
    }

    /// Asks the process to stop and waits for its exit.
    ///
    /// # Panics
    /// Where it does not end.
    pub async fn stop(&mut self, name: &str) -> ExitStatus {
        self.signal(name, Signal::SIGTERM);
        self.ended(name).await
    }

    /// The names of its processes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it was not started.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        self.processes[name].id()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, name: &str, signal: Signal) {
        let pid = self.processes[name].id().cast_signed();
        kill(Pid::from_raw(pid), signal).expect("it can be signalled");
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn ended(&mut self, name: &str) -> ExitStatus {
        let child = self.processes.get_mut(name).expect("it was started");
        let status = until("the process ends", async || {
            child.try_wait().expect("it can be asked")
        })
        .await;
        // Only now: one that does not end is still killed with the site.
        self.processes.remove(name);
        status
    }
}

/// What a program said on stderr.
#[must_use]
pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

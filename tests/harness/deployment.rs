//! A Devtrail of separate processes, as an administrator runs it: any mix, on either store.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use types::event_streams::EventStreams;

use crate::address::free_address;
use crate::client::Client;
use crate::database::{Database, Engine};
use crate::event_streams::event_streams;
use crate::nats_server::{NatsGuard, NatsServer};
use crate::processes::Processes;
use crate::programs::{program, stderr_of};
use crate::streams::Streams;
use crate::wait::{until, waited};

/// The roles that a deployment on Postgres runs as processes of their own.
pub const ROLES: [&str; 4] = ["persist", "aggregate", "normalize", "alert"];

/// Where a deployment has its files.
enum Folder {
    /// Gone with the deployment.
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

/// Processes of one deployment, and what they share; all end with it.
pub struct Deployment {
    /// First, since they end before their folder goes.
    processes: Processes,
    folder: Folder,
    guard: NatsGuard,
    engine: Engine,
    events: EventStreams,
    pub database: Database,
    /// Addresses of the nats-server and its monitor.
    pub nats: String,
    pub monitor: String,
    server: NatsServer,
}

/// A deployment is used as what it is first of all: processes with names.
impl Deref for Deployment {
    type Target = Processes;

    fn deref(&self) -> &Processes {
        &self.processes
    }
}

impl DerefMut for Deployment {
    fn deref_mut(&mut self) -> &mut Processes {
        &mut self.processes
    }
}

impl Deployment {
    /// A nats-server with nothing on it, and an empty database.
    ///
    /// # Panics
    /// If they do not start.
    pub async fn bare(engine: Engine) -> Self {
        Self::bare_in(engine, &std::env::temp_dir(), str::to_owned).await
    }

    /// A deployment with its streams.
    ///
    /// # Panics
    /// If they cannot be made.
    pub async fn start(engine: Engine) -> Self {
        Self::start_in(engine, &std::env::temp_dir()).await
    }

    /// A deployment that runs: collector and workers, and a client of ada's that the collector knows.
    ///
    /// # Panics
    /// If something of it does not start.
    pub async fn running(engine: Engine) -> (Self, Client) {
        let mut deployment = Self::start(engine).await;
        let url = deployment.collector("collector").await;
        let client = deployment.client(&url, "ada").await;
        deployment.workers(1);
        (deployment, client)
    }

    /// A deployment with its streams, so many of them for batches, whatever the environment says.
    ///
    /// # Panics
    /// If they cannot be made.
    pub async fn with_event_streams(engine: Engine, events: EventStreams) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::fresh(engine, folder.path()).await;
        let folder = Folder::Temporary(folder);
        Self::bare_with(database, engine, folder, events, str::to_owned)
            .await
            .with_streams()
    }

    /// A deployment with its streams, whose nats-server has a changed configuration.
    ///
    /// # Panics
    /// If the streams cannot be made.
    pub async fn configured(engine: Engine, edit: impl FnOnce(&str) -> String) -> Self {
        Self::bare_in(engine, &std::env::temp_dir(), edit)
            .await
            .with_streams()
    }

    /// The same in a folder of its own under `parent`.
    ///
    /// # Panics
    /// If the streams cannot be made.
    pub async fn start_in(engine: Engine, parent: &Path) -> Self {
        Self::bare_in(engine, parent, str::to_owned)
            .await
            .with_streams()
    }

    async fn bare_in(engine: Engine, parent: &Path, edit: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let database = Database::fresh(engine, folder.path()).await;
        Self::bare_on(database, engine, Folder::Temporary(folder), edit).await
    }

    /// A deployment on SQLite with its streams, in a folder that outlives it and is taken up again.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn kept_in(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let database = Database::fresh(Engine::Sqlite, folder).await;
        let folder = Folder::Kept(folder.to_owned());
        Self::bare_on(database, Engine::Sqlite, folder, str::to_owned)
            .await
            .with_streams()
    }

    async fn bare_on(
        database: Database,
        engine: Engine,
        folder: Folder,
        edit: impl FnOnce(&str) -> String,
    ) -> Self {
        Self::bare_with(database, engine, folder, event_streams(), edit).await
    }

    async fn bare_with(
        database: Database,
        engine: Engine,
        folder: Folder,
        events: EventStreams,
        edit: impl FnOnce(&str) -> String,
    ) -> Self {
        let none = String::new();
        let processes = Processes::in_folder(folder.path().to_owned());
        let conf = |given: &str| format!("{}\n{}", edit(given), events.server_mapping());
        let server = NatsServer::configured(folder.path(), conf);
        let mut deployment = Self {
            folder,
            guard: NatsGuard::default(),
            engine,
            events,
            database,
            nats: none.clone(),
            monitor: none,
            processes,
            server,
        };
        let mut command = deployment.server.command("-1", "-1");
        deployment.spawn("nats", &mut command);
        let addresses = deployment.server.addresses(deployment.pid("nats")).await;
        (deployment.nats, deployment.monitor) = (addresses.nats, addresses.monitor);
        deployment
    }

    /// A nats-server that asks who one is, without streams; `guard` may write files into the folder it is given.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn guarded(engine: Engine, guard: impl FnOnce(&Path) -> NatsGuard) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::fresh(engine, folder.path()).await;
        let guard = guard(folder.path());
        let conf = guard.conf.clone();
        let folder = Folder::Temporary(folder);
        let mut deployment = Self::bare_on(database, engine, folder, |given| {
            format!("{given}\n{conf}\n")
        })
        .await;
        deployment.nats = deployment
            .nats
            .replace("://", &format!("://{}", guard.url_login));
        deployment.guard = guard;
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

    /// A program with this deployment's addresses in its environment.
    #[must_use]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("DEVTRAIL_NATS_URL", &self.nats);
        command.env("DEVTRAIL_NATS_MONITOR_URL", &self.monitor);
        command.env("DEVTRAIL_DATABASE_URL", self.database.url());
        if self.events != EventStreams::ONE {
            command.env("DEVTRAIL_EVENT_STREAMS", self.events.to_string());
        }
        command.envs(&self.guard.environment);
        command
    }

    /// Runs a program of the deployment to its end.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments)
            .output()
            .expect("the program runs")
    }

    /// A fresh key of a developer.
    ///
    /// # Panics
    /// If none can be made.
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
    /// If the key does not become known.
    pub async fn client(&self, url: &str, developer: &str) -> Client {
        let client = Client::new(url, &self.key(developer));
        let known = async || (client.post(&Value::Null).await.ok()?.status() != 401).then_some(());
        until("the collector knows the key", known).await;
        client
    }

    /// Ends every process, and removes what they stored.
    /// Of a test it may stay; many rounds of load would fill the disk.
    ///
    /// # Panics
    /// If the database cannot be dropped.
    pub async fn remove(self) {
        let database = self.database.clone();
        drop(self);
        database.remove().await;
    }

    /// The names of its worker processes.
    #[must_use]
    pub fn worker_names(&self) -> Vec<String> {
        let others = ["nats", "collector"];
        let mut names = self.names();
        names.retain(|name| !others.contains(&name.as_str()));
        names
    }

    /// Starts a collector under `name`; gives its URL.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn collector(&mut self, name: &str) -> String {
        self.collector_with(name, &[]).await
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn collector_with(&mut self, name: &str, arguments: &[&str]) -> String {
        self.collector_given(name, arguments, None).await
    }

    /// The same that dies at a point (see `runtime::crash`).
    ///
    /// # Panics
    /// If it does not start.
    pub async fn dying_collector(&mut self, name: &str, crash: &str) -> String {
        self.collector_given(name, &[], Some(crash)).await
    }

    async fn collector_given(
        &mut self,
        name: &str,
        arguments: &[&str],
        crash: Option<&str>,
    ) -> String {
        let address = free_address();
        let mut command = self.command("devtrail-collector", &["--listen", &address]);
        command
            .args(arguments)
            .envs(crash.map(|point| ("DEVTRAIL_CRASH_POINT", point)));
        self.spawn(name, &mut command);
        runtime::process::install_tls();
        let url = format!("http://{address}");
        let client = reqwest::Client::new();
        let ready = async || {
            let reply = client
                .get(format!("{url}/health/ready"))
                .send()
                .await
                .ok()?;
            reply.status().is_success().then_some(())
        };
        until("the collector is ready", ready).await;
        url
    }

    /// A deployment with its streams on a Postgres server of the caller's own.
    ///
    /// # Panics
    /// If the streams cannot be made.
    pub async fn start_on_postgres(url: String) -> Self {
        let folder = Folder::Temporary(tempfile::tempdir().expect("a folder"));
        let database = Database::Postgres(url);
        Self::bare_on(database, Engine::Postgres, folder, str::to_owned)
            .await
            .with_streams()
    }

    /// Starts the nats-server again where it was, without waiting until it answers.
    ///
    /// # Panics
    /// If it runs, or never did.
    pub fn nats_again(&mut self) {
        let port = |address: &str| {
            let (_, port) = address.rsplit_once(':').expect("an address with a port");
            port.trim_end_matches('/').to_owned()
        };
        let mut command = self.server.command(&port(&self.nats), &port(&self.monitor));
        self.spawn("nats", &mut command);
    }

    /// Starts the nats-server again where it was, after a change of what it has or is started with.
    async fn change_nats(&mut self, change: impl FnOnce(&mut NatsServer)) {
        let _ = self.stop("nats").await;
        change(&mut self.server);
        self.nats_again();
    }

    /// Starts the nats-server again with this text of its configuration replaced, without waiting until it answers.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn reconfigure_nats(&mut self, from: &str, to: &str) {
        self.change_nats(|server| server.reconfigure(from, to))
            .await;
    }

    /// Starts the nats-server again under a program, which must leave it its process id.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn restart_nats_under(&mut self, program: &[&'static str]) {
        self.change_nats(|server| server.under = program.to_vec())
            .await;
        self.nats_answers().await;
    }

    /// Copies what the nats-server has on disk; it is stopped meanwhile, so that the copy is whole.
    ///
    /// # Panics
    /// If it does not run, or cannot be copied.
    pub async fn back_up_nats(&mut self) {
        self.change_nats(|server| server.back_up()).await;
        self.nats_answers().await;
    }

    /// Puts the copy back; the server is stopped meanwhile.
    ///
    /// # Panics
    /// If it does not run, or was never copied.
    pub async fn restore_nats(&mut self) {
        self.change_nats(|server| server.restore()).await;
        self.nats_answers().await;
    }

    /// Moves what the nats-server has on disk into `folder`, where it goes on.
    ///
    /// # Panics
    /// If it does not run, or the folder is none.
    pub async fn move_nats(&mut self, folder: &Path) {
        self.change_nats(|server| server.move_to(folder)).await;
        self.nats_answers().await;
    }

    /// Asks every worker to stop, and waits until they have.
    ///
    /// # Panics
    /// If one does not end.
    pub async fn stop_workers(&mut self) {
        for name in self.worker_names() {
            let _ = self.stop(&name).await;
        }
    }

    /// The database is gone, with all that it held; no worker may run.
    ///
    /// # Panics
    /// If it cannot be removed.
    pub async fn lose_database(&self) {
        match &self.database {
            Database::Sqlite(path) => {
                for suffix in ["", "-wal", "-shm"] {
                    let mut file = path.clone().into_os_string();
                    file.push(suffix);
                    // The last two are there only while it is in use.
                    let _ = std::fs::remove_file(file);
                }
            }
            Database::Postgres(_) => {
                let gone = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
                self.database.execute(gone).await;
            }
        }
    }

    /// Has the present database take the streams over: EVENTS is read into it from the first message.
    ///
    /// # Panics
    /// If it is refused.
    pub fn adopt(&self) {
        let adopt = [
            "streams",
            "adopt",
            "--reason",
            "a test lost the other one",
            "--yes",
        ];
        let adopted = self.run("devtrail", &adopt);
        assert!(adopted.status.success(), "{}", stderr_of(&adopted));
    }

    /// Waits until the nats-server answers again.
    ///
    /// # Panics
    /// If it does not.
    pub async fn nats_answers(&self) {
        drop(self.js().await);
    }

    /// Waits until `count` batches are stored and every one is completed.
    ///
    /// # Panics
    /// If that does not come.
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
    /// If it finds anything.
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

    /// A JetStream context on the deployment's server.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn js(&self) -> async_nats::jetstream::Context {
        let address = bus::NatsAddress::parse(&self.nats).expect("addresses");
        let access = bus::NatsAccess::open(address);
        // It may have been started a moment ago.
        let connected = async || bus::connect_once(&access, "test").await.ok();
        async_nats::jetstream::new(until("nats-server answers", connected).await)
    }

    /// The streams on the deployment's server.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn streams(&self) -> Streams {
        Streams::of(self.js().await)
    }
}

//! The processes of a run and the proxies between them: faults begin and end here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use harness::{Database, Deployment, Disk, Engine, free_address};
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use crate::proxy::Proxy;
use crate::schedule::{self, Fault, Link, ProcessFault, Volume};
use crate::server::Server;

/// A whole Devtrail with proxies in its connections.
pub struct Testbed {
    /// Its processes.
    pub deployment: Deployment,
    processes: &'static [&'static str],
    server: Option<Server>,
    /// Disks that can be filled; empty if none can be mounted.
    disks: BTreeMap<Volume, Disk>,
    links: BTreeMap<Link, Proxy>,
    listen: [String; 2],
    /// Those that are down or going down by a fault.
    down: BTreeSet<&'static str>,
    /// Those that were asked to stop, should be back by now, and still run.
    leaving: BTreeSet<&'static str>,
    /// Changes of a stream that the server has not taken yet.
    changes: BTreeMap<&'static str, JoinHandle<()>>,
    /// Processes that ended without being asked to: name and how often.
    pub ended: BTreeMap<String, u32>,
}

/// The room of JOBS and the window of EVENTS as they are declared in `nats/streams/`.
const JOBS_ROOM: i64 = 1 << 30;
const EVENTS_WINDOW: Duration = Duration::from_secs(120);

/// How long a process has to finish what is in flight when it is asked to stop: shorter than faults may last.
pub const SHUTDOWN: Duration = Duration::from_secs(3);

/// Room for a run of minutes, and filled in less than a second.
const DISK_MIB: u32 = 400;

impl Testbed {
    /// Starts everything; on small disks of its own, if they can be mounted.
    pub async fn start(engine: Engine, can_mount: bool) -> Self {
        let server = if engine == Engine::Postgres {
            Some(Server::start().await)
        } else {
            None
        };
        let mut deployment = match &server {
            None => Deployment::start(engine).await,
            Some(server) => Deployment::start_on_postgres(server.url.clone()).await,
        };
        // A killed worker's messages come again after seconds, so that a short run sees it.
        deployment.streams().await.shorten_ack_wait().await;
        let disks = if can_mount {
            disks(engine, &mut deployment).await
        } else {
            BTreeMap::new()
        };
        let listen = [free_address(), free_address()];
        let nats = deployment.nats.trim_start_matches("nats://").to_owned();
        let mut links = BTreeMap::new();
        for (number, address) in listen.iter().enumerate() {
            links.insert(Link::Clients(number), Proxy::before(address).await);
        }
        links.insert(Link::Collectors, Proxy::before(&nats).await);
        links.insert(Link::Workers, Proxy::before(&nats).await);
        if let Some(server) = &server {
            links.insert(Link::Store, Proxy::before(server.address()).await);
        }
        let mut testbed = Self {
            processes: schedule::processes(engine),
            server,
            disks,
            links,
            listen,
            ..Self::around(deployment)
        };
        testbed.raise();
        testbed
    }

    /// A deployment whose processes and connections are the test's own affair.
    pub fn around(deployment: Deployment) -> Self {
        Self {
            deployment,
            processes: &[],
            server: None,
            disks: BTreeMap::new(),
            links: BTreeMap::new(),
            listen: Default::default(),
            down: BTreeSet::new(),
            leaving: BTreeSet::new(),
            changes: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// The collectors' URLs as clients know them.
    pub fn urls(&self) -> Vec<String> {
        [0, 1]
            .map(|number| format!("http://{}", self.links[&Link::Clients(number)].address()))
            .into()
    }

    /// Starts every process that should run and does not; counts those that had ended on their own.
    pub fn raise(&mut self) {
        for &name in self.processes {
            let known = self
                .deployment
                .names()
                .iter()
                .any(|running| running == name);
            if self.deployment.runs(name) {
                continue;
            }
            if self.down.contains(name) {
                continue;
            }
            let was_told = self.leaving.remove(name);
            if known && !was_told {
                *self.ended.entry(name.to_owned()).or_default() += 1;
            }
            self.start_process(name);
        }
    }

    fn start_process(&mut self, name: &'static str) {
        let through = |link| format!("nats://{}", self.links[&link].address());
        let (program, arguments, nats) = match name {
            "nats" => return self.deployment.nats_again(),
            "collector-0" => (
                "devtrail-collector",
                ["--listen", &self.listen[0]].to_vec(),
                through(Link::Collectors),
            ),
            "collector-1" => (
                "devtrail-collector",
                ["--listen", &self.listen[1]].to_vec(),
                through(Link::Collectors),
            ),
            worker => {
                let role = worker.split('-').next().unwrap_or(worker);
                ("devtrail-worker", vec![role], through(Link::Workers))
            }
        };
        let mut command = self.deployment.command(program, &arguments);
        command.env("DEVTRAIL_NATS_URL", nats);
        command.env(
            "DEVTRAIL_SHUTDOWN_TIMEOUT",
            format!("{}s", SHUTDOWN.as_secs()),
        );
        if let Some(server) = &self.server {
            command.env(
                "DEVTRAIL_DATABASE_URL",
                server.url_at(&self.links[&Link::Store].address()),
            );
        }
        self.deployment.spawn(name, &mut command);
    }

    /// Begins a fault.
    pub fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Process(blow, name) => self.strike(blow, name),
            Fault::Postgres(blow) => self.server.iter().for_each(|server| server.begin(blow)),
            Fault::Connections(fault, link) => self.links[&link].begin(fault),
            Fault::FullJobs => self.change("JOBS", |config| config.max_bytes = 512),
            Fault::LostMessageIds => {
                // Twice: see `Deployment::forget_message_ids`.
                self.change("EVENTS", |config| {
                    config.duplicate_window = Duration::from_millis(101);
                });
                self.change("EVENTS", |config| {
                    config.duplicate_window = Duration::from_millis(100);
                });
            }
            Fault::FullDisk(room) => tokio::task::block_in_place(|| self.disks[&room].fill()),
        }
    }

    fn strike(&mut self, blow: ProcessFault, name: &'static str) {
        // It may have ended on its own a moment ago; then the fault finds nothing to hit.
        if !self.deployment.runs(name) {
            return;
        }
        match blow {
            ProcessFault::Kill => {
                self.down.insert(name);
                self.deployment.kill(name);
            }
            ProcessFault::Pause => self.deployment.signal(name, Signal::SIGSTOP),
            ProcessFault::Stop => {
                self.down.insert(name);
                self.deployment.signal(name, Signal::SIGTERM);
            }
        }
    }

    /// Ends a fault; whoever was down comes back with the next [`Self::raise`].
    pub async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Process(ProcessFault::Pause, name) if self.deployment.runs(name) => {
                self.deployment.signal(name, Signal::SIGCONT);
            }
            // Who is still stopping in order has all the time it needs: other faults end meanwhile.
            Fault::Process(_, name) => {
                self.down.remove(name);
                if self.deployment.runs(name) {
                    self.leaving.insert(name);
                }
            }
            Fault::Postgres(ProcessFault::Pause) => self.server.iter().for_each(Server::go_on),
            Fault::Postgres(_) => self.postgres_again().await,
            Fault::Connections(_, link) => self.links[&link].end(),
            Fault::FullJobs => self.change("JOBS", |config| config.max_bytes = JOBS_ROOM),
            Fault::LostMessageIds => {
                self.change("EVENTS", |config| config.duplicate_window = EVENTS_WINDOW);
            }
            Fault::FullDisk(room) => self.free(room),
        }
    }

    /// A server that met a full disk takes nothing until its next start; a worker goes on by itself.
    fn free(&mut self, room: Volume) {
        self.disks[&room].free();
        if room == Volume::Streams && self.deployment.runs("nats") {
            self.deployment.signal("nats", Signal::SIGTERM);
            self.leaving.insert("nats");
        }
    }

    async fn postgres_again(&mut self) {
        let Some(server) = &self.server else { return };
        harness::until("Postgres has ended", async || {
            (!server.runs()).then_some(())
        })
        .await;
        let again = async || tokio::task::block_in_place(|| server.again()).then_some(());
        harness::until("Postgres runs again", again).await;
    }

    /// Changes a stream once the server takes it, after what was asked before.
    fn change(&mut self, stream: &'static str, edit: fn(&mut Config)) {
        let before = self.changes.remove(stream);
        let address = self.deployment.nats.clone();
        let changed = async move {
            if let Some(before) = before {
                before.await.expect("no panic");
            }
            let mut tries = tokio::time::interval(Duration::from_millis(50));
            while changed(&address, stream, edit).await.is_none() {
                tries.tick().await;
            }
        };
        self.changes.insert(stream, tokio::spawn(changed));
    }

    /// After every fault has ended: all that should run does, and every stream is as declared.
    pub async fn settle(&mut self) {
        harness::until("the stopped processes are back", async || {
            self.raise();
            self.leaving.is_empty().then_some(())
        })
        .await;
        self.change("JOBS", |config| config.max_bytes = JOBS_ROOM);
        self.change("EVENTS", |config| config.duplicate_window = EVENTS_WINDOW);
        for (_, change) in std::mem::take(&mut self.changes) {
            change.await.expect("no panic");
        }
    }

    /// The database as the test reads it, past every proxy.
    pub fn database(&self) -> &Database {
        &self.deployment.database
    }
}

/// Puts the streams, and SQLite's file, on disks of their own.
async fn disks(engine: Engine, deployment: &mut Deployment) -> BTreeMap<Volume, Disk> {
    let mut disks = BTreeMap::from([(Volume::Streams, Disk::mount(DISK_MIB))]);
    deployment.move_nats(disks[&Volume::Streams].path()).await;
    if engine == Engine::Sqlite {
        let disk = Disk::mount(DISK_MIB);
        deployment.database = Database::Sqlite(disk.path().join("devtrail.db"));
        disks.insert(Volume::Store, disk);
    }
    disks
}

/// Changes a stream's configuration once; `None` if the server does not do it now.
async fn changed(address: &str, stream: &str, edit: fn(&mut Config)) -> Option<()> {
    let js = async_nats::jetstream::new(async_nats::connect(address).await.ok()?);
    let mut config = js
        .get_stream(stream)
        .await
        .ok()?
        .cached_info()
        .config
        .clone();
    edit(&mut config);
    js.update_stream(config).await.ok().map(drop)
}

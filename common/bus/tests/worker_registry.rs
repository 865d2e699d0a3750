//! The worker registry and leases on a real nats-server.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use bus::{ResourceName, api, topology};
use bus::{
    lease::Lease,
    worker_registry::{BUCKET, COLLECTOR, WorkerEntry, alive, send_heartbeats},
};
use runtime::breaker::{BreakerSettings, BreakerState, Breakers};
use runtime::{process::Actor, shutdown::Shutdown};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A lifetime of entries that a test can wait for, and that a busy machine's hiccups do not end.
const SHORT: Duration = Duration::from_secs(3);

struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nats_server() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = root.join(".tools/nats-server");
    match std::env::var_os("DEVTRAIL_NATS_SERVER") {
        Some(path) => path.into(),
        None if tools.exists() => tools,
        None => "nats-server".into(),
    }
}

async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let mut polls = tokio::time::interval(Duration::from_millis(5));
    let wait = async {
        loop {
            polls.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

impl Server {
    /// A server whose bucket keeps entries for `lifetime`.
    async fn start(lifetime: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(nats_server());
        command
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(folder.path());
        command
            .arg("-sd")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let file = folder
            .path()
            .join(format!("nats-server_{}.ports", child.id()));
        let ports: Value = until("it listens", async || {
            serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
        })
        .await;
        let server = Self {
            child,
            url: ports["nats"][0].as_str().unwrap().to_owned(),
            _folder: folder,
        };
        let mut declared = topology::declared(types::event_streams::EventStreams::ONE);
        declared.retain(|name, _| name.stream == format!("KV_{BUCKET}"));
        for config in declared.values_mut() {
            for field in ["max_age", "duplicate_window"] {
                config.insert(field.to_owned(), json!(lifetime.as_nanos() as u64));
            }
        }
        let plan = topology::plan(&declared, &Default::default());
        topology::apply(&server.connect().await, &plan)
            .await
            .unwrap();
        server
    }

    fn access(&self) -> bus::NatsAccess {
        bus::NatsAccess::open(bus::NatsAddress::parse(&self.url).unwrap())
    }

    async fn connect(&self) -> jetstream::Context {
        jetstream::new(bus::connect_once(&self.access(), "test").await.unwrap())
    }

    /// What `start` gives, on a runtime of its own: a process that [`Doomed::kill`] ends.
    fn process<T: Send>(&self, start: impl FnOnce(jetstream::Context) -> T + Send) -> (Doomed, T) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let made = std::thread::scope(|scope| {
            let run = || runtime.block_on(async { start(self.connect().await) });
            scope.spawn(run).join().unwrap()
        });
        (Doomed(Some(runtime)), made)
    }
}

struct Doomed(Option<tokio::runtime::Runtime>);

impl Doomed {
    /// Ends its tasks where they are, as kill -9 ends a process.
    fn kill(mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn worker(role: &str) -> WorkerEntry {
    WorkerEntry::of(&Actor::new("devtrail-worker"), role, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_while_they_live_and_leave_at_a_stop() {
    // Long enough that an entry which is gone was taken away, and has not expired.
    let server = Server::start(2 * TIMEOUT).await;
    let js = server.connect().await;
    assert_eq!(alive(&js).await.unwrap(), []);
    let (persist, alert, shutdown) = (
        worker("persist"),
        worker("alert"),
        Shutdown::manual(TIMEOUT),
    );
    let _stays = tokio::spawn(send_heartbeats(
        js.clone(),
        alert.clone(),
        Breakers::default(),
        Shutdown::manual(TIMEOUT),
    ));
    let deregisters = tokio::spawn(send_heartbeats(
        js.clone(),
        persist.clone(),
        Breakers::default(),
        shutdown.clone(),
    ));
    let listed = async || Some(alive(&js).await.unwrap()).filter(|workers| workers.len() == 2);
    assert_eq!(
        until("both are there", listed).await,
        [alert.clone(), persist]
    );
    shutdown.begin();
    tokio::time::timeout(TIMEOUT, deregisters)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(alive(&js).await.unwrap(), [alert]);
}

/// The two parts of `devtrail up` are one instance, and have breakers of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_changes_is_reported_at_once_by_its_part() {
    // Renewed every 40 s: what is seen before was reported because it changed.
    let server = Server::start(2 * TIMEOUT).await;
    let js = server.connect().await;
    let actor = Actor::new("devtrail");
    let breakers = Breakers::default();
    let start = |role: &str| {
        let entry = WorkerEntry::of(&actor.part(role), role, 0);
        let own = breakers.part(role);
        tokio::spawn(send_heartbeats(
            js.clone(),
            entry,
            own.clone(),
            Shutdown::manual(TIMEOUT),
        ));
        own
    };
    let (collector, worker) = (start(COLLECTOR), start("all"));
    let stream = collector.guard("stream", BreakerSettings::DEFAULT);
    let _store = worker.guard("store", BreakerSettings::DEFAULT);
    let reported = async |what: &str, expected: [(&str, &str, BreakerState); 2]| {
        let seen = async || {
            let alive = alive(&js).await.unwrap();
            let reported: Vec<_> = alive
                .iter()
                .flat_map(|entry| {
                    entry
                        .breakers
                        .iter()
                        .map(|one| (&*entry.role, &*one.name, one.state))
                })
                .collect();
            (reported == [expected[1], expected[0]]).then_some(())
        };
        until(what, seen).await;
    };
    let store = ("all", "store", BreakerState::Closed);
    reported(
        "both are closed",
        [(COLLECTOR, "stream", BreakerState::Closed), store],
    )
    .await;
    let began = std::time::Instant::now();
    for _ in 0..5 {
        stream.acquire().ok().unwrap().failed("no PubAck");
    }
    reported(
        "one is open",
        [(COLLECTOR, "stream", BreakerState::Open), store],
    )
    .await;
    assert!(
        began.elapsed() < TIMEOUT / 2,
        "reported only with the next heartbeat"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_listed_until_it_dies() {
    let server = Server::start(SHORT).await;
    let js = server.connect().await;
    let entry = worker("persist");
    let (process, task) = server.process({
        let entry = entry.clone();
        |js| {
            tokio::spawn(send_heartbeats(
                js,
                entry,
                Breakers::default(),
                Shutdown::manual(TIMEOUT),
            ))
        }
    });
    let name = ResourceName::stream(&format!("KV_{BUCKET}"));
    // Each renewal comes after a third of a lifetime: the first entry has expired by the fifth.
    until("it was renewed", async || {
        let info = api::info(&js, &name).await.unwrap().unwrap();
        (info["state"]["last_seq"].as_u64().unwrap() >= 5).then_some(())
    })
    .await;
    assert_eq!(alive(&js).await.unwrap(), [entry]);
    process.kill();
    until("it is gone", async || {
        alive(&js).await.unwrap().is_empty().then_some(())
    })
    .await;
    assert!(task.await.is_err(), "it was killed, it did not deregister");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_holds_a_lease_and_another_gets_it_when_that_dies() {
    let server = Server::start(SHORT).await;
    let (process, first) = server.process(|js| Lease::hold(js, "sweep", "first"));
    tokio::time::timeout(TIMEOUT, first.held()).await.unwrap();
    let second = Lease::hold(server.connect().await, "sweep", "second");
    let name = ResourceName::stream(&format!("KV_{BUCKET}"));
    let js = server.connect().await;
    until("it was renewed", async || {
        assert!(!(second.is_held() && first.is_held()), "two hold it");
        let info = api::info(&js, &name).await.unwrap().unwrap();
        (info["state"]["last_seq"].as_u64().unwrap() >= 5).then_some(())
    })
    .await;
    assert!(first.is_held(), "an owner that renews keeps it");
    process.kill();
    until("the second has it", async || {
        let (taken, believes) = (second.is_held(), first.is_held());
        assert!(!(taken && believes), "two hold it");
        taken.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_lease_is_free_at_once_for_one_of_many() {
    // Long enough that nothing expires here.
    let server = Server::start(2 * TIMEOUT).await;
    let js = server.connect().await;
    let first = Lease::hold(js.clone(), "sweep", "first");
    first.held().await;
    first.release().await;
    let many: Vec<Lease> = (0..8)
        .map(|_| Lease::hold(js.clone(), "sweep", "one of many"))
        .collect();
    let others = Lease::hold(js.clone(), "another", "one of many");
    until("one has it", async || {
        many.iter().any(Lease::is_held).then_some(())
    })
    .await;
    others.held().await;
    // Another lease, asked for later, was had meanwhile.
    assert_eq!(many.iter().filter(|lease| lease.is_held()).count(), 1);
}

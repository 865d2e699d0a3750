//! The bucket `workers` on a real nats-server: who is alive, and leases that one at a time holds.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use bus::{api, topology};
use bus::{
    lease::Lease,
    worker_registry::{BUCKET, COLLECTOR, WorkerEntry, alive, keep_registered},
};
use runtime::breaker::{BreakerSettings, BreakerState, Breakers};
use runtime::{process::Actor, shutdown::Shutdown};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A life of entries that a test can wait for, and that a busy machine's hiccups do not end.
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
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

impl Server {
    /// A server whose bucket keeps entries for `incarnation`.
    async fn start(incarnation: Duration) -> Self {
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
        let mut declared = topology::declared().clone();
        declared.retain(|name, _| name.stream == format!("KV_{BUCKET}"));
        for config in declared.values_mut() {
            for field in ["max_age", "duplicate_window"] {
                config.insert(field.to_owned(), json!(incarnation.as_nanos() as u64));
            }
        }
        let plan = topology::plan(&declared, &Default::default());
        topology::apply(&server.connect().await, &plan)
            .await
            .unwrap();
        server
    }

    async fn connect(&self) -> jetstream::Context {
        jetstream::new(bus::connect_once(&self.url, "test").await.unwrap())
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
async fn workers_are_listed_while_they_live_and_leave_at_an_orderly_stop() {
    // Long enough that an entry which is gone was taken away, and has not expired.
    let server = Server::start(2 * PATIENCE).await;
    let js = server.connect().await;
    assert_eq!(alive(&js).await.unwrap(), []);
    let (persist, alert, shutdown) = (
        worker("persist"),
        worker("alert"),
        Shutdown::manual(PATIENCE),
    );
    let _stays = tokio::spawn(keep_registered(
        js.clone(),
        alert.clone(),
        Breakers::default(),
        Shutdown::manual(PATIENCE),
    ));
    let leaves = tokio::spawn(keep_registered(
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
    tokio::time::timeout(PATIENCE, leaves)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(alive(&js).await.unwrap(), [alert]);
}

/// The two parts of `devtrail up` are one instance, and have breakers of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_changes_is_told_at_once_by_the_part_whose_it_is() {
    // Renewed every 40 s: what is seen before was told because it changed.
    let server = Server::start(2 * PATIENCE).await;
    let js = server.connect().await;
    let actor = Actor::new("devtrail");
    let breakers = Breakers::default();
    let start = |role: &str| {
        let entry = WorkerEntry::of(&actor.part(role), role, 0);
        let own = breakers.part(role);
        tokio::spawn(keep_registered(
            js.clone(),
            entry,
            own.clone(),
            Shutdown::manual(PATIENCE),
        ));
        own
    };
    let (collector, worker) = (start(COLLECTOR), start("all"));
    let stream = collector.guard("stream", BreakerSettings::DEFAULT);
    let _store = worker.guard("store", BreakerSettings::DEFAULT);
    let told = async |what: &str, expected: [(&str, &str, BreakerState); 2]| {
        let seen = async || {
            let alive = alive(&js).await.unwrap();
            let told: Vec<_> = alive
                .iter()
                .flat_map(|entry| {
                    entry
                        .breakers
                        .iter()
                        .map(|one| (&*entry.role, &*one.name, one.state))
                })
                .collect();
            (told == [expected[1], expected[0]]).then_some(())
        };
        until(what, seen).await;
    };
    let store = ("all", "store", BreakerState::Closed);
    told(
        "both are closed",
        [(COLLECTOR, "stream", BreakerState::Closed), store],
    )
    .await;
    let began = std::time::Instant::now();
    for _ in 0..5 {
        stream.acquire().ok().unwrap().failed("no PubAck");
    }
    told(
        "one is open",
        [(COLLECTOR, "stream", BreakerState::Open), store],
    )
    .await;
    assert!(
        began.elapsed() < PATIENCE / 2,
        "told only with the next sign of life"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stays_listed_beyond_the_life_of_an_entry_and_is_gone_when_it_dies() {
    let server = Server::start(SHORT).await;
    let js = server.connect().await;
    let entry = worker("persist");
    let (process, task) = server.process({
        let entry = entry.clone();
        |js| {
            tokio::spawn(keep_registered(
                js,
                entry,
                Breakers::default(),
                Shutdown::manual(PATIENCE),
            ))
        }
    });
    let name = topology::Name {
        stream: format!("KV_{BUCKET}"),
        consumer: None,
    };
    // Each renewal comes after a third of a life: the first entry has expired by the fifth.
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
    assert!(
        task.await.is_err(),
        "it was killed, it did not say farewell"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_never_hold_a_lease_at_once_and_the_second_gets_it_after_the_first_died() {
    let server = Server::start(SHORT).await;
    let (process, first) = server.process(|js| Lease::hold(js, "sweep", "first"));
    tokio::time::timeout(PATIENCE, first.held()).await.unwrap();
    let second = Lease::hold(server.connect().await, "sweep", "second");
    let name = topology::Name {
        stream: format!("KV_{BUCKET}"),
        consumer: None,
    };
    let js = server.connect().await;
    until("it was renewed", async || {
        assert!(!(second.is_held() && first.is_held()), "two hold it");
        let info = api::info(&js, &name).await.unwrap().unwrap();
        (info["state"]["last_seq"].as_u64().unwrap() >= 5).then_some(())
    })
    .await;
    assert!(first.is_held(), "a holder that renews keeps it");
    process.kill();
    until("the second has it", async || {
        let (taken, believes) = (second.is_held(), first.is_held());
        assert!(!(taken && believes), "two hold it");
        taken.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_lease_is_free_at_once_and_only_one_of_many_gets_it() {
    // Long enough that nothing expires here.
    let server = Server::start(2 * PATIENCE).await;
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

//! The way of alerts into ALERTS, against a real nats-server: once each, the worst first, and what the
//! stream refuses stays in the outbox until the sweep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bus::{ALERTS, topology};
use futures_util::StreamExt as _;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde_json::Value;
use store::{AlertOutbox, AlertRevision, Effects, Sqlite, StoreError};
use tempfile::TempDir;
use types::admin_alert::{NOTE_RULE_FAILED, RuleFailed};
use types::job::JobMessage;
use workers::alert::{Alerting, Engine, Published, publish, sweep};
use workers::jobs::Work as _;

/// The outbox's promise in memory: the rows that are not marked, oldest first.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    rows: Vec<AlertRevision>,
    published: BTreeSet<(String, i64)>,
    /// How often somebody asked what is left.
    asked: u32,
}

impl Rows {
    fn left(&self) -> usize {
        let table = self.0.lock().expect("no test panics with it");
        table.rows.len() - table.published.len()
    }
}

impl AlertOutbox for Rows {
    async fn unpublished(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        let mut table = self.0.lock().expect("no test panics with it");
        table.asked += 1;
        let open = |row: &&AlertRevision| {
            !table
                .published
                .contains(&(row.alert_id.clone(), row.revision))
        };
        Ok(table
            .rows
            .iter()
            .filter(open)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn mark_published(&self, revisions: Vec<(String, i64)>) -> Result<(), StoreError> {
        self.0
            .lock()
            .expect("no test panics with it")
            .published
            .extend(revisions);
        Ok(())
    }
}

/// A nats-server on a folder of its own; killed when dropped.
struct Nats {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Nats {
    async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tools = root.join(".tools/nats-server");
        let program = match std::env::var_os("DEVTRAIL_NATS_SERVER") {
            Some(path) => PathBuf::from(path),
            None if tools.exists() => tools,
            None => "nats-server".into(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(&program);
        command
            .arg("-c")
            .arg(root.join("nats/server.conf"))
            .args(["-a", "127.0.0.1", "-p", "-1"]);
        command
            .arg("-sd")
            .arg(folder.path())
            .arg("--ports_file_dir")
            .arg(folder.path());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "{} cannot be run ({error}): `make test` gets one",
                program.display()
            )
        });
        let url = until("the server says its port", || ports(folder.path())).await;
        Self {
            child,
            url,
            _folder: folder,
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // Gone already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ports(folder: &Path) -> Option<String> {
    let file = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().ends_with(".ports"))?;
    let ports: Value = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // sleep: another process is looked at
    }
    panic!("twenty seconds, and still not: {what}");
}

async fn connect(nats: &Nats) -> jetstream::Context {
    jetstream::new(
        async_nats::connect(&nats.url)
            .await
            .expect("the server answers"),
    )
}

/// Makes ALERTS as `nats/streams/ALERTS.json` declares it.
async fn make_stream(js: &jetstream::Context) {
    let mut declared = topology::declared().clone();
    declared.retain(|name, _| name.stream == ALERTS);
    let plan = topology::plan(&declared, &Default::default());
    topology::apply(js, &plan)
        .await
        .expect("the stream is made");
}

fn revision(alert: &str, revision: i64, severity: &str) -> AlertRevision {
    AlertRevision {
        alert_id: alert.to_owned(),
        revision,
        developer: "ada".to_owned(),
        severity: severity.to_owned(),
        state: if revision % 2 == 0 {
            "raised"
        } else {
            "retracted"
        }
        .to_owned(),
        push: true,
        body: format!(r#"{{"alert_id":"{alert}","title":"A sentence"}}"#),
        correlation_id: format!("corr-{alert}"),
    }
}

/// Every message of ALERTS: subject, message id, correlation id, payload.
async fn messages(js: &jetstream::Context) -> Vec<(String, String, String, Value)> {
    let mut stream: stream::Stream = js.get_stream(ALERTS).await.expect("the stream is there");
    let last = stream
        .info()
        .await
        .expect("the server answers")
        .state
        .last_sequence;
    let mut found = Vec::new();
    for sequence in 1..=last {
        let message = stream
            .get_raw_message(sequence)
            .await
            .expect("nothing was deleted");
        let header = |name: &str| {
            message
                .headers
                .get(name)
                .expect("the header is set")
                .as_str()
                .to_owned()
        };
        let payload = serde_json::from_slice(&message.payload).expect("the payload is JSON");
        let subject = message.subject.to_string();
        found.push((
            subject,
            header("Nats-Msg-Id"),
            header("Devtrail-Correlation-Id"),
            payload,
        ));
    }
    found
}

#[tokio::test]
async fn alerts_go_out_once_each_and_the_worst_first() {
    let nats = Nats::start().await;
    let js = connect(&nats).await;
    make_stream(&js).await;
    let rows = Rows::default();
    let four = vec![
        revision("i", 0, "info"),
        revision("h", 0, "high"),
        revision("c", 3, "critical"),
        revision("w", 0, "warning"),
    ];
    rows.0.lock().unwrap().rows.clone_from(&four);
    let all = Published { done: 4, left: 0 };
    assert_eq!(publish(&js, &rows, four.clone()).await.unwrap(), all);
    assert_eq!(rows.left(), 0);
    // A second process, or one that died before it marked them, publishes again: nothing is added.
    assert_eq!(publish(&js, &rows, four).await.unwrap(), all);

    let found = messages(&js).await;
    let ids: Vec<&str> = found.iter().map(|(_, id, ..)| id.as_str()).collect();
    assert_eq!(ids, ["c:3", "h:0", "w:0", "i:0"]);
    let (subject, _, correlation, payload) = &found[0];
    assert_eq!(
        (subject.as_str(), correlation.as_str()),
        ("alerts.critical.ada", "corr-c")
    );
    let wanted = serde_json::json!({"alert_id": "c", "revision": 3, "state": "retracted", "push": true, "title": "A sentence"});
    assert_eq!(*payload, wanted);
}

#[tokio::test]
async fn what_the_stream_refused_is_swept_where_the_lease_is_held() {
    let nats = Nats::start().await;
    let js = connect(&nats).await;
    let rows = Rows::default();
    // More than the sweep publishes together.
    rows.0.lock().unwrap().rows = (0..600)
        .map(|n| revision(&format!("a{n}"), 0, "high"))
        .collect();
    let first = rows.unpublished(10).await.unwrap();
    assert_eq!(
        publish(&js, &rows, first).await.unwrap(),
        Published { done: 0, left: 10 },
        "there is no stream"
    );
    assert_eq!(rows.left(), 600);

    make_stream(&js).await;
    let shutdown = Shutdown::manual(Duration::from_secs(5));
    let before = rows.0.lock().unwrap().asked;
    sweep_until(&js, &rows, &shutdown, false, |asked, _| asked >= 1).await;
    assert_eq!(
        rows.0.lock().unwrap().asked,
        before,
        "another process holds the lease"
    );
    let turns = sweep_until(&js, &rows, &shutdown, true, |_, left| left == 0).await;
    assert_eq!(
        turns, 1,
        "a backlog is published in one turn, page after page"
    );
    assert_eq!(messages(&js).await.len(), 600);
    shutdown.begin();
    // A sweep that is told to stop comes back.
    sweep(&js, &rows, RetryPolicy::DEFAULT, &shutdown, || async {
        true
    })
    .await;
}

/// Sweeps until `enough` of (how often the lease was asked for, rows that are left); gives the former.
async fn sweep_until(
    js: &jetstream::Context,
    rows: &Rows,
    shutdown: &Shutdown,
    held: bool,
    enough: impl Fn(u32, usize) -> bool,
) -> u32 {
    let asked = Arc::new(Mutex::new(0));
    let lease = || {
        *asked.lock().expect("no test panics with it") += 1;
        async move { held }
    };
    tokio::select! {
        () = sweep(js, rows, RetryPolicy::DEFAULT, shutdown, lease) => panic!("the sweep ended by itself"),
        () = until("it is swept", || enough(*asked.lock().expect("no test panics with it"), rows.left()).then_some(())) => {}
    }
    *asked.lock().expect("no test panics with it")
}

/// R4.4: the job goes on with the other rules, and administrators will be told.
#[tokio::test]
async fn a_rule_that_panics_is_noted_for_the_watcher() {
    let nats = Nats::start().await;
    let js = connect(&nats).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(&folder.path().join("devtrail.db")).expect("a database");
    let mut notes = js
        .client()
        .subscribe(NOTE_RULE_FAILED)
        .await
        .expect("a subscription");
    js.client().flush().await.expect("the server answers");
    let broken = Engine {
        judge: |rule, _| {
            if rule.id == "force-push" {
                panic!("it is broken")
            } else {
                None
            }
        },
        ..Engine::default()
    };
    let alerting = Alerting::new(js, store).with_engine(broken);
    let job: JobMessage = serde_json::from_value(serde_json::json!({
        "job_id": "1:1:alert", "kind": "alert", "batch_id": "b1", "developer": "ada", "correlation_id": "c1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "src": 1, "seq": 1,
        "counts_by_type": {"git.push": 1}, "first_occurred_at": "2026-03-01T00:00:00.000000Z",
        "last_occurred_at": "2026-03-01T00:00:00.000000Z", "touched_days": ["2026-03-01"],
        "schema_versions": ["1.0"], "replay_id": null, "attempt": 1
    }))
    .expect("a job");
    let Effects::Rules(windows) = alerting.compute(&[job]).await.expect("the job is done") else {
        panic!("other effects")
    };
    assert!(
        windows.iter().all(|window| window.rule != "force-push") && !windows.is_empty(),
        "{windows:?}"
    );
    let note = tokio::time::timeout(Duration::from_secs(20), notes.next())
        .await
        .expect("a note in time");
    let note: RuleFailed = serde_json::from_slice(&note.expect("a note").payload).expect("a note");
    assert_eq!(
        (&*note.rule, &*note.error),
        ("force-push", "the rule panicked: it is broken")
    );
}

//! Publishing alerts to ALERTS, against a real nats-server: once each, the most severe first. What the stream refuses
//! stays in the outbox until the sweep.

use std::collections::{BTreeMap, BTreeSet};
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
use store::{
    AlertOutbox, AlertRevision, ComputedAt, Effects, Hour, JobBatch, JobDone, Jobs,
    PublishedRevision, ReadPlan, Snapshot, SnapshotRequest, StoreError, StoredEvent, WindowKey,
};
use tempfile::TempDir;
use types::admin_alert::{RULE_FAILURES, RuleFailed};
use types::id::BatchRef;
use types::job::{JobBody, JobMessage};
use types::time::{parse_rfc3339, utc_hour};
use workers::alert::{AlertWork, AlertsToPublish, Measure, builtin};
use workers::jobs::Work as _;
use workers::outbox_relay::{OutboxRelay, Relayed};

/// An outbox in memory: the rows that are not marked, oldest first.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    rows: Vec<AlertRevision>,
    published: BTreeSet<PublishedRevision>,
    /// How often rows were claimed.
    claims: u32,
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
        table.claims += 1;
        let open = |row: &&AlertRevision| {
            let revision = PublishedRevision {
                alert_id: row.alert_id.clone(),
                revision: row.revision,
            };
            !table.published.contains(&revision)
        };
        Ok(table
            .rows
            .iter()
            .filter(open)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn mark_published(&self, revisions: Vec<PublishedRevision>) -> Result<(), StoreError> {
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

fn relay(
    js: &jetstream::Context,
    rows: &Rows,
    shutdown: &Shutdown,
) -> OutboxRelay<AlertsToPublish<Rows>> {
    let outbox = AlertsToPublish {
        js: js.clone(),
        store: rows.clone(),
    };
    OutboxRelay::new(outbox, RetryPolicy::DEFAULT, shutdown.clone())
}

/// Makes ALERTS as `nats/streams/ALERTS.json` declares it.
async fn make_stream(js: &jetstream::Context) {
    let mut declared = topology::declared(types::event_streams::EventStreams::ONE);
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
async fn alerts_are_published_once_and_the_most_severe_first() {
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
    let all = Relayed {
        published: 4,
        left: 0,
    };
    let relay = relay(&js, &rows, &Shutdown::manual(Duration::from_secs(5)));
    assert_eq!(relay.relay(four.clone()).await.unwrap(), all);
    assert_eq!(rows.left(), 0);
    // A second process, or one that died before it marked them, publishes again: nothing is added.
    assert_eq!(relay.relay(four).await.unwrap(), all);

    let found = messages(&js).await;
    let ids: Vec<&str> = found.iter().map(|(_, id, ..)| id.as_str()).collect();
    assert_eq!(ids, ["c:3", "h:0", "w:0", "i:0"]);
    let (subject, _, correlation, payload) = &found[0];
    assert_eq!(
        (subject.as_str(), correlation.as_str()),
        ("alerts.critical.ada", "corr-c")
    );
    let wanted = serde_json::json!({
        "alert_id": "c", "revision": 3, "state": "retracted", "push": true, "title": "A sentence"
    });
    assert_eq!(*payload, wanted);
}

#[tokio::test]
async fn what_the_stream_refused_is_swept_by_the_lease_holder() {
    let nats = Nats::start().await;
    let js = connect(&nats).await;
    let rows = Rows::default();
    // More than the sweep publishes together.
    rows.0.lock().unwrap().rows = (0..600)
        .map(|n| revision(&format!("a{n}"), 0, "high"))
        .collect();
    let first = rows.unpublished(10).await.unwrap();
    let shutdown = Shutdown::manual(Duration::from_secs(5));
    assert_eq!(
        relay(&js, &rows, &shutdown).relay(first).await.unwrap(),
        Relayed {
            published: 0,
            left: 10
        },
        "there is no stream"
    );
    assert_eq!(rows.left(), 600);

    make_stream(&js).await;
    let before = rows.0.lock().unwrap().claims;
    sweep_until(&js, &rows, &shutdown, false, |sweeps, _| sweeps >= 1).await;
    assert_eq!(
        rows.0.lock().unwrap().claims,
        before,
        "another process holds the lease"
    );
    let sweeps = sweep_until(&js, &rows, &shutdown, true, |_, left| left == 0).await;
    assert_eq!(
        sweeps, 1,
        "a backlog is published in one sweep, claim after claim"
    );
    assert_eq!(messages(&js).await.len(), 600);
    shutdown.begin();
    // On shutdown the sweep ends.
    relay(&js, &rows, &shutdown)
        .sweep_until_shutdown(|| true)
        .await;
}

/// Sweeps until `enough` of (how often the lease was checked, rows that are left); returns the former.
async fn sweep_until(
    js: &jetstream::Context,
    rows: &Rows,
    shutdown: &Shutdown,
    is_held: bool,
    enough: impl Fn(u32, usize) -> bool,
) -> u32 {
    let checks = Mutex::new(0);
    let may_sweep = || {
        *checks.lock().expect("no test panics with it") += 1;
        is_held
    };
    let relay = relay(js, rows, shutdown);
    tokio::select! {
        () = relay.sweep_until_shutdown(may_sweep) => panic!("the sweep ended by itself"),
        () = until("it is swept", || {
            let checks = *checks.lock().expect("no test panics with it");
            enough(checks, rows.left()).then_some(())
        }) => {}
    }
    *checks.lock().expect("no test panics with it")
}

/// A store that holds one forced push.
#[derive(Clone)]
struct OneEvent;

impl Jobs for OneEvent {
    async fn job_batches(&self, jobs: Vec<JobBody>) -> Result<Vec<JobBatch>, StoreError> {
        Ok(vec![JobBatch::Stored; jobs.len()])
    }

    async fn done(&self, _: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        Ok(BTreeSet::new())
    }

    async fn events_of(&self, _: Vec<BatchRef>) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(Vec::new())
    }

    async fn computed_days(
        &self,
        _: String,
        _: Vec<String>,
    ) -> Result<BTreeMap<String, store::DayComputedAt>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn day_of_other_timeout(
        &self,
        _: String,
        _: i64,
        _: String,
    ) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn computed_rule_windows(
        &self,
        _: String,
        _: Vec<String>,
        _: String,
        _: String,
    ) -> Result<BTreeMap<WindowKey, ComputedAt>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn snapshot<P, F>(&self, _: SnapshotRequest, plan: F) -> Result<Snapshot<P>, StoreError>
    where
        P: Send + 'static,
        F: Fn(BTreeMap<i64, Hour>) -> ReadPlan<P> + Send + Sync + 'static,
    {
        let at = "2026-03-01T00:00:00Z";
        let effective_at = parse_rfc3339(at).and_then(|time| time.at).expect("a time");
        let data = serde_json::json!({"branch": "topic", "force": true});
        let body =
            serde_json::json!({"id": "e1", "type": "git.push", "occurred_at": at, "data": data});
        let event = StoredEvent {
            at: BatchRef { src: 1, seq: 1 }.event(0),
            id: "e1".to_owned(),
            kind: "git.push".to_owned(),
            schema_version: "1.0".to_owned(),
            effective_at,
            local_day: "2026-03-01".to_owned(),
            body: body.to_string().into_bytes(),
            client: None,
            zone: None,
        };
        let hour = Hour {
            generation: 1,
            partial: None,
            changes: Vec::new(),
        };
        let ReadPlan { plan, spans } = plan([(utc_hour(effective_at), hour)].into());
        assert_eq!(spans.len(), 1, "the hour is read");
        Ok(Snapshot {
            plan,
            events: vec![event],
        })
    }

    async fn finish_jobs(
        &self,
        _: Effects,
        _: Vec<JobDone>,
    ) -> Result<Vec<AlertRevision>, StoreError> {
        Ok(Vec::new())
    }
}

impl AlertOutbox for OneEvent {
    async fn unpublished(&self, _: u32) -> Result<Vec<AlertRevision>, StoreError> {
        Ok(Vec::new())
    }

    async fn mark_published(&self, _: Vec<PublishedRevision>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// R4.4: the job goes on with the other rules, and administrators are alerted.
#[tokio::test]
async fn a_rule_that_panics_is_reported_to_the_watcher() {
    let nats = Nats::start().await;
    let js = connect(&nats).await;
    let mut reports = js
        .client()
        .subscribe(RULE_FAILURES)
        .await
        .expect("a subscription");
    js.client().flush().await.expect("the server answers");
    // A rule file cannot say this: slots of no length.
    let mut rules = builtin();
    let broken = rules.iter_mut().find(|rule| rule.id == "force-push");
    let when = &mut broken.expect("a rule").when[0];
    when.measure = Measure::DistinctSlots;
    when.slot_minutes = Some(0);
    let outbox = AlertsToPublish {
        js: js.clone(),
        store: OneEvent,
    };
    let shutdown = Shutdown::manual(Duration::from_secs(5));
    let relay = OutboxRelay::new(outbox, RetryPolicy::DEFAULT, shutdown);
    let work = AlertWork::new(js.client(), OneEvent, relay).with_rules(rules);
    let job: JobMessage = serde_json::from_value(serde_json::json!({
        "job_id": "1:1:alert", "kind": "alert", "batch_id": "b1", "developer": "ada", "correlation_id": "c1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "src": 1, "seq": 1,
        "counts_by_type": {"git.push": 1}, "first_occurred_at": "2026-03-01T00:00:00.000000Z",
        "last_occurred_at": "2026-03-01T00:00:00.000000Z", "touched_days": ["2026-03-01"],
        "schema_versions": ["1.0"], "replay_id": null, "attempt": 1
    }))
    .expect("a job");
    let Effects::Rules { windows, .. } = work.compute(&[job]).await.expect("the job is done")
    else {
        panic!("other effects")
    };
    assert!(
        windows.iter().all(|window| window.rule != "force-push") && !windows.is_empty(),
        "{windows:?}"
    );
    let report = tokio::time::timeout(Duration::from_secs(20), reports.next())
        .await
        .expect("a report in time");
    let report: RuleFailed =
        serde_json::from_slice(&report.expect("a report").payload).expect("a report");
    assert_eq!(
        (&*report.rule, &*report.error),
        ("force-push", "the rule panicked: attempt to divide by zero")
    );
}

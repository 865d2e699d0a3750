//! The loop of the watcher: probe, evaluate, publish.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use bus::lease::Lease;
use bus::{ADMIN, BindError, admin_alerts, bind_stream, publish_admin_alert};
use futures_util::StreamExt as _;
use runtime::clock;
use runtime::crash;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use runtime::settings::Address;
use runtime::shutdown::Shutdown;
use store::Monitoring;
use tokio::time::{MissedTickBehavior, interval};
use types::admin_alert::{AdminAlert, AlertKind, AlertState, RULE_FAILURES, RuleFailed};
use types::event_streams::EventStreams;
use types::time::Micros;

use super::condition_tracker::{ConditionTracker, Throttle};
use super::disk_probes::DiskProbes;
use super::liveness::Liveness;
use super::probes::Probes;
use super::readings::{Thresholds, evaluate};
use super::rule_failures::RuleFailures;
use super::settings::WatchSettings;

/// What the watcher needs.
pub struct Watch<S> {
    pub client: async_nats::Client,
    pub streams: EventStreams,
    pub store: S,
    /// The folder of a SQLite file.
    pub folder: Option<PathBuf>,
    /// Addresses of the nats-servers' monitors.
    pub monitors: Vec<Address>,
    /// The file of authorities that their certificates are checked with.
    pub ca: Option<PathBuf>,
    pub settings: WatchSettings,
    pub retry: RetryPolicy,
    pub process: Process,
}

/// Watches until the process stops. It publishes alerts only while it holds the lease.
///
/// # Errors
/// Returns a `BindError` if the stream ADMIN is missing or unsafe at the start.
pub async fn run<S: Monitoring>(watch: Watch<S>) -> Result<(), BindError> {
    let Watch {
        client,
        streams,
        store,
        folder,
        monitors,
        ca,
        settings,
        retry,
        process,
    } = watch;
    let js = jetstream::new(client.clone());
    bind_admin(&js, retry, &process.shutdown).await?;
    let lease = Lease::hold(js.clone(), "watch", &process.actor.to_string());
    let rule_failures = Arc::new(Mutex::new(RuleFailures::default()));
    let subscribed_at = clock::now();
    let probes = Probes {
        js: js.clone(),
        streams,
        store,
        disks: DiskProbes {
            js: js.clone(),
            folder,
            monitors,
            ca,
        },
        process: process.clone(),
        thresholds: Thresholds::from(&settings),
        silent_after: settings.alert_silent,
    };
    let watcher = Watcher {
        js,
        probes,
        lease,
        rule_failures: rule_failures.clone(),
        settings,
        liveness: Liveness::default(),
        subscribed_at,
        admin: None,
    };
    let watching = async {
        let watcher = watcher.until_stopped(&process.shutdown).await;
        watcher.lease.release().await;
    };
    let shutdown = process.shutdown.drain_token();
    let receiving = receive_rule_failures(client, retry, &process.shutdown, &rule_failures);
    tokio::join!(watching, shutdown.run_until_cancelled(receiving));
    Ok(())
}

/// Checks ADMIN as every process checks what it needs. A server that is away is waited for.
async fn bind_admin(
    js: &jetstream::Context,
    retry: RetryPolicy,
    shutdown: &Shutdown,
) -> Result<(), BindError> {
    let bind = |_| async {
        match bind_stream(js, ADMIN).await {
            Err(BindError::Api(error)) => Err(error),
            bound => Ok(bound.map(drop)),
        }
    };
    let bound = retry.retry("cannot bind", shutdown, bind).await;
    bound.unwrap_or(Ok(()))
}

/// Records the rules that alert workers report as failed.
async fn receive_rule_failures(
    client: async_nats::Client,
    retry: RetryPolicy,
    shutdown: &Shutdown,
    rule_failures: &Mutex<RuleFailures>,
) {
    let mut backoff = retry.backoff(shutdown);
    loop {
        match client.subscribe(RULE_FAILURES).await {
            Ok(mut reports) => {
                while let Some(message) = reports.next().await {
                    match serde_json::from_slice::<RuleFailed>(&message.payload) {
                        Ok(report) => lock(rule_failures).record(&report, clock::now()),
                        Err(error) => {
                            tracing::warn!(%error, "a report of a failed rule cannot be read");
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "reports of failed rules cannot be subscribed to");
            }
        }
        if !backoff.wait().await {
            return;
        }
    }
}

fn lock(rule_failures: &Mutex<RuleFailures>) -> MutexGuard<'_, RuleFailures> {
    // No step of it panics half-way.
    rule_failures.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watcher<S> {
    js: jetstream::Context,
    probes: Probes<S>,
    lease: Lease,
    rule_failures: Arc<Mutex<RuleFailures>>,
    settings: WatchSettings,
    liveness: Liveness,
    /// Since when reports of failed rules are received.
    subscribed_at: Micros,
    /// `None` if ADMIN must be read first.
    admin: Option<AdminState>,
}

/// What the messages of ADMIN come to.
struct AdminState {
    tracker: ConditionTracker,
    last_sequence: u64,
}

impl<S: Monitoring> Watcher<S> {
    async fn until_stopped(mut self, shutdown: &Shutdown) -> Self {
        let mut ticks = interval(self.settings.alert_every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = shutdown.drain_token();
        let forever = async {
            loop {
                ticks.tick().await;
                self.watch_once().await;
            }
        };
        // A round that is cut off has published a message or not: the next holder of the lease reads which.
        shutdown.run_until_cancelled(forever).await;
        self
    }

    /// One round of probes. It publishes what is due if this process holds the lease.
    async fn watch_once(&mut self) {
        let admin = if self.lease.is_held() {
            self.admin_state().await
        } else {
            // Another process writes meanwhile.
            self.admin = None;
            None
        };
        // Without the lease as well, to know who was alive before.
        let workers = self.probes.worker_registry(&mut self.liveness).await;
        let rules = lock(&self.rule_failures).recent(self.settings.alert_quiet, clock::now());
        let Some(mut admin) = admin else {
            return;
        };
        let readings = self.probes.read(workers, rules, clock::now()).await;
        let now = clock::now();
        let conditions = evaluate(&readings, &self.probes.thresholds);
        for alert in admin.tracker.due(&conditions, now) {
            if !self.lease.is_held() {
                return;
            }
            crash::point("watch.before_publish");
            match publish_admin_alert(&self.js, &alert, admin.last_sequence).await {
                Ok(sequence) => admin.last_sequence = sequence,
                // Whether ADMIN has it is not known: the open alerts are read again.
                Err(error) => {
                    tracing::warn!(%error, "an alert was not published to the stream ADMIN; reading it again");
                    return;
                }
            }
            crash::point("watch.after_publish");
            log_alert(&alert);
            admin.tracker.record(alert);
        }
        self.admin = Some(admin);
    }

    /// The state of ADMIN, read again if need be; `None` if it cannot be read.
    async fn admin_state(&mut self) -> Option<AdminState> {
        if let Some(admin) = self.admin.take() {
            return Some(admin);
        }
        let read = admin_alerts(&self.js, 1).await;
        let unread =
            |error: &_| tracing::warn!(%error, "the stream ADMIN cannot be read; trying again");
        let log = read.inspect_err(unread).ok()?;
        let tracker = ConditionTracker::read(Throttle::from(&self.settings), log.alerts);
        self.expect_open_alerts(&tracker);
        Some(AdminState {
            tracker,
            last_sequence: log.last_sequence,
        })
    }

    /// Another watcher saw the conditions of open alerts. That this one has not seen them itself does not mean that
    /// they are over.
    fn expect_open_alerts(&mut self, tracker: &ConditionTracker) {
        for alert in tracker.open() {
            match alert.kind {
                AlertKind::RoleSilent => self.liveness.expect(&alert.subject, alert.first_seen),
                AlertKind::RuleFailed => {
                    lock(&self.rule_failures).record_open_alert(alert, self.subscribed_at);
                }
                _ => {}
            }
        }
    }
}

/// The log has every alert too.
fn log_alert(alert: &AdminAlert) {
    let AdminAlert {
        alert_id,
        kind,
        subject,
        count,
        title,
        advice,
        ..
    } = alert;
    let kind = kind.as_str();
    match alert.state {
        AlertState::Raised => tracing::error!(
            alert_id,
            kind,
            subject,
            count,
            advice,
            "admin alert: {title}"
        ),
        AlertState::Resolved => {
            tracing::info!(alert_id, kind, subject, "admin alert resolved: {title}");
        }
    }
}

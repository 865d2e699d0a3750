//! The watcher: alerts to administrators, raised and resolved in the stream ADMIN, and posted to their
//! webhook.
//!
//! Every worker process has one; that which holds the lease looks at everything, every few seconds.
//! What it saw (`gather`) becomes troubles (`facts`), and these become messages (`book`): both pure.
//! ADMIN is the watcher's memory: whoever gets the lease reads what stands there. Each message is
//! taken only where ADMIN has not moved since, so that no alert is ever raised twice.

mod attendance;
mod book;
mod disks;
mod facts;
mod failures;
mod gather;
mod settings;
mod webhook;

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
use store::Monitoring;
use tokio::time::{MissedTickBehavior, interval};
use types::admin_alert::{AdminAlert, Kind, NOTE_RULE_FAILED, RuleFailed, State};
use types::time::Micros;

use attendance::Attendance;
use book::{Book, Pace};
use disks::Sources;
use facts::{Bounds, judge};
use failures::Failures;
use gather::Gatherer;
pub use settings::WatchSettings;
pub use webhook::{deliver, signature};

/// What the watcher needs.
pub struct Watch<S> {
    /// NATS.
    pub client: async_nats::Client,
    /// The store.
    pub store: S,
    /// The folder of a SQLite file.
    pub folder: Option<PathBuf>,
    /// Addresses of the nats-servers' monitors.
    pub monitors: Vec<String>,
    /// When a trouble is one, and how often it is told.
    pub settings: WatchSettings,
    /// How what fails is tried again.
    pub retry: RetryPolicy,
    /// The process it runs in.
    pub process: Process,
}

/// Watches until the process stops; only where it holds the lease it says anything.
///
/// # Errors
/// Where the stream ADMIN is missing or unsafe at the start.
pub async fn run<S: Monitoring>(watch: Watch<S>) -> Result<(), BindError> {
    let Watch {
        client,
        store,
        folder,
        monitors,
        settings,
        retry,
        process,
    } = watch;
    let js = jetstream::new(client.clone());
    bound(&js, retry, &process).await?;
    let lease = Lease::hold(js.clone(), "watch", &process.actor.to_string());
    let failures = Arc::new(Mutex::new(Failures::default()));
    let heard_since = clock::now();
    let gatherer = Gatherer {
        js: js.clone(),
        store,
        disks: Sources {
            js: js.clone(),
            folder,
            monitors,
        },
        process: process.clone(),
        bounds: Bounds::from(&settings),
        silent_after: settings.alert_silent,
    };
    let watcher = Watcher {
        js,
        gatherer,
        lease,
        failures: failures.clone(),
        settings,
        attendance: Attendance::default(),
        heard_since,
        book: None,
    };
    let stopping = process.shutdown.drain_token();
    let looking = async {
        let watcher = watcher.until_stopped(&process).await;
        watcher.lease.release().await;
    };
    tokio::join!(
        looking,
        stopping.run_until_cancelled(listen(client, retry, &failures))
    );
    Ok(())
}

/// Checks ADMIN as every process does what it needs; a server that is away is waited for.
async fn bound(
    js: &jetstream::Context,
    retry: RetryPolicy,
    process: &Process,
) -> Result<(), BindError> {
    for attempt in 0.. {
        match bind_stream(js, ADMIN).await {
            Err(BindError::Api(error)) => {
                tracing::warn!(%error, attempt, "cannot bind; trying again")
            }
            bound => return bound.map(drop),
        }
        tokio::select! { () = retry.pause(attempt) => {}, () = process.shutdown.draining() => return Ok(()) }
    }
    Ok(())
}

/// Hears of rules that failed.
async fn listen(client: async_nats::Client, retry: RetryPolicy, failures: &Mutex<Failures>) {
    for attempt in 0.. {
        match client.subscribe(NOTE_RULE_FAILED).await {
            Ok(mut notes) => {
                while let Some(message) = notes.next().await {
                    match serde_json::from_slice::<RuleFailed>(&message.payload) {
                        Ok(note) => lock(failures).note(&note, clock::now()),
                        Err(error) => {
                            tracing::warn!(%error, "a note of a rule that failed cannot be read")
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "notes of rules that failed cannot be subscribed to")
            }
        }
        retry.pause(attempt).await;
    }
}

fn lock(failures: &Mutex<Failures>) -> MutexGuard<'_, Failures> {
    // Its steps do not panic half-way.
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watcher<S> {
    js: jetstream::Context,
    gatherer: Gatherer<S>,
    lease: Lease,
    failures: Arc<Mutex<Failures>>,
    settings: WatchSettings,
    attendance: Attendance,
    /// Since when notes of rules that failed are heard.
    heard_since: Micros,
    /// What stands in ADMIN up to its last sequence; `None` where it must be read (again).
    book: Option<(Book, u64)>,
}

impl<S: Monitoring> Watcher<S> {
    async fn until_stopped(mut self, process: &Process) -> Self {
        let mut looks = interval(self.settings.alert_every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopping = process.shutdown.drain_token();
        let forever = async {
            loop {
                looks.tick().await;
                self.look().await;
            }
        };
        // A look that is cut off has published a message or not: the next holder reads which.
        stopping.run_until_cancelled(forever).await;
        self
    }

    /// One look; says what is due where this process holds the lease.
    async fn look(&mut self) {
        let open = if self.lease.is_held() {
            self.open().await
        } else {
            // Another one writes meanwhile.
            self.book = None;
            None
        };
        // Without the lease as well, to know who was there before.
        let present = self.gatherer.worker_registry(&mut self.attendance).await;
        let rules = lock(&self.failures).of_late(self.settings.alert_quiet, clock::now());
        let Some((mut book, mut last)) = open else {
            return;
        };
        let seen = self.gatherer.look(present, rules, clock::now()).await;
        let now = clock::now();
        for alert in book.due(&judge(&seen, &self.gatherer.bounds), now) {
            if !self.lease.is_held() {
                return;
            }
            crash::point("watch.before_publish");
            match publish_admin_alert(&self.js, &alert, last).await {
                Ok(sequence) => last = sequence,
                // Whether it is there is not known: what stands is read again.
                Err(error) => {
                    tracing::warn!(%error, "an alert was not taken by the stream ADMIN; reading it again");
                    return;
                }
            }
            crash::point("watch.after_publish");
            tell(&alert);
            book.took(alert);
        }
        self.book = Some((book, last));
    }
}

impl<S> Watcher<S> {
    /// The book, and the sequence up to which it is written; `None` where ADMIN cannot be read.
    async fn open(&mut self) -> Option<(Book, u64)> {
        if let Some(open) = self.book.take() {
            return Some(open);
        }
        let read = admin_alerts(&self.js, 1).await;
        let unread =
            |error: &_| tracing::warn!(%error, "the stream ADMIN cannot be read; trying again");
        let (messages, last) = read.inspect_err(unread).ok()?;
        let book = Book::read(Pace::from(&self.settings), messages);
        self.remember(&book);
        Some((book, last))
    }

    /// What stands was seen by another watcher: what this one has not seen itself is no sign that it is over.
    fn remember(&mut self, book: &Book) {
        for alert in book.standing() {
            match alert.kind {
                Kind::RoleSilent => self.attendance.expect(&alert.subject, alert.first_seen),
                Kind::RuleFailed => lock(&self.failures).stands(alert, self.heard_since),
                _ => {}
            }
        }
    }
}

/// The log has every alert too.
fn tell(alert: &AdminAlert) {
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
        State::Raised => tracing::error!(
            alert_id,
            kind,
            subject,
            count,
            advice,
            "admin alert: {title}"
        ),
        State::Resolved => tracing::info!(alert_id, kind, subject, "admin alert resolved: {title}"),
    }
}

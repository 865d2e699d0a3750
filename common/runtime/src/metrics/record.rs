//! What is measured: one function for each thing that happens.

use std::time::Duration;

use metrics::gauge;
use types::job::JobKind;
use types::severity::Severity;
use types::verdict::Counts;

use super::series::{add, observe, set};
use super::table::{
    ALERT_STREAMS, ALERTS, ALERTS_STREAMED, ATTEMPTS, BATCHES, BATCHES_STORED, BATCHES_TRIGGERED,
    BREAKER, CHECK, DEAD_LETTERS, EVENTS, EVENTS_STORED, GROUP_BYTES, GROUP_DURATION,
    GROUP_MESSAGES, HTTP_BYTES, HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS, JOBS_DONE, Metric,
    PUBLISH_DURATION, PUBLISH_GROUPED, PUBLISH_GROUPS, PUBLISH_RETRIES, PUBLISHES, Program,
    QUOTA_REFUSALS, SETTLED, STORE_DURATION, STORE_RETRIES, WEBHOOK_POSTS,
};
use crate::breaker::{BreakerReport, BreakerState};
/// Begins the counters at 0 whose labels are known.
pub(super) fn begin(program: Program) {
    if program != Program::Worker {
        verdicts(&EVENTS, &Counts::default());
        for outcome in [
            "stored",
            "duplicate",
            "full",
            "too_large",
            "circuit_open",
            "unavailable",
        ] {
            add(&PUBLISHES, &[("outcome", outcome)], 0);
        }
        for outcome in [
            "committed",
            "duplicate",
            "refused",
            "unsupported",
            "unconfirmed",
        ] {
            add(&PUBLISH_GROUPS, &[("outcome", outcome)], 0);
        }
        let [senders, listeners] = [&["key", "address", "all"][..], &["developer", "all"]];
        for (what, tenants) in [
            ("batches", senders),
            ("bytes", senders),
            ("queries", senders),
            ("connections", senders),
            ("alert_streams", listeners),
        ] {
            for whose in tenants {
                add(&QUOTA_REFUSALS, &[("what", what), ("whose", whose)], 0);
            }
        }
        set(&ALERT_STREAMS, &[], 0.0);
        add(&ALERTS_STREAMED, &[], 0);
        add(&PUBLISH_GROUPED, &[], 0);
        add(&PUBLISH_RETRIES, &[], 0);
        add(&HTTP_BYTES, &[], 0);
    }
    if program != Program::Collector {
        verdicts(&EVENTS_STORED, &Counts::default());
        for outcome in ["stored", "already"] {
            add(&BATCHES_STORED, &[("outcome", outcome)], 0);
        }
        add(&BATCHES_TRIGGERED, &[], 0);
        add(&STORE_RETRIES, &[], 0);
        for outcome in ["taken", "not_now", "denied", "refused", "skipped"] {
            add(&WEBHOOK_POSTS, &[("outcome", outcome)], 0);
        }
        for severity in Severity::ALL.map(Severity::as_str) {
            alert_counted("raised", severity, 0);
            alert_counted("retracted", severity, 0);
        }
        for kind in JobKind::ALL {
            add(&JOBS_DONE, &[("kind", kind.as_str())], 0);
        }
    }
}

/// Begins a consumer's counters at 0.
pub fn begin_consumer(stream: &str, consumer: &str) {
    let labels = [("stream", stream), ("consumer", consumer)];
    add(&DEAD_LETTERS, &labels, 0);
    add(&ATTEMPTS, &labels, 0);
}

fn verdicts(metric: &Metric, counts: &Counts) {
    let all = [
        ("accepted", counts.accepted),
        ("duplicate", counts.duplicate),
        ("rejected", counts.rejected),
        ("quarantined", counts.quarantined),
    ];
    for (verdict, count) in all {
        add(metric, &[("verdict", verdict)], u64::from(count));
    }
}

/// A place was refused: of `batches`, `bytes`, `queries`, `connections` or `alert_streams`; because of the bound of the
/// `key`, of the `address`, of the `developer`, or of `all`.
pub fn quota_refused(what: &str, whose: &str) {
    add(&QUOTA_REFUSALS, &[("what", what), ("whose", whose)], 1);
}

/// A request in flight. If it is dropped before it ends, its client has hung up.
pub struct HttpRequest {
    route: String,
    method: String,
    started: std::time::Instant,
    ended: bool,
}

impl HttpRequest {
    /// A request begins. `route` is its path with `{names}` for parameters, never what the client wrote.
    #[must_use]
    pub fn begins(route: &str, method: &str) -> Self {
        gauge!(HTTP_IN_FLIGHT.name).increment(1.0);
        Self {
            route: route.to_owned(),
            method: method.to_owned(),
            started: std::time::Instant::now(),
            ended: false,
        }
    }

    /// The request is answered; `code` is the problem's, or `ok`.
    pub fn ends(mut self, status: u16, code: &str) {
        self.count(status, code);
    }

    fn count(&mut self, status: u16, code: &str) {
        self.ended = true;
        gauge!(HTTP_IN_FLIGHT.name).decrement(1.0);
        let route = ("route", self.route.as_str());
        let method = ("method", self.method.as_str());
        add(
            &HTTP_REQUESTS,
            &[
                route,
                method,
                ("status", &status.to_string()),
                ("code", code),
            ],
            1,
        );
        observe(
            &HTTP_DURATION,
            &[route, method],
            self.started.elapsed().as_secs_f64(),
        );
    }
}

impl Drop for HttpRequest {
    fn drop(&mut self) {
        if !self.ended {
            self.count(0, "client_gone");
        }
    }
}

/// An open stream of alerts; it ends when this is dropped.
#[derive(Debug)]
pub struct AlertStream(());

impl AlertStream {
    /// A stream of alerts is opened.
    #[must_use]
    pub fn opened() -> Self {
        gauge!(ALERT_STREAMS.name).increment(1.0);
        Self(())
    }
}

impl Drop for AlertStream {
    fn drop(&mut self) {
        gauge!(ALERT_STREAMS.name).decrement(1.0);
    }
}

/// So many revisions of alerts were written to a stream of alerts.
pub fn alerts_streamed(count: usize) {
    add(&ALERTS_STREAMED, &[], count as u64);
}

/// A body of this many bytes, inflated, has arrived.
pub fn http_body(bytes: usize) {
    add(&HTTP_BYTES, &[], bytes as u64);
}

/// The stream stored a new batch, with these verdicts.
pub fn events_taken(counts: &Counts) {
    verdicts(&EVENTS, counts);
}

/// A publish has ended: `stored`, `duplicate`, `full`, `too_large`, `circuit_open` or `unavailable`.
pub fn published(outcome: &'static str, took: Duration) {
    add(&PUBLISHES, &[("outcome", outcome)], 1);
    observe(&PUBLISH_DURATION, &[], took.as_secs_f64());
}

/// A group of so many batches was published: `committed`, `duplicate`, `refused`, `unsupported` or `unconfirmed`.
pub fn group_published(outcome: &'static str, batches: usize) {
    add(&PUBLISH_GROUPS, &[("outcome", outcome)], 1);
    if outcome == "committed" {
        add(&PUBLISH_GROUPED, &[], batches as u64);
    }
}

/// A publish is tried again.
pub fn publish_retried() {
    add(&PUBLISH_RETRIES, &[], 1);
}

/// A role has handled a group of `messages` with `bytes` of payload.
pub fn group_handled(stream: &str, consumer: &str, messages: usize, bytes: usize, took: Duration) {
    let labels = [("stream", stream), ("consumer", consumer)];
    observe(&GROUP_MESSAGES, &labels, messages as f64);
    observe(&GROUP_BYTES, &labels, bytes as f64);
    observe(&GROUP_DURATION, &labels, took.as_secs_f64());
}

/// Messages are settled: `ack`, `retry` or `dead_letter`.
pub fn settled(stream: &str, consumer: &str, outcome: &'static str, count: usize) {
    add(
        &SETTLED,
        &[
            ("stream", stream),
            ("consumer", consumer),
            ("outcome", outcome),
        ],
        count as u64,
    );
}

/// An alert was posted to the administrators' webhook, with this outcome.
pub fn webhook_post(outcome: &'static str) {
    add(&WEBHOOK_POSTS, &[("outcome", outcome)], 1);
}

/// An attempt of a message has failed, nobody knows why.
pub fn attempt_failed(stream: &str, consumer: &str) {
    add(&ATTEMPTS, &[("stream", stream), ("consumer", consumer)], 1);
}

/// A message was dead-lettered.
pub fn dead_letter(stream: &str, consumer: &str) {
    add(
        &DEAD_LETTERS,
        &[("stream", stream), ("consumer", consumer)],
        1,
    );
}

/// A transaction of this kind has ended: `ok`, `unavailable` or `failed`.
pub fn store_transaction(kind: &'static str, outcome: &'static str, took: Duration) {
    observe(
        &STORE_DURATION,
        &[("kind", kind), ("outcome", outcome)],
        took.as_secs_f64(),
    );
}

/// The database rolled a transaction back, which is run again.
pub fn store_retried() {
    add(&STORE_RETRIES, &[], 1);
}

/// `store_batches` has committed a batch: with these counts, or it was there before (`None`).
pub fn batch_stored(counts: Option<&Counts>) {
    let outcome = if counts.is_some() {
        "stored"
    } else {
        "already"
    };
    add(&BATCHES_STORED, &[("outcome", outcome)], 1);
    if let Some(counts) = counts {
        verdicts(&EVENTS_STORED, counts);
    }
}

/// `mark_triggered` has committed this many batches.
pub fn batches_triggered(count: usize) {
    add(&BATCHES_TRIGGERED, &[], count as u64);
}

/// `finish_jobs` has committed a job.
pub fn job_done(kind: JobKind) {
    add(&JOBS_DONE, &[("kind", kind.as_str())], 1);
}

/// `finish_jobs` has written a revision of an alert.
pub fn alert(state: &str, severity: &str) {
    alert_counted(state, severity, 1);
}

fn alert_counted(state: &str, severity: &str, count: u64) {
    add(&ALERTS, &[("state", state), ("severity", severity)], count);
}

/// How many batches are in a state; `NaN` if the store cannot be read.
pub fn batches(state: &str, count: f64) {
    set(&BATCHES, &[("state", state)], count);
}

/// Whether a part of readiness holds.
pub(crate) fn check(name: &str, holds: bool) {
    set(&CHECK, &[("check", name)], f64::from(u8::from(holds)));
}

/// The states of the process's breakers, each as three series.
pub(crate) fn breakers(reports: &[BreakerReport]) {
    for report in reports {
        for state in [
            BreakerState::Closed,
            BreakerState::Open,
            BreakerState::HalfOpen,
        ] {
            let is = f64::from(u8::from(state == report.state));
            set(
                &BREAKER,
                &[("breaker", &report.name), ("state", state.as_str())],
                is,
            );
        }
    }
}

//! The one table of names, kinds, labels and meanings. `docs/metrics-prometheus.md` is generated from it.
//!
//! Names follow Prometheus's conventions: base units (seconds, bytes), `_total` for counters. No label
//! names a developer, a batch or anything else that grows with use.

/// How a series behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// Only rises, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations at or below each of these bounds.
    Histogram(&'static [f64]),
}

/// The programs that record a series; `devtrail up` has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `devtrail-collector`.
    Collector,
    /// `devtrail-worker`, whatever its role.
    Worker,
    /// Both.
    Every,
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    pub kind: MetricKind,
    /// Who records it.
    pub program: Program,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in one or two sentences.
    pub help: &'static str,
}

/// Makes a constant of each metric, and the list of all.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:expr, $program:ident, [$($label:literal),*], $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name, kind: $kind, program: Program::$program, labels: &[$($label),*], help: $help,
            };
        )+
        /// Every metric, in the order of the docs.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

use MetricKind::{Counter, Gauge, Histogram};

/// Around the time of a reply: a p99 below 50 ms, a deadline of 10 s (`docs/benchmarks.md`).
const REPLIES: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Around the time of a group: a commit takes a millisecond, a lock is waited for at most 5 s.
const WORK: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// A group has at most 256 messages.
const MESSAGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// A group has at most 64 MiB.
const SIZES: &[f64] = &[
    1_024.0,
    16_384.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

metrics! {
    HTTP_REQUESTS = "devtrail_http_requests_total", Counter, Collector, ["route", "method", "status", "code"],
        "Requests answered; `code` is the problem's code, or `ok`. \
         A client that hung up first has status 0 and code `client_gone`.";
    HTTP_DURATION = "devtrail_http_request_duration_seconds", Histogram(REPLIES), Collector, ["route", "method"],
        "From a request's header to its reply, the time that the body took to arrive included.";
    HTTP_IN_FLIGHT = "devtrail_http_requests_in_flight", Gauge, Collector, [],
        "Requests that are being answered.";
    HTTP_BYTES = "devtrail_http_body_bytes_total", Counter, Collector, [],
        "Bytes of the bodies of batches, inflated.";
    QUOTA_REFUSALS = "devtrail_quota_refusals_total", Counter, Collector, ["what", "whose"],
        "Places that were refused: `batches`, `bytes`, `queries`, `connections` or `alert_streams`, because of the \
         bound of the `key`, of the `address`, of the `developer`, or of `all` together.";
    ALERT_STREAMS = "devtrail_alert_streams", Gauge, Collector, [],
        "Open streams of alerts (`GET /v1/alerts/stream`).";
    ALERTS_STREAMED = "devtrail_alerts_streamed_total", Counter, Collector, [],
        "Revisions of alerts that were written to streams of alerts.";
    EVENTS = "devtrail_events_total", Counter, Collector, ["verdict"],
        "Events of batches that the stream stored, by the collector's verdict. \
         A batch that the server dropped as a duplicate is not counted.";
    PUBLISHES = "devtrail_publishes_total", Counter, Collector, ["outcome"],
        "Batches published to the stream: `stored`, `duplicate` (dropped by the server), a 413: `too_large`, \
         or a 503: `full`, `circuit_open`, `unavailable`.";
    PUBLISH_DURATION = "devtrail_publish_duration_seconds", Histogram(REPLIES), Collector, [],
        "From publishing a batch to its PubAck, retries included.";
    PUBLISH_RETRIES = "devtrail_publish_retries_total", Counter, Collector, [],
        "Publishes that were retried.";
    PUBLISH_GROUPS = "devtrail_publish_groups_total", Counter, Collector, ["outcome"],
        "Groups published to the stream: `committed`; else its batches went singly: `duplicate` (the server knew one), \
         `refused`, `unsupported` (the stream takes no groups), `unconfirmed`.";
    PUBLISH_GROUPED = "devtrail_publish_grouped_total", Counter, Collector, [],
        "Batches that were stored in groups.";
    GROUP_MESSAGES = "devtrail_group_messages", Histogram(MESSAGES), Worker, ["stream", "consumer"],
        "Messages of a group that was handled together.";
    GROUP_BYTES = "devtrail_group_bytes", Histogram(SIZES), Worker, ["stream", "consumer"],
        "Payload of a group that was handled together.";
    GROUP_DURATION = "devtrail_group_duration_seconds", Histogram(WORK), Worker, ["stream", "consumer"],
        "Time to handle a group.";
    SETTLED = "devtrail_messages_settled_total", Counter, Worker, ["stream", "consumer", "outcome"],
        "Messages acknowledged: `ack`, `retry` (nak with a delay) or `dead_letter`.";
    ATTEMPTS = "devtrail_attempts_failed_total", Counter, Worker, ["stream", "consumer"],
        "Attempts of single messages that failed for an unknown reason; \
         after `--max-attempts` of them a message is dead-lettered.";
    DEAD_LETTERS = "devtrail_dead_letters_total", Counter, Worker, ["stream", "consumer"],
        "Messages that were dead-lettered: they are in DEAD.";
    STORE_DURATION = "devtrail_store_transaction_duration_seconds", Histogram(WORK), Worker, ["kind", "outcome"],
        "Time of a transaction, waiting included. \
         Kinds: `store_batches`, `claim_outbox`, `mark_triggered`, `finish_jobs`; \
         outcomes `ok`, `unavailable`, `failed`.";
    STORE_RETRIES = "devtrail_store_retries_total", Counter, Worker, [],
        "Transactions that Postgres rolled back in favour of another one, and that were run again.";
    BATCHES_STORED = "devtrail_batches_stored_total", Counter, Worker, ["outcome"],
        "Batches after `store_batches`: `stored`, or `already` if the row was there.";
    EVENTS_STORED = "devtrail_events_stored_total", Counter, Worker, ["verdict"],
        "Events of batches that were stored, by the store's verdict.";
    BATCHES_TRIGGERED = "devtrail_batches_triggered_total", Counter, Worker, [],
        "Batches whose jobs have all been published.";
    JOBS_DONE = "devtrail_jobs_done_total", Counter, Worker, ["kind"],
        "Jobs that were finished.";
    ALERTS = "devtrail_alerts_total", Counter, Worker, ["state", "severity"],
        "Revisions of developers' alerts: `raised` or `retracted`.";
    WEBHOOK_POSTS = "devtrail_webhook_posts_total", Counter, Worker, ["outcome"],
        "Alerts posted to the administrators' webhook: `taken`; `not_now`, retried; \
         `denied`, address or secret are wrong; `refused` or `skipped`, not posted again.";
    BATCHES = "devtrail_batches", Gauge, Worker, ["state"],
        "Stored batches that are not completed, by state: `persisted`, `triggered`, `failed`.";
    STREAM_MESSAGES = "devtrail_stream_messages", Gauge, Every, ["stream"],
        "Messages in a stream.";
    STREAM_BYTES = "devtrail_stream_bytes", Gauge, Every, ["stream"],
        "Bytes of a stream.";
    STREAM_LIMIT = "devtrail_stream_limit_bytes", Gauge, Every, ["stream"],
        "The most bytes that a stream may have; -1: no limit.";
    CONSUMER_PENDING = "devtrail_consumer_pending_messages", Gauge, Every, ["stream", "consumer"],
        "Messages that were not delivered yet.";
    CONSUMER_ACK_PENDING = "devtrail_consumer_unsettled_messages", Gauge, Every, ["stream", "consumer"],
        "Messages that were delivered, but not acknowledged yet.";
    CONSUMER_AGE = "devtrail_consumer_oldest_message_age_seconds", Gauge, Every, ["stream", "consumer"],
        "Age of the oldest message that was not acknowledged; 0 if there is none.";
    CHECK = "devtrail_check_ok", Gauge, Every, ["check"],
        "Whether a part of readiness holds (1) or not (0): what `/health/ready` asks.";
    BREAKER = "devtrail_breaker_state", Gauge, Every, ["breaker", "state"],
        "1 for the state that a circuit breaker is in, 0 for the two others.";
    BUILD = "devtrail_build_info", Gauge, Every, ["version"],
        "Always 1; the label names the version.";
    START = "process_start_time_seconds", Gauge, Every, [],
        "When the process started, in seconds since 1970.";
    MEMORY = "process_resident_memory_bytes", Gauge, Every, [],
        "Resident memory.";
    OPEN_FDS = "process_open_fds", Gauge, Every, [],
        "Open file descriptors.";
}

//! From readings and thresholds to conditions. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime::breaker;
use store::Overdue;
use types::admin_alert::AlertKind;
use types::event_streams::EventStream;
use types::time::{Micros, micros, rfc3339};

use super::condition::{Condition, ProbedConditions};
use super::liveness::SilentRole;
use super::rule_failures::{REASON_PREFIX, RuleFailure};
use super::settings::WatchSettings;

/// What waits for a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// `STREAM/consumer`.
    pub consumer: String,
    /// Messages that are not delivered, or not acked.
    pub messages: u64,
    /// How long the oldest of them has been in the stream.
    pub oldest: Duration,
}

/// How full something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Of a stream or a disk.
    pub name: String,
    /// In bytes.
    pub used: u64,
    /// In bytes.
    pub size: u64,
}

/// The disks, and JetStream's own limit.
#[derive(Debug, Clone, Default)]
pub struct DiskReadings {
    pub capacities: Vec<Capacity>,
    /// The names of those that could not be read: an alert about one stays.
    pub unread: Vec<String>,
}

/// What one round of probes read; `None` if a probe failed.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Messages in DEAD by subject.
    pub dead: Option<BTreeMap<String, u64>>,
    /// The breakers of all processes: the process and the breaker's state.
    pub breakers: Option<Vec<(String, breaker::BreakerReport)>>,
    /// The consumers of live work.
    pub backlogs: Option<Vec<Backlog>>,
    /// The streams and consumers that should be there and are not: `STREAM` or `STREAM/consumer`.
    pub missing: Option<Vec<String>>,
    /// The streams that refuse when they are full.
    pub streams: Option<Vec<Capacity>>,
    pub disks: Option<DiskReadings>,
    /// The roles without a heartbeat.
    pub silent: Option<Vec<SilentRole>>,
    /// `Some(None)` if no batch is overdue.
    pub overdue: Option<Option<Overdue>>,
    /// The rules that failed recently.
    pub rules: Vec<RuleFailure>,
}

/// Beyond a threshold a condition fires.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    lag: u64,
    stream: u64,
    disk: u64,
    silent: Duration,
    overdue: Duration,
}

impl From<&WatchSettings> for Thresholds {
    fn from(settings: &WatchSettings) -> Self {
        Self {
            lag: settings.alert_lag,
            stream: settings.alert_stream,
            disk: settings.alert_disk,
            silent: settings.alert_silent,
            overdue: settings.alert_overdue,
        }
    }
}

/// An alert for a full stream or disk is kept open down to this many points below its bound.
const POINTS: u64 = 5;

/// The conditions in these readings.
#[must_use]
pub fn evaluate(readings: &Readings, thresholds: &Thresholds) -> ProbedConditions {
    let mut found = ProbedConditions::default();
    let missing_names = readings.missing.as_deref().unwrap_or_default();
    if let Some(dead) = &readings.dead {
        let conditions = dead
            .iter()
            .map(|(subject, count)| dead_letters(subject, *count));
        found.add(AlertKind::DeadLetter, conditions);
    }
    if let Some(reports) = &readings.breakers {
        found.add(AlertKind::BreakerOpen, open_breakers(reports));
    }
    if let Some(backlogs) = &readings.backlogs {
        found.add(
            AlertKind::Lag,
            backlogs.iter().filter_map(|one| lag(one, thresholds)),
        );
        found.add(
            AlertKind::Lag,
            missing_names.iter().map(|name| missing(name)),
        );
    }
    if let Some(streams) = &readings.streams {
        let kind = AlertKind::StreamNearlyFull;
        let full = |one| nearly_full(one, kind, "The stream", thresholds.stream);
        found.add(kind, streams.iter().filter_map(full));
        // How full a missing stream was is not known: an alert about it stays.
        let kept = missing_names.iter().map(|name| Condition {
            kind,
            is_firing: false,
            ..missing(name)
        });
        found.add(kind, kept);
    }
    if let Some(disks) = &readings.disks {
        let kind = AlertKind::DiskNearlyFull;
        let full = |one| nearly_full(one, kind, "The disk of the", thresholds.disk);
        found.add(kind, disks.capacities.iter().filter_map(full));
        found.add(kind, disks.unread.iter().map(|name| unread_disk(name)));
    }
    if let Some(silent) = &readings.silent {
        let conditions = silent.iter().map(|one| role_silent(one, thresholds.silent));
        found.add(AlertKind::RoleSilent, conditions);
    }
    if let Some(overdue) = &readings.overdue {
        let conditions = overdue
            .iter()
            .map(|one| batches_overdue(one, thresholds.overdue));
        found.add(AlertKind::BatchOverdue, conditions);
    }
    found.add(
        AlertKind::RuleFailed,
        readings.rules.iter().map(rule_failed),
    );
    found
}

fn dead_letters(subject: &str, count: u64) -> Condition {
    let subject = subject
        .strip_prefix("dead.")
        .unwrap_or(subject)
        .replace('.', "/");
    let title = format!("Dead letters of {subject} are in DEAD: {count}.");
    Condition::firing(AlertKind::DeadLetter, &subject, count, title).with("messages", count, None)
}

/// One condition for each breaker name, however many processes have it open. A half-open breaker may be about to close,
/// and stays half-open while nothing is called: the alert is resolved once none has been open for a while.
fn open_breakers(reports: &[(String, breaker::BreakerReport)]) -> Vec<Condition> {
    let mut by_name: BTreeMap<&str, Vec<(&str, &breaker::BreakerReport)>> = BTreeMap::new();
    for (actor, report) in reports {
        if report.state == breaker::BreakerState::Open {
            let open = by_name.entry(&report.name).or_default();
            open.push((actor, report));
        }
    }
    let mut conditions = Vec::new();
    for (name, open) in by_name {
        let actors: BTreeSet<&str> = open.iter().map(|(actor, _)| *actor).collect();
        let count = actors.len() as u64;
        let actors = actors.into_iter().collect::<Vec<_>>().join(", ");
        let reason = open
            .iter()
            .find_map(|(_, report)| report.reason.as_deref())
            .unwrap_or("unknown");
        let title =
            format!("The circuit breaker {name} is open in {actors}. The last failure: {reason}");
        let condition = Condition::firing(AlertKind::BreakerOpen, name, count, title);
        conditions.push(condition.with("processes", count, None));
    }
    conditions
}

/// Too many messages wait, or one waits for too long: it may be one that nothing takes. From half a bound on an open
/// alert is kept.
fn lag(backlog: &Backlog, thresholds: &Thresholds) -> Option<Condition> {
    let Backlog {
        consumer,
        messages,
        oldest,
    } = backlog;
    let bound = thresholds.lag;
    let is_many = *messages > bound;
    let is_old = *oldest >= thresholds.overdue;
    let seconds = oldest.as_secs();
    let bound_seconds = thresholds.overdue.as_secs();
    let title = if is_old && !is_many {
        format!(
            "A message has waited for {consumer} for {seconds} s without being acknowledged; the bound is \
             {bound_seconds} s."
        )
    } else {
        format!("{messages} messages wait for {consumer}; the bound is {bound}.")
    };
    let is_kept = *messages > bound / 2 || (*messages > 0 && *oldest >= thresholds.overdue / 2);
    is_kept.then(|| Condition {
        is_firing: is_many || is_old,
        ..Condition::firing(AlertKind::Lag, consumer, 1, title)
            .with("messages", *messages, Some(bound))
            .with("oldest_seconds", seconds, Some(bound_seconds))
    })
}

/// A stream or consumer that is declared does not exist: what was for it waits, or is gone.
fn missing(name: &str) -> Condition {
    let what = if name.contains('/') {
        "consumer"
    } else {
        "stream"
    };
    let title = format!("The {what} {name} is missing: `devtrail streams apply` makes it again.");
    Condition::firing(AlertKind::Lag, name, 1, title)
}

fn nearly_full(capacity: &Capacity, kind: AlertKind, what: &str, bound: u64) -> Option<Condition> {
    let Capacity { name, used, size } = capacity;
    if *size == 0 {
        return None;
    }
    let percent = u64::try_from(u128::from(*used) * 100 / u128::from(*size)).unwrap_or(100);
    let free = size.saturating_sub(*used) / (1024 * 1024);
    let title =
        format!("{what} {name} is {percent} % full; {free} MiB are free. The bound is {bound} %.");
    (percent + POINTS > bound).then(|| Condition {
        is_firing: percent >= bound,
        // From 80 % on EVENTS is purged, twice a second. It is full only if that does not help.
        pending_first: kind == AlertKind::StreamNearlyFull && EventStream::named(name).is_some(),
        ..Condition::firing(kind, name, 1, title)
            .with("percent", percent, Some(bound))
            .with("bytes", *used, Some(*size))
    })
}

fn unread_disk(name: &str) -> Condition {
    let title = format!("How full the disk of the {name} is cannot be read.");
    Condition {
        is_firing: false,
        ..Condition::firing(AlertKind::DiskNearlyFull, name, 1, title)
    }
}

/// A role that is missing, but not for long enough, keeps an alert open.
fn role_silent(silent: &SilentRole, bound: Duration) -> Condition {
    let SilentRole {
        role,
        since,
        seconds,
        is_overdue,
    } = silent;
    let bound_seconds = bound.as_secs();
    let title = format!(
        "No process of {role} has given a sign of life since {}; the bound is {bound_seconds} s.",
        rfc3339(*since)
    );
    Condition {
        is_firing: *is_overdue,
        ..Condition::firing(AlertKind::RoleSilent, role, 1, title).with(
            "seconds",
            *seconds,
            Some(bound_seconds),
        )
    }
}

fn batches_overdue(overdue: &Overdue, bound: Duration) -> Condition {
    let Overdue {
        count,
        oldest,
        state,
        persisted_at,
    } = overdue;
    let title = format!(
        "Batches that are not completed {} s after they were stored: {count}. The oldest is {oldest}, {}, \
         stored at {}.",
        bound.as_secs(),
        state.as_str(),
        rfc3339(*persisted_at)
    );
    Condition::firing(AlertKind::BatchOverdue, "batches", *count, title)
        .with("batches", *count, None)
}

fn rule_failed(failure: &RuleFailure) -> Condition {
    let RuleFailure {
        rule, count, error, ..
    } = failure;
    let title = format!(
        "The rule {rule} could not be evaluated, {count} times recently.{REASON_PREFIX}{error}"
    );
    Condition::firing(AlertKind::RuleFailed, rule, *count, title).with("failures", *count, None)
}

/// Batches that were stored before this time are overdue now, if they are not completed.
#[must_use]
pub fn overdue_before(thresholds: &Thresholds, now: Micros) -> Micros {
    now.saturating_sub(micros(thresholds.overdue))
}

#[cfg(test)]
mod tests;

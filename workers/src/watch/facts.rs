//! What a look saw, and which troubles that means. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::EVENTS;
use runtime::breaker;
use store::Overdue;
use types::admin_alert::{Kind, Number};
use types::time::{Micros, rfc3339};

use super::attendance::Silent;
use super::book::{Findings, Trouble};
use super::failures::{Failed, REASON_IS};
use super::settings::WatchSettings;

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// `STREAM/consumer`.
    pub consumer: String,
    /// Messages that are not delivered, or not acknowledged.
    pub messages: u64,
    /// How long the oldest of them has been in the stream.
    pub oldest: Duration,
}

/// Something with room for so much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// What: a stream, a disk.
    pub name: String,
    /// Bytes in use.
    pub used: u64,
    /// Bytes it takes at most.
    pub size: u64,
}

/// The disks that a look saw, and JetStream's own limit.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    /// Those that were read.
    pub rooms: Vec<Room>,
    /// The names of those that could not be: an alert about one stays.
    pub unread: Vec<String>,
}

/// What one look saw; `None` where it could not look.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Messages in DEAD by subject.
    pub dead: Option<BTreeMap<String, u64>>,
    /// The breakers of all processes: whose, and how it is.
    pub breakers: Option<Vec<(String, breaker::Report)>>,
    /// The consumers of live work.
    pub backlogs: Option<Vec<Backlog>>,
    /// The streams and consumers that should be there and are not: `STREAM` or `STREAM/consumer`.
    pub missing: Option<Vec<String>>,
    /// The streams that refuse when they are full.
    pub streams: Option<Vec<Room>>,
    /// The disks, and JetStream's own limit.
    pub disks: Option<Disks>,
    /// The roles without a sign of life.
    pub silent: Option<Vec<Silent>>,
    /// The batches that are overdue.
    pub overdue: Option<Option<Overdue>>,
    /// The rules that failed of late.
    pub rules: Vec<Failed>,
}

/// Beyond which something is a trouble.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    lag: u64,
    stream: u64,
    disk: u64,
    silent: Duration,
    overdue: Duration,
}

impl From<&WatchSettings> for Bounds {
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

/// The troubles in what was seen.
#[must_use]
pub fn judge(seen: &Seen, bounds: &Bounds) -> Findings {
    let mut findings = Findings::default();
    let mut add = |kind: Kind, troubles: Option<Vec<Trouble>>| {
        if let Some(troubles) = troubles {
            findings.looked.insert(kind);
            findings.troubles.extend(troubles);
        }
    };
    add(
        Kind::DeadLetter,
        seen.dead
            .as_ref()
            .map(|dead| dead.iter().map(dead_letter).collect()),
    );
    add(Kind::BreakerOpen, seen.breakers.as_deref().map(breakers));
    let gone = seen.missing.as_deref().unwrap_or_default();
    let lag = |all: &Vec<Backlog>| {
        all.iter()
            .filter_map(|one| lag(one, bounds))
            .chain(gone.iter().map(|name| missing(name)))
            .collect()
    };
    add(Kind::Lag, seen.backlogs.as_ref().map(lag));
    let full = |all: &Vec<Room>, kind, what, bound| {
        all.iter()
            .filter_map(|one| nearly_full(one, kind, what, bound))
            .collect()
    };
    let streams = seen.streams.as_ref();
    let full_streams = |all: &Vec<Room>| {
        let found: Vec<Trouble> = full(all, Kind::StreamNearlyFull, "The stream", bounds.stream);
        // How full one that is missing was is not known: an alert about it stays.
        let kept = gone.iter().map(|name| Trouble {
            is_bad: false,
            ..missing(name)
        });
        let kept = kept.map(|trouble| Trouble {
            kind: Kind::StreamNearlyFull,
            ..trouble
        });
        found.into_iter().chain(kept).collect()
    };
    add(Kind::StreamNearlyFull, streams.map(full_streams));
    let full_disks = |all: &Disks| {
        let found: Vec<Trouble> = full(
            &all.rooms,
            Kind::DiskNearlyFull,
            "The disk of the",
            bounds.disk,
        );
        let unread = |name: &String| Trouble {
            is_bad: false,
            ..trouble(
                Kind::DiskNearlyFull,
                name,
                1,
                format!("How full the disk of the {name} is cannot be read."),
            )
        };
        found
            .into_iter()
            .chain(all.unread.iter().map(unread))
            .collect()
    };
    add(Kind::DiskNearlyFull, seen.disks.as_ref().map(full_disks));
    let silent = |all: &Vec<Silent>| {
        all.iter()
            .map(|one| role_silent(one, bounds.silent))
            .collect()
    };
    add(Kind::RoleSilent, seen.silent.as_ref().map(silent));
    let overdue = |found: &Option<Overdue>| {
        found
            .iter()
            .map(|one| batch_overdue(one, bounds.overdue))
            .collect()
    };
    add(Kind::BatchOverdue, seen.overdue.as_ref().map(overdue));
    add(
        Kind::RuleFailed,
        Some(seen.rules.iter().map(rule_failed).collect()),
    );
    findings
}

fn trouble(kind: Kind, subject: &str, count: u64, title: String) -> Trouble {
    let (subject, numbers) = (subject.to_owned(), BTreeMap::new());
    Trouble {
        kind,
        subject,
        is_bad: true,
        dwells: false,
        count,
        title,
        numbers,
    }
}

impl Trouble {
    fn with(mut self, name: &str, value: u64, bound: Option<u64>) -> Self {
        self.numbers
            .insert(name.to_owned(), Number { value, bound });
        self
    }
}

fn dead_letter((subject, &count): (&String, &u64)) -> Trouble {
    let subject = subject
        .strip_prefix("dead.")
        .unwrap_or(subject)
        .replace('.', "/");
    let title = format!("Messages that {subject} gave up are in DEAD: {count}.");
    trouble(Kind::DeadLetter, &subject, count, title).with("messages", count, None)
}

/// One trouble a name, however many processes have it open. Half-open it may be well again, and where
/// nothing is called it stays so: an alert is resolved once none has been open for a while.
fn breakers(all: &[(String, breaker::Report)]) -> Vec<Trouble> {
    let mut by_name: BTreeMap<&str, Vec<(&str, &breaker::Report)>> = BTreeMap::new();
    for (actor, report) in all
        .iter()
        .filter(|(_, report)| report.state == breaker::State::Open)
    {
        by_name
            .entry(&report.name)
            .or_default()
            .push((actor, report));
    }
    let of = |(name, reports): (&str, Vec<(&str, &breaker::Report)>)| {
        let actors: BTreeSet<&str> = reports.iter().map(|(actor, _)| *actor).collect();
        let shown: Vec<&str> = actors.iter().copied().collect();
        let reason = reports
            .iter()
            .find_map(|(_, report)| report.reason.as_deref())
            .unwrap_or("unknown");
        let (count, shown) = (actors.len() as u64, shown.join(", "));
        let title =
            format!("The circuit breaker {name} is open in {shown}. The last failure: {reason}");
        trouble(Kind::BreakerOpen, name, count, title).with("processes", count, None)
    };
    by_name.into_iter().map(of).collect()
}

/// Too many, or one for too long: then it may be one that nothing takes. From half a bound on an open
/// alert is kept.
fn lag(backlog: &Backlog, bounds: &Bounds) -> Option<Trouble> {
    let Backlog {
        consumer: name,
        messages,
        oldest,
    } = backlog;
    let (bound, patience) = (bounds.lag, bounds.overdue);
    let (is_many, is_old) = (*messages > bound, *oldest >= patience);
    let (seconds, bound_seconds) = (oldest.as_secs(), patience.as_secs());
    let title = if is_old && !is_many {
        format!(
            "A message has waited for {name} for {seconds} s without being acknowledged; the bound is \
             {bound_seconds} s."
        )
    } else {
        format!("{messages} messages wait for {name}; the bound is {bound}.")
    };
    let found = trouble(Kind::Lag, name, 1, title).with("messages", *messages, Some(bound));
    let found = found.with("oldest_seconds", seconds, Some(bound_seconds));
    let is_kept = *messages > bound / 2 || (*messages > 0 && *oldest >= patience / 2);
    is_kept.then_some(Trouble {
        is_bad: is_many || is_old,
        ..found
    })
}

/// Something that is declared is not there: what was for it waits, or is gone.
fn missing(name: &str) -> Trouble {
    let what = if name.contains('/') {
        "consumer"
    } else {
        "stream"
    };
    let title = format!("The {what} {name} is missing: `devtrail streams apply` makes it again.");
    trouble(Kind::Lag, name, 1, title)
}

fn nearly_full(room: &Room, kind: Kind, what: &str, bound: u64) -> Option<Trouble> {
    let Room { name, used, size } = room;
    if *size == 0 {
        return None;
    }
    let percent = u64::try_from(u128::from(*used) * 100 / u128::from(*size)).unwrap_or(100);
    let free = size.saturating_sub(*used) / (1024 * 1024);
    let title =
        format!("{what} {name} is {percent} % full; {free} MiB are free. The bound is {bound} %.");
    let found = trouble(kind, name, 1, title).with("percent", percent, Some(bound));
    let found = found.with("bytes", *used, Some(*size));
    // From 80 % on EVENTS is trimmed, twice a second: only where that does not help it is full.
    let dwells = kind == Kind::StreamNearlyFull && name == EVENTS;
    (percent + POINTS > bound).then_some(Trouble {
        is_bad: percent >= bound,
        dwells,
        ..found
    })
}

/// A role that is missing, but not for long enough, keeps an alert open.
fn role_silent(silent: &Silent, bound: Duration) -> Trouble {
    let Silent { role, since, .. } = silent;
    let (seconds, bound_seconds) = (silent.seconds, bound.as_secs());
    let title = format!(
        "No process of {role} has given a sign of life since {}; the bound is {bound_seconds} s.",
        rfc3339(*since)
    );
    let found =
        trouble(Kind::RoleSilent, role, 1, title).with("seconds", seconds, Some(bound_seconds));
    Trouble {
        is_bad: silent.is_long,
        ..found
    }
}

fn batch_overdue(overdue: &Overdue, bound: Duration) -> Trouble {
    let Overdue {
        count,
        oldest,
        state,
        persisted_at,
    } = overdue;
    let (state, at, bound) = (state.as_str(), rfc3339(*persisted_at), bound.as_secs());
    let title = format!(
        "Batches that are not completed {bound} s after they were stored: {count}. The oldest is {oldest}, \
         {state}, stored at {at}."
    );
    trouble(Kind::BatchOverdue, "batches", *count, title).with("batches", *count, None)
}

fn rule_failed(failed: &Failed) -> Trouble {
    let Failed {
        rule, count, error, ..
    } = failed;
    let title =
        format!("The rule {rule} could not be evaluated, {count} times of late.{REASON_IS}{error}");
    trouble(Kind::RuleFailed, rule, *count, title).with("failures", *count, None)
}

/// Before which batches must have been stored to be overdue now.
#[must_use]
pub fn overdue_before(bounds: &Bounds, now: Micros) -> Micros {
    now.saturating_sub(super::settings::micros(bounds.overdue))
}

#[cfg(test)]
mod tests;

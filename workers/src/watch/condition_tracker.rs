//! From conditions to alerts: the conditions found now and the alerts that are open give the messages that are due.
//! Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use types::admin_alert::{
    AdminAlert, AlertKey, AlertKind, AlertState, Measurement, alert_id, newest,
};
use types::time::{Micros, SECOND, micros};

use super::condition::{Condition, ProbedConditions};
use super::settings::WatchSettings;

/// How often messages are sent.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    /// A condition must be over this long before its alert is resolved.
    pub settle: Duration,
    /// An alert whose count rose is sent again after this long.
    pub repeat: Duration,
    /// Most messages of a kind within [`RATE_WINDOW`].
    pub rate: u32,
}

impl From<&WatchSettings> for Throttle {
    fn from(settings: &WatchSettings) -> Self {
        Self {
            settle: settings.alert_settle,
            repeat: settings.alert_repeat,
            rate: settings.alert_rate,
        }
    }
}

/// The window of the rate: a minute.
pub const RATE_WINDOW: Micros = 60 * SECOND;
/// An open alert is sent again each day: it must not leave the stream while it is open, and nobody should have to
/// remember it for longer.
pub const REMINDER: Micros = 24 * 3600 * SECOND;
/// What is nearly full is sent again when it is this many points fuller.
const POINTS: u64 = 5;

#[derive(Debug, Clone)]
struct OpenAlert {
    /// The last message about it.
    published: AdminAlert,
    /// The lowest [`level`] since then: what has fallen and rises again is news.
    low: u64,
    /// When its condition was last seen.
    last_seen: Micros,
    /// Since when its condition is over.
    over_since: Option<Micros>,
}

/// The open alerts, and when messages were sent.
#[derive(Debug, Clone)]
pub struct ConditionTracker {
    throttle: Throttle,
    open: BTreeMap<AlertKey, OpenAlert>,
    sent: BTreeMap<AlertKind, VecDeque<Micros>>,
    /// What fired for the first time at the last probe, and must fire again to raise an alert.
    pending: BTreeSet<AlertKey>,
}

impl ConditionTracker {
    /// The state after these messages of ADMIN, oldest first.
    #[must_use]
    pub fn read(throttle: Throttle, messages: Vec<AdminAlert>) -> Self {
        let mut tracker = Self {
            throttle,
            open: BTreeMap::new(),
            sent: BTreeMap::new(),
            pending: BTreeSet::new(),
        };
        for message in &messages {
            tracker
                .sent
                .entry(message.kind)
                .or_default()
                .push_back(message.time);
        }
        for alert in newest(messages)
            .into_iter()
            .filter(|alert| alert.state == AlertState::Raised)
        {
            tracker.open_alert(alert);
        }
        tracker
    }

    /// The last message about each open alert.
    pub fn open(&self) -> impl Iterator<Item = &AdminAlert> {
        self.open.values().map(|open| &open.published)
    }

    /// The messages that are due at `now`. Each is to be [recorded](ConditionTracker::record) once ADMIN has it.
    pub fn due(&mut self, found: &ProbedConditions, now: Micros) -> Vec<AdminAlert> {
        let conditions: BTreeMap<AlertKey, &Condition> = found
            .conditions
            .iter()
            .map(|condition| (condition.key(), condition))
            .collect();
        let mut resolved = Vec::new();
        let mut reminders = Vec::new();
        for (key, open) in self
            .open
            .iter_mut()
            .filter(|(key, _)| found.probed.contains(&key.kind))
        {
            match conditions.get(key) {
                Some(condition) => {
                    open.over_since = None;
                    if condition.is_firing {
                        open.last_seen = now;
                        reminders.extend(open.reminder(condition, self.throttle.repeat, now));
                    }
                    open.fell_to(level(condition.kind, condition.count, &condition.numbers));
                }
                None => {
                    open.fell_to(0);
                    let since = *open.over_since.get_or_insert(now);
                    if now.saturating_sub(since) >= micros(self.throttle.settle) {
                        resolved.push(open.resolved(now));
                    }
                }
            }
        }
        let raises = |(key, condition): &(&AlertKey, &&Condition)| {
            let is_confirmed = !condition.pending_first || self.pending.contains(*key);
            condition.is_firing
                && is_confirmed
                && found.probed.contains(&key.kind)
                && !self.open.contains_key(*key)
        };
        let mut raised: Vec<AdminAlert> = conditions
            .iter()
            .filter(raises)
            .map(|(_, condition)| new_alert(condition, now))
            .collect();
        raised.sort_by_key(|alert| alert.severity);
        self.pending.retain(|key| !found.probed.contains(&key.kind));
        let is_pending = |(key, condition): &(&AlertKey, &&Condition)| {
            condition.is_firing && condition.pending_first && found.probed.contains(&key.kind)
        };
        self.pending.extend(
            conditions
                .iter()
                .filter(is_pending)
                .map(|(key, _)| key.clone()),
        );
        // What is over the rate is found again at the next probe.
        let mut sent = std::mem::take(&mut self.sent);
        let rate = self.throttle.rate as usize;
        let mut is_within_rate = |alert: &AdminAlert| {
            let times = sent.entry(alert.kind).or_default();
            times.retain(|time| now.saturating_sub(*time) < RATE_WINDOW);
            let fits = times.len() < rate;
            if fits {
                times.push_back(now);
            }
            fits
        };
        let mut due: Vec<AdminAlert> = resolved
            .into_iter()
            .chain(raised)
            .chain(reminders)
            .collect();
        due.retain(|alert| is_within_rate(alert));
        self.sent = sent;
        due
    }

    /// ADMIN has this message.
    pub fn record(&mut self, alert: AdminAlert) {
        match alert.state {
            AlertState::Raised => self.open_alert(alert),
            AlertState::Resolved => drop(self.open.remove(&alert.key())),
        }
    }

    fn open_alert(&mut self, alert: AdminAlert) {
        let low = level(alert.kind, alert.count, &alert.numbers);
        let open = OpenAlert {
            last_seen: alert.last_seen,
            over_since: None,
            low,
            published: alert,
        };
        self.open.insert(open.published.key(), open);
    }
}

impl OpenAlert {
    /// The alert again, if its condition grew or a day has passed.
    fn reminder(&self, condition: &Condition, repeat: Duration, now: Micros) -> Option<AdminAlert> {
        let age = now.saturating_sub(self.published.time);
        let grew = has_grown(self.low, condition) && age >= micros(repeat);
        (grew || age >= REMINDER).then(|| AdminAlert {
            revision: self.published.revision + 1,
            count: condition.count,
            title: condition.title.clone(),
            numbers: condition.numbers.clone(),
            last_seen: now,
            time: now,
            ..self.published.clone()
        })
    }

    /// Which processes have a breaker open changes all the time: only more of them than were sent are news.
    fn fell_to(&mut self, level: u64) {
        if self.published.kind != AlertKind::BreakerOpen {
            self.low = self.low.min(level);
        }
    }

    fn resolved(&self, now: Micros) -> AdminAlert {
        AdminAlert {
            revision: self.published.revision + 1,
            state: AlertState::Resolved,
            title: format!("This is over: {}", self.published.title),
            last_seen: self.last_seen,
            time: now,
            ..self.published.clone()
        }
    }
}

/// The number that says how bad a condition is.
fn level(kind: AlertKind, count: u64, numbers: &BTreeMap<String, Measurement>) -> u64 {
    let name = match kind {
        AlertKind::Lag => "messages",
        AlertKind::StreamNearlyFull | AlertKind::DiskNearlyFull => "percent",
        _ => return count,
    };
    numbers.get(name).map_or(count, |number| number.value)
}

/// Whether a condition whose level was `low` has grown enough to be sent again. One that only wavers about its bound
/// has not.
fn has_grown(low: u64, condition: &Condition) -> bool {
    let now = level(condition.kind, condition.count, &condition.numbers);
    let bound = |name| {
        condition
            .numbers
            .get(name)
            .and_then(|number| number.bound)
            .unwrap_or(0)
    };
    match condition.kind {
        AlertKind::Lag => now > 1 && now >= low.max(bound("messages")).saturating_mul(2),
        AlertKind::StreamNearlyFull | AlertKind::DiskNearlyFull => {
            now >= low.max(bound("percent")) + POINTS
        }
        _ => now > low,
    }
}

fn new_alert(condition: &Condition, now: Micros) -> AdminAlert {
    let kind = condition.kind;
    AdminAlert {
        alert_id: alert_id(kind, &condition.subject, now),
        revision: 0,
        kind,
        subject: condition.subject.clone(),
        severity: kind.severity(),
        state: AlertState::Raised,
        count: condition.count,
        title: condition.title.clone(),
        numbers: condition.numbers.clone(),
        advice: kind.advice().to_owned(),
        runbook: kind.runbook(),
        first_seen: now,
        last_seen: now,
        time: now,
    }
}

#[cfg(test)]
mod tests;

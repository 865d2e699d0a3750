//! The book of open alerts: what was found, and what stands, give the messages that are due. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use types::admin_alert::{AdminAlert, Kind, Number, Place, State, alert_id, newest};
use types::time::{Micros, SECOND};

use super::settings::{WatchSettings, micros};

/// One trouble, as a look found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about.
    pub kind: Kind,
    /// Which one.
    pub subject: String,
    /// Whether it raises an alert; one that is almost well only keeps an alert open.
    pub is_bad: bool,
    /// Whether it must be bad at two looks in a row to raise an alert: others may be mending it.
    pub dwells: bool,
    /// How many single troubles it stands for.
    pub count: u64,
    /// A sentence.
    pub title: String,
    /// What was measured.
    pub numbers: BTreeMap<String, Number>,
}

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The kinds that could be looked at. Of others nothing is known, so nothing changes.
    pub looked: BTreeSet<Kind>,
    /// The troubles; at most one for a kind and subject. What is not among them is well.
    pub troubles: Vec<Trouble>,
}

/// How often alerts are told.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A trouble must be gone this long before its alert is resolved.
    pub settle: Duration,
    /// An alert whose count rose is told again after this long.
    pub repeat: Duration,
    /// Most messages of a kind within [`WINDOW`].
    pub rate: u32,
}

impl From<&WatchSettings> for Pace {
    fn from(settings: &WatchSettings) -> Self {
        Self {
            settle: settings.alert_settle,
            repeat: settings.alert_repeat,
            rate: settings.alert_rate,
        }
    }
}

/// What the rate counts in: a minute.
pub const WINDOW: Micros = 60 * SECOND;
/// An alert that stands is told again each day: it must not leave the stream while it is open, and
/// nobody should have to remember it for longer.
pub const REMINDER: Micros = 24 * 3600 * SECOND;
/// What is nearly full is told again when it is this many points fuller.
const POINTS: u64 = 5;

/// An alert that stands.
#[derive(Debug, Clone)]
struct Standing {
    /// As it was told last.
    told: AdminAlert,
    /// The lowest [`level`] since then: what has fallen and rises again is news.
    low: u64,
    /// When its trouble was seen last.
    last_seen: Micros,
    /// Since when it is well, where it is.
    well_since: Option<Micros>,
}

/// The alerts that stand, and when messages were sent.
#[derive(Debug, Clone)]
pub struct Book {
    pace: Pace,
    open: BTreeMap<Place, Standing>,
    sent: BTreeMap<Kind, VecDeque<Micros>>,
    /// What dwells and was bad at the look before.
    dwelling: BTreeSet<Place>,
}

impl Book {
    /// The book that these messages of ADMIN, oldest first, have written.
    #[must_use]
    pub fn read(pace: Pace, messages: Vec<AdminAlert>) -> Self {
        let mut book = Self {
            pace,
            open: BTreeMap::new(),
            sent: BTreeMap::new(),
            dwelling: BTreeSet::new(),
        };
        for message in &messages {
            book.sent
                .entry(message.kind)
                .or_default()
                .push_back(message.time);
        }
        for alert in newest(messages)
            .into_iter()
            .filter(|alert| alert.state == State::Raised)
        {
            book.stand(alert);
        }
        book
    }

    /// The alerts that stand.
    pub fn standing(&self) -> impl Iterator<Item = &AdminAlert> {
        self.open.values().map(|standing| &standing.told)
    }

    /// The messages that are due at `now`. The book goes on with each once it [`Book::took`] it.
    pub fn due(&mut self, findings: &Findings, now: Micros) -> Vec<AdminAlert> {
        let found: BTreeMap<Place, &Trouble> = findings
            .troubles
            .iter()
            .map(|one| ((one.kind, one.subject.clone()), one))
            .collect();
        let (mut resolved, mut repeated) = (Vec::new(), Vec::new());
        for (place, standing) in self
            .open
            .iter_mut()
            .filter(|(place, _)| findings.looked.contains(&place.0))
        {
            match found.get(place) {
                Some(trouble) => {
                    standing.well_since = None;
                    if trouble.is_bad {
                        standing.last_seen = now;
                        repeated.extend(standing.repeated(trouble, self.pace.repeat, now));
                    }
                    standing.fell_to(level(trouble.kind, trouble.count, &trouble.numbers));
                }
                None => {
                    standing.fell_to(0);
                    let since = *standing.well_since.get_or_insert(now);
                    if now.saturating_sub(since) >= micros(self.pace.settle) {
                        resolved.push(standing.resolved(now));
                    }
                }
            }
        }
        let raises = |(place, trouble): &(&Place, &&Trouble)| {
            let stays = !trouble.dwells || self.dwelling.contains(*place);
            trouble.is_bad
                && stays
                && findings.looked.contains(&place.0)
                && !self.open.contains_key(*place)
        };
        let mut raised: Vec<AdminAlert> = found
            .iter()
            .filter(raises)
            .map(|(_, trouble)| raise(trouble, now))
            .collect();
        raised.sort_by_key(|alert| alert.severity);
        self.dwelling
            .retain(|(kind, _)| !findings.looked.contains(kind));
        let dwells = |(place, trouble): &(&Place, &&Trouble)| {
            trouble.is_bad && trouble.dwells && findings.looked.contains(&place.0)
        };
        self.dwelling
            .extend(found.iter().filter(dwells).map(|(place, _)| place.clone()));
        // What waits for its turn is found again at the next look.
        let mut sent = std::mem::take(&mut self.sent);
        let rate = self.pace.rate as usize;
        let mut in_time = |alert: &AdminAlert| {
            let times = sent.entry(alert.kind).or_default();
            times.retain(|time| now.saturating_sub(*time) < WINDOW);
            let fits = times.len() < rate;
            if fits {
                times.push_back(now);
            }
            fits
        };
        let mut due: Vec<AdminAlert> = resolved.into_iter().chain(raised).chain(repeated).collect();
        due.retain(|alert| in_time(alert));
        self.sent = sent;
        due
    }

    /// ADMIN has this message.
    pub fn took(&mut self, alert: AdminAlert) {
        match alert.state {
            State::Raised => self.stand(alert),
            State::Resolved => drop(self.open.remove(&alert.place())),
        }
    }

    fn stand(&mut self, alert: AdminAlert) {
        let low = level(alert.kind, alert.count, &alert.numbers);
        let standing = Standing {
            last_seen: alert.last_seen,
            well_since: None,
            low,
            told: alert,
        };
        self.open.insert(standing.told.place(), standing);
    }
}

impl Standing {
    /// Told again, where it is time.
    fn repeated(&self, trouble: &Trouble, repeat: Duration, now: Micros) -> Option<AdminAlert> {
        let age = now.saturating_sub(self.told.time);
        let grew = has_grown(self.low, trouble) && age >= micros(repeat);
        (grew || age >= REMINDER).then(|| AdminAlert {
            revision: self.told.revision + 1,
            count: trouble.count,
            title: trouble.title.clone(),
            numbers: trouble.numbers.clone(),
            last_seen: now,
            time: now,
            ..self.told.clone()
        })
    }

    /// Which processes have a breaker open changes all the time: only more than were told are news.
    fn fell_to(&mut self, level: u64) {
        if self.told.kind != Kind::BreakerOpen {
            self.low = self.low.min(level);
        }
    }

    fn resolved(&self, now: Micros) -> AdminAlert {
        AdminAlert {
            revision: self.told.revision + 1,
            state: State::Resolved,
            title: format!("This is over: {}", self.told.title),
            last_seen: self.last_seen,
            time: now,
            ..self.told.clone()
        }
    }
}

/// What of a trouble grows.
fn level(kind: Kind, count: u64, numbers: &BTreeMap<String, Number>) -> u64 {
    let name = match kind {
        Kind::Lag => "messages",
        Kind::StreamNearlyFull | Kind::DiskNearlyFull => "percent",
        _ => return count,
    };
    numbers.get(name).map_or(count, |number| number.value)
}

/// Whether a trouble whose level was `low` has grown enough to be told again. What only wavers about
/// its bound has not.
fn has_grown(low: u64, trouble: &Trouble) -> bool {
    let now = level(trouble.kind, trouble.count, &trouble.numbers);
    let bound = |name| {
        trouble
            .numbers
            .get(name)
            .and_then(|number| number.bound)
            .unwrap_or(0)
    };
    match trouble.kind {
        Kind::Lag => now > 1 && now >= low.max(bound("messages")).saturating_mul(2),
        Kind::StreamNearlyFull | Kind::DiskNearlyFull => now >= low.max(bound("percent")) + POINTS,
        _ => now > low,
    }
}

fn raise(trouble: &Trouble, now: Micros) -> AdminAlert {
    let kind = trouble.kind;
    AdminAlert {
        alert_id: alert_id(kind, &trouble.subject, now),
        revision: 0,
        kind,
        subject: trouble.subject.clone(),
        severity: kind.severity(),
        state: State::Raised,
        count: trouble.count,
        title: trouble.title.clone(),
        numbers: trouble.numbers.clone(),
        advice: kind.advice().to_owned(),
        runbook: kind.runbook(),
        first_seen: now,
        last_seen: now,
        time: now,
    }
}

#[cfg(test)]
mod tests;

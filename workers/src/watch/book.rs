//! The book of open alerts: what was found, and what stands, give the messages that are due. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use common::admin_alert::{AdminAlert, Kind, Number, Place, State, alert_id, newest};
use common::clock::{Micros, SECOND};

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
        Self { settle: settings.alert_settle, repeat: settings.alert_repeat, rate: settings.alert_rate }
    }
}

/// What the rate counts in: a minute.
pub const WINDOW: Micros = 60 * SECOND;
/// An alert that stands is told again each day: it must not leave the stream while it is open, and
/// nobody should have to remember it for longer.
pub const REMINDER: Micros = 24 * 3600 * SECOND;

/// An alert that stands.
#[derive(Debug, Clone)]
struct Standing {
    /// As it was told last.
    told: AdminAlert,
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
}

impl Book {
    /// The book that these messages of ADMIN, oldest first, have written.
    #[must_use]
    pub fn read(pace: Pace, messages: Vec<AdminAlert>) -> Self {
        let mut book = Self { pace, open: BTreeMap::new(), sent: BTreeMap::new() };
        for message in &messages {
            book.sent.entry(message.kind).or_default().push_back(message.time);
        }
        for alert in newest(messages).into_iter().filter(|alert| alert.state == State::Raised) {
            book.stand(alert);
        }
        book
    }

    /// The messages that are due at `now`. The book goes on with each once it [`Book::took`] it.
    pub fn due(&mut self, findings: &Findings, now: Micros) -> Vec<AdminAlert> {
        let found: BTreeMap<Place, &Trouble> =
            findings.troubles.iter().map(|one| ((one.kind, one.subject.clone()), one)).collect();
        let (mut resolved, mut repeated) = (Vec::new(), Vec::new());
        for (place, standing) in self.open.iter_mut().filter(|(place, _)| findings.looked.contains(&place.0))
        {
            match found.get(place) {
                Some(trouble) => {
                    standing.well_since = None;
                    if trouble.is_bad {
                        standing.last_seen = now;
                        repeated.extend(standing.repeated(trouble, self.pace.repeat, now));
                    }
                }
                None => {
                    let since = *standing.well_since.get_or_insert(now);
                    if now.saturating_sub(since) >= micros(self.pace.settle) {
                        resolved.push(standing.resolved(now));
                    }
                }
            }
        }
        let raises = |(place, trouble): &(&Place, &&Trouble)| {
            trouble.is_bad && findings.looked.contains(&place.0) && !self.open.contains_key(*place)
        };
        let mut raised: Vec<AdminAlert> =
            found.iter().filter(raises).map(|(_, trouble)| raise(trouble, now)).collect();
        raised.sort_by_key(|alert| alert.severity);
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
        let standing = Standing { last_seen: alert.last_seen, well_since: None, told: alert };
        self.open.insert(standing.told.place(), standing);
    }
}

impl Standing {
    /// Told again, where it is time.
    fn repeated(&self, trouble: &Trouble, repeat: Duration, now: Micros) -> Option<AdminAlert> {
        let age = now.saturating_sub(self.told.time);
        let grew = trouble.count > self.told.count && age >= micros(repeat);
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

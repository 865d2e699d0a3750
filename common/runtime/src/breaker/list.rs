//! All breakers of a process, by name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::guard::{BreakerReport, Guard};
use super::settings::BreakerSettings;

/// The breakers of a process, by name. Cheap to clone; all clones are one list.
#[derive(Clone)]
pub struct Breakers {
    list: Arc<Mutex<Vec<Entry>>>,
    /// How many changes of a state, and new breakers, there were.
    changes: watch::Sender<u64>,
    /// The part of the process that asks, such as the collector inside `devtrail up`; empty for the whole.
    part: Arc<str>,
}

struct Entry {
    guard: Guard,
    /// The part that asked for it first.
    part: Arc<str>,
}

impl Default for Breakers {
    fn default() -> Self {
        Self {
            list: Arc::default(),
            changes: watch::Sender::new(0),
            part: Arc::from(""),
        }
    }
}

impl Breakers {
    /// The same list for a part of the process: what it asks for first is its own.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self {
            part: Arc::from(name),
            ..self.clone()
        }
    }

    /// The breaker of this name, which is made if there is none yet.
    #[must_use]
    pub fn guard(&self, name: &str, settings: BreakerSettings) -> Guard {
        let mut all = self.all();
        if let Some(entry) = all.iter().find(|entry| entry.guard.name() == name) {
            return entry.guard.clone();
        }
        let guard = Guard::new(name, settings, self.changes.clone());
        all.push(Entry {
            guard: guard.clone(),
            part: self.part.clone(),
        });
        self.changes.send_modify(|changes| *changes += 1);
        guard
    }

    /// The state of each, by name.
    #[must_use]
    pub fn reports(&self) -> Vec<BreakerReport> {
        self.reports_where(|_| true)
    }

    /// The state of each that this part asked for first, by name.
    #[must_use]
    pub fn own_reports(&self) -> Vec<BreakerReport> {
        self.reports_where(|entry| entry.part == self.part)
    }

    /// How many changes of a state, and new breakers, there were; notified at each.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn reports_where(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<BreakerReport> {
        let mut reports: Vec<BreakerReport> = self
            .all()
            .iter()
            .filter(|entry| wanted(entry))
            .map(|entry| entry.guard.report())
            .collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    fn all(&self) -> MutexGuard<'_, Vec<Entry>> {
        // A list that is only pushed to cannot be left half-changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::BreakerState;
    use super::*;

    #[test]
    fn a_name_is_one_breaker_of_the_part_that_requested_it_first() {
        let whole = Breakers::default();
        let collector = whole.part("collector");
        let worker = whole.part("worker");
        let mut changes = whole.changes();
        let stream = collector.guard("stream", BreakerSettings::DEFAULT);
        assert!(changes.has_changed().unwrap(), "a new breaker is a change");
        let _ = worker.guard("store", BreakerSettings::DEFAULT);
        let same = worker.guard("stream", BreakerSettings::DEFAULT);
        changes.mark_unchanged();
        for _ in 0..5 {
            assert!(
                !changes.has_changed().unwrap(),
                "a call that changes nothing is no change"
            );
            same.acquire().ok().unwrap().failed("no PubAck");
        }
        assert!(changes.has_changed().unwrap());
        assert_eq!(stream.state(), BreakerState::Open);
        let names = |reports: Vec<BreakerReport>| {
            reports
                .into_iter()
                .map(|report| report.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(whole.reports()), ["store", "stream"]);
        assert_eq!(names(collector.own_reports()), ["stream"]);
        assert_eq!(names(worker.own_reports()), ["store"]);
        assert_eq!(
            collector.own_reports()[0].reason.as_deref(),
            Some("no PubAck")
        );
    }
}

//! The naive model of a breaker.

use std::time::Duration;

use crate::breaker::{BreakerSettings, BreakerState, CallOutcome};

/// What the breaker is meant to be, written down as simply as can be: it remembers everything.
pub struct Model {
    settings: BreakerSettings,
    /// Which stay in which state this is; each has a number of its own.
    pub stay: usize,
    /// What was let through, all of it: in which stay, and how it ended.
    pub calls: Vec<(usize, Option<(CallOutcome, Duration)>)>,
    /// In which order the calls of this stay ended.
    ended: Vec<usize>,
    /// Where it is open: since when, and for how long.
    open: Option<(Duration, Duration)>,
    half_open: bool,
    /// How often it opened since it was closed last.
    openings: u32,
}

impl Model {
    pub fn new(settings: BreakerSettings) -> Self {
        let calls = Vec::new();
        let ended = Vec::new();
        Self {
            settings,
            stay: 0,
            calls,
            ended,
            open: None,
            half_open: false,
            openings: 0,
        }
    }

    pub fn left(&self, now: Duration) -> Duration {
        self.open.map_or(Duration::ZERO, |(since, length)| {
            (since + length).saturating_sub(now)
        })
    }

    pub fn state(&self, now: Duration) -> BreakerState {
        match self.open {
            Some(_) if !self.left(now).is_zero() => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
            None if self.half_open => BreakerState::HalfOpen,
            None => BreakerState::Closed,
        }
    }

    /// Calls of this stay whose end, where there is one, is of these.
    fn of_this_stay(&self, wanted: impl Fn(Option<CallOutcome>) -> bool) -> u32 {
        let ends = self.calls.iter().filter(|(stay, _)| *stay == self.stay);
        ends.filter(|(_, end)| wanted(end.map(|(outcome, _)| outcome)))
            .count() as u32
    }

    pub fn acquire(&mut self, now: Duration) -> Result<usize, Duration> {
        if self.state(now) == BreakerState::Open {
            return Err(self.left(now));
        }
        if self.open.take().is_some() {
            self.half_open = true;
            self.next_stay();
        }
        if self.half_open
            && self.of_this_stay(|end| matches!(end, None | Some(CallOutcome::Ok)))
                >= self.settings.probes
        {
            return Err(Duration::ZERO);
        }
        self.calls.push((self.stay, None));
        Ok(self.calls.len() - 1)
    }

    /// An opening is over at once; nothing else is as if it had not been.
    pub fn hint(&mut self, now: Duration) {
        if self.state(now) == BreakerState::Open {
            self.open = Some((now, Duration::ZERO));
        }
    }

    pub fn done(&mut self, call: usize, outcome: CallOutcome, now: Duration) {
        self.calls[call].1 = Some((outcome, now));
        if self.calls[call].0 != self.stay {
            return;
        }
        self.ended.push(call);
        let opens = match self.half_open {
            true => outcome == CallOutcome::Failed,
            false => outcome != CallOutcome::Ignored && self.has_enough(now),
        };
        if opens {
            let doubled = self.settings.open_for * 2_u32.pow(self.openings.min(16));
            self.open = Some((now, doubled.min(self.settings.open_at_most)));
            self.openings += 1;
            self.half_open = false;
            self.next_stay();
        } else if self.half_open
            && self.of_this_stay(|end| end == Some(CallOutcome::Ok)) == self.settings.probes
        {
            (self.half_open, self.openings) = (false, 0);
            self.next_stay();
        }
    }

    /// Whether what ended in this stay says that the other side is not well.
    fn has_enough(&self, now: Duration) -> bool {
        let ends: Vec<(bool, Duration)> = self
            .ended
            .iter()
            .filter_map(|call| self.calls[*call].1)
            .filter(|(outcome, _)| *outcome != CallOutcome::Ignored)
            .map(|(outcome, at)| (outcome == CallOutcome::Failed, at))
            .collect();
        let in_a_row = ends.iter().rev().take_while(|(failed, _)| *failed).count();
        // Counted by whole seconds.
        let counts = |at: Duration| now.as_secs() - at.as_secs() < self.settings.window.as_secs();
        let recent: Vec<bool> = ends
            .iter()
            .filter(|(_, at)| counts(*at))
            .map(|(failed, _)| *failed)
            .collect();
        let failed = recent.iter().filter(|failed| **failed).count();
        let share = failed as f64 / recent.len() as f64;
        in_a_row >= self.settings.in_a_row as usize
            || (recent.len() >= self.settings.min_samples as usize
                && share >= f64::from(self.settings.failures_percent) / 100.0)
    }

    fn next_stay(&mut self) {
        self.stay += 1;
        self.ended.clear();
    }
}

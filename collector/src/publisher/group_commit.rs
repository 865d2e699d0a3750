//! When messages go to the stream in groups: a pure decision, with the time passed in.
//!
//! A group costs the server four fsyncs, a single message one; but each message of a group is written twice. So groups
//! pay where an fsync is slow, and cost where it is quick. Both ways are measured as what they cost: time a message,
//! while messages are on their way. The cheaper one is used. What the other one would cost is tried again from time to
//! time: singles by a few waiting messages, groups by a window of messages. Each trial that changes nothing doubles the
//! time until the next one.
//!
//! In group mode there are rounds, one at a time: what arrives during a round waits and is the next one. A message that
//! arrives while no round is on its way is a round of its own and goes at once, so that a lone client never waits.
//!
//! Those whose group is committed are likely to send again at once. Without them the next group would be half as large:
//! half of all clients would always wait for the other half. So the next round lingers for them, as long as they keep
//! coming, for a part of the time that a group takes.

use std::time::Duration;

use bus::atomic_group::{MIN_MESSAGES, UNSUPPORTED};
use tokio::time::Instant;

/// The most messages in a group.
pub const MAX_GROUP: usize = 256;
/// Single PubAcks that come as quickly, one after another, cannot be bettered by groups.
const QUICK: Duration = Duration::from_micros(150);
/// Messages that a measurement covers.
const WINDOW: u32 = 64;
/// Waiting messages that are published singly to measure what singles cost.
const PROBE: usize = 8;
/// Groups are tried if as many messages are on their way on average.
const COMPANY: f64 = 6.0;
/// Groups are given up if fewer messages go together on average.
const LONELY: f64 = 3.0;
/// Groups must cost less than this part of what singles cost.
const WORTH: f64 = 0.85;
/// Singles that have no PubAck for so long, while [`PROBE`] or more are on their way, are not quick any more.
const STALL: Duration = Duration::from_millis(20);
/// The next round lingers until nothing has come for this part of the last group's time, and at most four times as
/// long.
const LINGER: u32 = 8;
/// No timer is finer (tokio's documentation, `time::sleep`): a quicker group is not lingered after.
const FINEST_TIMER: Duration = Duration::from_millis(1);
/// From a measurement to the next trial of the other way, at first and at most.
const FIRST_TRIAL: Duration = Duration::from_secs(2);
const LAST_TRIAL: Duration = Duration::from_secs(16);

/// How messages go to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each at once.
    Singles,
    /// In rounds.
    Groups,
}

/// A message that goes to the stream singly.
#[derive(Debug, Clone, Copy)]
#[must_use = "its end is to be told"]
pub struct Single {
    sent: Instant,
    /// It is of the round in flight.
    in_round: bool,
}

/// The waiting messages that go next.
#[derive(Debug, Clone, Copy)]
pub enum Round {
    /// The first `count` of them, each for itself.
    Singles { count: usize, single: Single },
    /// All that fit, as one group.
    Group,
}

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupEnd {
    Committed,
    /// The server answered and stored nothing.
    Refused,
    /// The stream takes no groups.
    Unsupported,
    /// No answer came in time.
    Unanswered,
}

/// Decides which messages go together.
#[derive(Debug)]
pub struct GroupCommit {
    mode: Mode,
    singles: Cost,
    groups: Cost,
    /// Of the present mode.
    meter: Meter,
    /// Groups are on trial: they must prove better than singles in the first measurement.
    trial: bool,
    /// Singles on their way that are of no round.
    in_flight: usize,
    /// When a single was last answered, or the first one was sent.
    progress: Instant,
    round: Option<RoundInFlight>,
    /// The next round lingers.
    linger: Option<Linger>,
    /// The last attempt was not answered: nothing waits for another one then.
    unanswered: bool,
    /// The stream takes no groups, until then.
    unsupported: Option<Instant>,
}

#[derive(Debug)]
struct RoundInFlight {
    began: Instant,
    messages: usize,
    /// Singles of it that have not ended.
    left: usize,
    probe: bool,
    /// Nothing else was on its way that would spoil the measurement.
    measured: bool,
}

/// From a group's commit to the next round.
#[derive(Debug)]
struct Linger {
    began: Instant,
    /// When a message last came, or it began.
    heard: Instant,
    /// It ends when nothing has come for so long.
    gap: Duration,
    /// Members of the group that was committed.
    members: usize,
    /// Messages that there are when all have sent again, once the waiting ones are counted.
    company: Option<usize>,
}

impl Linger {
    fn ends(&self) -> Instant {
        (self.heard + self.gap).min(self.began + 4 * self.gap)
    }
}

/// What a way of publishing costs, as last measured.
#[derive(Debug)]
struct Cost {
    a_message: Option<Duration>,
    /// The measurement holds until then.
    holds: Instant,
    /// How long measurements hold.
    pause: Duration,
}

impl Cost {
    fn unknown(now: Instant) -> Self {
        Self {
            a_message: None,
            holds: now,
            pause: FIRST_TRIAL,
        }
    }

    fn measured(&mut self, now: Instant, cost: Duration) {
        self.a_message = Some(cost);
        self.holds = now + self.pause;
    }

    /// `None` if it is to be measured anew.
    fn known(&self, now: Instant) -> Option<Duration> {
        self.a_message.filter(|_| now < self.holds)
    }

    /// A trial changed nothing: the next one comes later.
    fn try_later(&mut self, now: Instant) {
        self.pause = (self.pause * 2).min(LAST_TRIAL);
        self.holds = now + self.pause;
    }
}

/// Adds up what was sent and how long that took.
#[derive(Debug, Default)]
struct Meter {
    messages: u32,
    rounds: u32,
    /// While anything was on its way.
    busy: Duration,
    /// Of all messages, from being sent to being answered.
    waited: Duration,
    /// Something is on its way since then.
    since: Option<Instant>,
}

impl Meter {
    fn busy_until(&self, now: Instant) -> Duration {
        self.busy + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

impl GroupCommit {
    /// Nothing is known yet, so the first company measures what singles cost.
    pub fn new(now: Instant) -> Self {
        Self {
            mode: Mode::Groups,
            singles: Cost::unknown(now),
            groups: Cost::unknown(now),
            meter: Meter::default(),
            trial: false,
            in_flight: 0,
            progress: now,
            round: None,
            linger: None,
            unanswered: false,
            unsupported: None,
        }
    }

    /// A message arrives: it goes at once, or waits for [`GroupCommit::next_round`] if this is `None`.
    pub fn arrives(&mut self, now: Instant) -> Option<Single> {
        if self.mode == Mode::Singles && self.is_stalled(now) {
            self.singles.a_message = Some(now - self.progress);
            // It may have been a hiccup: the next company tells.
            self.singles.holds = now;
            self.turn(Mode::Groups, now);
        }
        if !self.may_group(now) {
            return Some(self.goes_alone(now));
        }
        if let Some(linger) = &mut self.linger {
            linger.heard = now;
            return None;
        }
        self.round.is_none().then(|| self.begin(now, 1, false))
    }

    /// When the next round has lingered for long enough, unless more messages come; `None` if it does not linger.
    pub fn lingers_until(&self) -> Option<Instant> {
        self.linger.as_ref().map(Linger::ends)
    }

    /// Whether the next round is still to linger. The first call after a group tells how many wait besides its members.
    fn lingers(&mut self, now: Instant, waiting: usize, fitting: usize) -> bool {
        let may_group = self.may_group(now);
        let Some(linger) = &mut self.linger else {
            return false;
        };
        linger.company.get_or_insert(waiting + linger.members);
        let is_early = now < linger.ends();
        may_group && is_early && fitting == waiting && !self.is_complete(waiting)
    }

    /// Whether as many wait as there can be, so that the next round need not linger any more.
    pub fn is_complete(&self, waiting: usize) -> bool {
        let company = self.linger.as_ref().and_then(|linger| linger.company);
        company.is_some_and(|company| waiting >= company.min(MAX_GROUP))
    }

    /// A message goes singly, whatever the mode: it may be a duplicate, or it has waited for too long.
    pub fn goes_alone(&mut self, now: Instant) -> Single {
        if self.in_flight == 0 {
            self.progress = now;
            self.meter.since = (self.mode == Mode::Singles).then_some(now);
        }
        self.in_flight += 1;
        Single {
            sent: now,
            in_round: false,
        }
    }

    /// What of the waiting messages goes now; `fitting` of them fit into a group.
    pub fn next_round(&mut self, now: Instant, waiting: usize, fitting: usize) -> Option<Round> {
        if self.lingers(now, waiting, fitting) {
            return None;
        }
        let lingered = self
            .linger
            .take()
            .map_or(Duration::ZERO, |linger| now - linger.began);
        if waiting == 0 {
            return None;
        }
        if !self.may_group(now) {
            let single = self.goes_alone(now);
            self.in_flight += waiting - 1;
            return Some(Round::Singles {
                count: waiting,
                single,
            });
        }
        if self.round.is_some() {
            return None;
        }
        // Beside singles that are of no round it could not be measured, and would be tried for ever.
        let probe = waiting >= PROBE && self.in_flight == 0 && self.singles.known(now).is_none();
        let count = match probe {
            true => PROBE,
            false if fitting < MIN_MESSAGES => waiting.min(MIN_MESSAGES - 1),
            false => {
                let _ = self.begin(now, fitting, false);
                self.meter.busy += lingered;
                return Some(Round::Group);
            }
        };
        let single = self.begin(now, count, probe);
        Some(Round::Singles { count, single })
    }

    /// The first attempt of a single has ended: the server answered it, whatever, or did not.
    pub fn single_ended(&mut self, single: Single, now: Instant, answered: bool) {
        self.unanswered = !answered;
        if !single.in_round {
            self.in_flight = self.in_flight.saturating_sub(1);
            return self.free_single_ended(single, now, answered);
        }
        let Some(round) = &mut self.round else { return };
        round.left = round.left.saturating_sub(1);
        round.measured &= answered;
        if round.left == 0 {
            self.round_ended(now);
        }
    }

    /// The group in flight has ended.
    pub fn group_ended(&mut self, now: Instant, end: GroupEnd) {
        self.unanswered = end == GroupEnd::Unanswered;
        if let Some(round) = &mut self.round {
            round.measured &= end == GroupEnd::Committed;
        }
        match end {
            GroupEnd::Committed => self.linger = self.linger_after_round(now),
            GroupEnd::Unanswered => {}
            // Duplicates are answered without an fsync: singles may be quick now.
            GroupEnd::Refused => self.singles.holds = now,
            GroupEnd::Unsupported => {
                self.unsupported = Some(now + UNSUPPORTED);
                self.turn(Mode::Singles, now);
            }
        }
        self.round_ended(now);
    }

    fn linger_after_round(&self, now: Instant) -> Option<Linger> {
        let round = self.round.as_ref()?;
        let gap = (now - round.began) / LINGER;
        (gap >= FINEST_TIMER).then_some(Linger {
            began: now,
            heard: now,
            gap,
            members: round.messages,
            company: None,
        })
    }

    /// How long the round in flight has been on its way; zero if there is none.
    pub fn round_age(&self, now: Instant) -> Duration {
        self.round
            .as_ref()
            .map_or(Duration::ZERO, |round| now - round.began)
    }

    fn may_group(&mut self, now: Instant) -> bool {
        if self.unsupported.is_some_and(|until| until <= now) {
            self.unsupported = None;
        }
        self.mode == Mode::Groups && !self.unanswered && self.unsupported.is_none()
    }

    /// More than a few singles are on their way, and none is answered.
    fn is_stalled(&self, now: Instant) -> bool {
        self.in_flight >= PROBE && now - self.progress >= STALL && self.unsupported.is_none()
    }

    fn begin(&mut self, now: Instant, messages: usize, probe: bool) -> Single {
        self.round = Some(RoundInFlight {
            began: now,
            messages,
            left: messages,
            probe,
            measured: self.in_flight == 0,
        });
        Single {
            sent: now,
            in_round: true,
        }
    }

    fn turn(&mut self, mode: Mode, now: Instant) {
        self.mode = mode;
        self.trial = false;
        self.progress = now;
        self.meter = Meter {
            since: (mode == Mode::Singles && self.in_flight > 0).then_some(now),
            ..Meter::default()
        };
    }

    fn free_single_ended(&mut self, single: Single, now: Instant, answered: bool) {
        if self.mode == Mode::Groups {
            return;
        }
        if !answered {
            return self.turn(Mode::Singles, now);
        }
        self.progress = now;
        self.meter.messages += 1;
        self.meter.waited += now - single.sent;
        let busy = self.meter.busy_until(now);
        if self.meter.messages >= WINDOW {
            let cost = busy / self.meter.messages;
            let company = self.meter.waited.as_secs_f64() / busy.as_secs_f64().max(f64::EPSILON);
            self.meter = Meter::default();
            self.singles_measured(now, cost, company);
        } else {
            self.meter.busy = busy;
        }
        if self.mode == Mode::Singles {
            self.meter.since = (self.in_flight > 0).then_some(now);
        }
    }

    fn round_ended(&mut self, now: Instant) {
        let Some(round) = self.round.take() else {
            return;
        };
        // A message of the mode before may have ended last.
        if !round.measured || self.mode == Mode::Singles {
            return;
        }
        let took = now - round.began;
        if round.probe {
            return self.probed(now, took / round.messages as u32);
        }
        self.meter.messages += round.messages as u32;
        self.meter.rounds += 1;
        self.meter.busy += took;
        if self.meter.messages >= WINDOW && self.meter.rounds > 1 {
            let meter = std::mem::take(&mut self.meter);
            let company = f64::from(meter.messages) / f64::from(meter.rounds);
            self.groups_measured(now, meter.busy / meter.messages, company);
        }
    }

    /// Singles cost so much, with so many on their way on average.
    fn singles_measured(&mut self, now: Instant, cost: Duration, company: f64) {
        self.singles.measured(now, cost);
        let groups = self.groups.known(now);
        let worth = groups.is_none_or(|groups| groups < cost.mul_f64(WORTH));
        if cost <= QUICK || company < COMPANY || !worth {
            self.singles.pause = FIRST_TRIAL;
            return;
        }
        self.singles.try_later(now);
        self.turn(Mode::Groups, now);
        self.trial = true;
    }

    /// Groups cost so much, with so many messages in a round on average.
    fn groups_measured(&mut self, now: Instant, cost: Duration, company: f64) {
        if company < LONELY {
            return self.turn(Mode::Singles, now);
        }
        self.groups.measured(now, cost);
        if !std::mem::take(&mut self.trial) {
            return;
        }
        let singles = self.singles.a_message;
        if singles.is_some_and(|singles| cost > singles.mul_f64(WORTH)) {
            self.groups.try_later(now);
            self.turn(Mode::Singles, now);
        } else {
            self.groups.pause = FIRST_TRIAL;
        }
    }

    /// A few waiting messages went singly and cost so much.
    fn probed(&mut self, now: Instant, cost: Duration) {
        self.singles.measured(now, cost);
        let groups = self.groups.a_message;
        if cost <= QUICK || groups.is_some_and(|groups| cost < groups) {
            self.turn(Mode::Singles, now);
        } else {
            self.singles.try_later(now);
        }
    }
}

#[cfg(test)]
mod tests;

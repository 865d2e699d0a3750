//! The decision against an injected server: clients in a closed loop, a collector with a CPU, a server with a disk.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

/// What a server and a collector take their time for. Times are those of 20 kB messages (`docs/decisions/0009`).
#[derive(Debug, Clone, Copy)]
struct Machine {
    fsync: Duration,
    /// The collector's CPU time a request.
    request: Duration,
    /// From a reply to the client's next batch.
    thinks: Duration,
}

const SINGLE: Duration = Duration::from_micros(40);
/// A message of a group is written twice.
const MEMBER: Duration = Duration::from_micros(70);
/// Until a PubAck has come back.
const WAY_BACK: Duration = Duration::from_micros(100);

const MEMORY: Machine = machine(2, 100);
const FAST_DISK: Machine = machine(200, 100);
const SLOW_DISK: Machine = machine(5000, 100);

const fn machine(fsync: u64, request: u64) -> Machine {
    Machine {
        fsync: Duration::from_micros(fsync),
        request: Duration::from_micros(request),
        thinks: Duration::ZERO,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    /// The PubAck of a single comes.
    Acked {
        sent: Instant,
        in_round: bool,
    },
    /// The PubAck of a group of so many comes.
    Committed(usize),
    /// The next round may have lingered for long enough.
    Lingered,
}

/// A collector with clients that send one batch after another, and its server.
struct Simulation {
    machine: Machine,
    /// Everything goes singly, for comparison.
    always_singly: bool,
    commit: GroupCommit,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    number: u64,
    /// When each waiting message came.
    waiting: VecDeque<Instant>,
    server_free: Instant,
    cpu_free: Instant,
    acked: usize,
    grouped: usize,
    longest_wait: Duration,
}

impl Simulation {
    fn new(machine: Machine, clients: usize) -> Self {
        let now = Instant::now();
        let mut simulation = Self {
            machine,
            always_singly: false,
            commit: GroupCommit::new(now),
            now,
            events: BinaryHeap::new(),
            number: 0,
            waiting: VecDeque::new(),
            server_free: now,
            cpu_free: now,
            acked: 0,
            grouped: 0,
            longest_wait: Duration::ZERO,
        };
        (0..clients).for_each(|_| simulation.request());
        simulation
    }

    fn singly(machine: Machine, clients: usize) -> Self {
        Self {
            always_singly: true,
            ..Self::new(machine, clients)
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at, self.number, event)));
    }

    /// A client sends its next batch.
    fn request(&mut self) {
        let sent = self.now + self.machine.thinks;
        self.cpu_free = self.cpu_free.max(sent) + self.machine.request;
        self.at(self.cpu_free, Event::Arrives);
    }

    /// The server takes so long for what comes now, after what came before.
    fn serve(&mut self, takes: Duration) -> Instant {
        self.server_free = self.server_free.max(self.now) + takes;
        self.server_free + WAY_BACK
    }

    fn send(&mut self, single: Single) {
        let Single { sent, in_round } = single;
        let acked = self.serve(self.machine.fsync + SINGLE);
        self.at(acked, Event::Acked { sent, in_round });
    }

    fn take(&mut self, count: usize) {
        for came in self.waiting.drain(..count) {
            self.longest_wait = self.longest_wait.max(self.now - came);
        }
    }

    fn go_on(&mut self) {
        let waiting = self.waiting.len();
        let fitting = waiting.min(MAX_GROUP);
        match self.commit.next_round(self.now, waiting, fitting) {
            None => {
                if let Some(until) = self.commit.lingers_until() {
                    self.at(until.max(self.now), Event::Lingered);
                }
            }
            Some(Round::Singles { count, single }) => {
                self.take(count);
                (0..count).for_each(|_| self.send(single));
            }
            Some(Round::Group) => {
                self.take(fitting);
                self.grouped += fitting;
                let committed = self.serve(4 * self.machine.fsync + MEMBER * fitting as u32);
                self.at(committed, Event::Committed(fitting));
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrives if self.always_singly => {
                let single = self.commit.goes_alone(self.now);
                self.send(single);
            }
            Event::Arrives => match self.commit.arrives(self.now) {
                Some(single) => self.send(single),
                None => {
                    self.waiting.push_back(self.now);
                    if self.commit.is_complete(self.waiting.len()) {
                        self.go_on();
                    }
                }
            },
            Event::Lingered => self.go_on(),
            Event::Acked { sent, in_round } => {
                let single = Single { sent, in_round };
                self.commit.single_ended(single, self.now, true);
                self.acked += 1;
                self.request();
                self.go_on();
            }
            Event::Committed(members) => {
                self.commit.group_ended(self.now, GroupEnd::Committed);
                self.acked += members;
                (0..members).for_each(|_| self.request());
                self.go_on();
            }
        }
    }

    /// Messages a second in the time that follows.
    fn run(&mut self, length: Duration) -> f64 {
        let end = self.now + length;
        let before = self.acked;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                self.at(at, event);
                break;
            }
            self.now = at;
            self.step(event);
        }
        self.now = end;
        (self.acked - before) as f64 / length.as_secs_f64()
    }
}

const SECONDS: Duration = Duration::from_secs(5);

/// How much faster than single publishes, from the first message on.
fn gain(machine: Machine, clients: usize) -> f64 {
    Simulation::new(machine, clients).run(SECONDS)
        / Simulation::singly(machine, clients).run(SECONDS)
}

#[test]
fn a_slow_server_gets_groups_and_is_not_stuck_at_single_speed() {
    assert!(gain(SLOW_DISK, 64) > 9.0, "{}", gain(SLOW_DISK, 64));
    assert!(gain(SLOW_DISK, 256) > 16.0, "{}", gain(SLOW_DISK, 256));
}

#[test]
fn a_quick_server_gets_singles_and_loses_nothing() {
    for clients in [1, 8, 64, 256] {
        assert!(
            gain(MEMORY, clients) > 0.99,
            "{clients}: {}",
            gain(MEMORY, clients)
        );
        let mut simulation = Simulation::new(MEMORY, clients);
        simulation.run(SECONDS);
        assert!(simulation.grouped * 100 < simulation.acked, "{clients}");
    }
}

#[test]
fn a_disk_in_between_gets_what_is_faster() {
    assert!(gain(FAST_DISK, 64) > 1.2, "{}", gain(FAST_DISK, 64));
    assert!(gain(FAST_DISK, 256) > 1.2, "{}", gain(FAST_DISK, 256));
}

#[test]
fn it_comes_back_from_groups_when_the_server_is_quick_again() {
    let mut simulation = Simulation::new(MEMORY, 64);
    let quick = simulation.run(SECONDS);
    for _ in 0..2 {
        simulation.machine = SLOW_DISK;
        let slow = simulation.run(SECONDS);
        assert!(slow > 900.0, "{slow} a second on the slow disk");
        simulation.machine = MEMORY;
        // The longest time between two trials of singles.
        simulation.run(LAST_TRIAL + FIRST_TRIAL);
        let again = simulation.run(SECONDS);
        assert!(again > 0.97 * quick, "{again} of {quick} a second");
    }
}

#[test]
fn a_server_that_becomes_slow_is_noticed_within_a_window() {
    let mut simulation = Simulation::new(MEMORY, 64);
    simulation.run(SECONDS);
    simulation.machine = SLOW_DISK;
    // What was on its way as singles ends first: 64 fsyncs.
    simulation.run(Duration::from_millis(500));
    let slow = simulation.run(SECONDS);
    assert!(slow > 900.0, "{slow} a second");
}

#[test]
fn from_the_first_message_on_nobody_waits_for_many_fsyncs() {
    let mut simulation = Simulation::new(SLOW_DISK, 64);
    simulation.run(SECONDS);
    // The lone first message, a probe of eight, and a group in flight.
    assert!(
        simulation.longest_wait < 16 * SLOW_DISK.fsync,
        "{:?}",
        simulation.longest_wait
    );
}

#[test]
fn a_lone_client_never_waits() {
    for machine in [MEMORY, FAST_DISK, SLOW_DISK] {
        let mut simulation = Simulation::new(machine, 1);
        simulation.run(SECONDS);
        assert_eq!(simulation.longest_wait, Duration::ZERO);
        assert_eq!(simulation.grouped, 0);
    }
}

#[test]
fn nothing_waits_behind_an_attempt_that_was_not_answered() {
    let now = Instant::now();
    let mut commit = GroupCommit::new(now);
    let first = commit.arrives(now).expect("it goes at once");
    assert!(
        commit.arrives(now).is_none(),
        "it waits for the round in flight"
    );
    commit.single_ended(first, now, false);
    let next = commit.next_round(now, 7, 7);
    assert!(matches!(next, Some(Round::Singles { count: 7, single }) if !single.in_round));
    let single = commit.arrives(now).expect("nothing waits during an outage");
    commit.single_ended(single, now, true);
    let _ = commit.arrives(now).expect("nothing is on its way");
    assert!(commit.arrives(now).is_none(), "groups again");
}

#[test]
fn an_unanswered_group_frees_all_that_wait() {
    let now = Instant::now();
    let mut commit = GroupCommit::new(now);
    commit.singles.measured(now, SLOW_DISK.fsync);
    assert!(matches!(commit.next_round(now, 9, 9), Some(Round::Group)));
    assert!(
        commit.next_round(now, 9, 9).is_none(),
        "one group in flight"
    );
    commit.group_ended(now, GroupEnd::Unanswered);
    assert!(matches!(
        commit.next_round(now, 9, 9),
        Some(Round::Singles { count: 9, .. })
    ));
}

/// Beside a single of no round, such as a resend, a probe could not be measured, and would be followed by another.
#[test]
fn beside_resends_groups_are_not_given_up_for_probes() {
    let now = Instant::now();
    let mut commit = GroupCommit::new(now);
    let resend = commit.goes_alone(now);
    assert!(matches!(commit.next_round(now, 20, 20), Some(Round::Group)));
    commit.group_ended(now, GroupEnd::Committed);
    assert!(matches!(commit.next_round(now, 20, 20), Some(Round::Group)));
    commit.group_ended(now, GroupEnd::Committed);
    commit.single_ended(resend, now, true);
    assert!(matches!(
        commit.next_round(now, 20, 20),
        Some(Round::Singles { count: PROBE, .. })
    ));
}

#[test]
fn a_stream_without_groups_gets_singles_and_is_asked_again_later() {
    let mut now = Instant::now();
    let mut commit = GroupCommit::new(now);
    commit.singles.measured(now, SLOW_DISK.fsync);
    assert!(matches!(commit.next_round(now, 9, 9), Some(Round::Group)));
    commit.group_ended(now, GroupEnd::Unsupported);
    let mut last_group = false;
    for _ in 0..20 {
        for _ in 0..WINDOW {
            let single = commit.arrives(now).expect("nothing waits");
            now += Duration::from_millis(5);
            commit.single_ended(single, now, true);
        }
        last_group = commit.mode == Mode::Groups;
    }
    assert!(!last_group);
    now += UNSUPPORTED;
    commit.turn(Mode::Groups, now);
    commit.singles.measured(now, SLOW_DISK.fsync);
    assert!(matches!(commit.next_round(now, 9, 9), Some(Round::Group)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the disk, the CPU and the number of clients are: not slower than singles, nobody forgotten.
    #[test]
    fn it_is_never_much_slower_than_singles(
        fsync in 1_u64..8000, request in 50_u64..400, clients in 1_usize..300, thinks in 0_u64..100_000,
    ) {
        let thinking = Machine { thinks: Duration::from_micros(thinks), ..machine(fsync, request) };
        let gain_of_thinking = gain(thinking, clients);
        prop_assert!(gain_of_thinking > 0.95, "{gain_of_thinking} with pauses");
        let machine = machine(fsync, request);
        let gain = gain(machine, clients);
        prop_assert!(gain > 0.95, "{gain}");
        let mut simulation = Simulation::new(machine, clients);
        simulation.run(SECONDS);
        prop_assert!(simulation.longest_wait < 16 * machine.fsync + Duration::from_millis(60));
    }

    /// The disk changes again and again: it follows, and loses no client on the way.
    #[test]
    fn it_follows_a_disk_that_changes(
        disks in prop::collection::vec((1_u64..8000, 1_u64..6), 1..6), clients in 2_usize..200,
    ) {
        let mut simulation = Simulation::new(MEMORY, clients);
        for (fsync, seconds) in disks {
            simulation.machine = machine(fsync, 100);
            prop_assert!(simulation.run(Duration::from_secs(seconds)) > 0.0);
        }
        let in_events = simulation.events.iter().map(|Reverse((_, _, event))| match event {
            Event::Committed(members) => *members,
            Event::Arrives | Event::Acked { .. } => 1,
            Event::Lingered => 0,
        });
        prop_assert_eq!(in_events.sum::<usize>() + simulation.waiting.len(), clients);
    }
}

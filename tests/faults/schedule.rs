//! Which faults, and when: a pure schedule. The same seed, span and store give the same one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use harness::Engine;

#[cfg(test)]
mod tests;

/// A way between two processes, with a proxy of the harness in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Clients to the collector of this number.
    Clients(usize),
    /// Both collectors to nats-server.
    Collectors,
    /// All workers to nats-server.
    Workers,
    /// All workers to Postgres.
    Store,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessFault {
    /// SIGKILL; started again afterwards.
    Kill,
    /// SIGSTOP; SIGCONT afterwards.
    Pause,
    /// SIGTERM; started again afterwards.
    Stop,
}

/// What happens to the connections of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionFault {
    /// All are reset, once.
    Cut,
    /// New ones are closed at once, old ones are reset.
    Refuse,
    /// Each piece arrives later.
    Delay,
    /// Nothing arrives; it does afterwards.
    Stall,
    /// The server's side learns that nothing more comes; its own bytes still do.
    HalfClose,
}

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// The one that the streams are on.
    Streams,
    /// The one that SQLite's file is on.
    Store,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// To a process, by its name.
    Process(ProcessFault, &'static str),
    /// To the Postgres server; `Kill` takes its children as well.
    Postgres(ProcessFault),
    /// To the connections of a link.
    Connections(ConnectionFault, Link),
    /// The stream JOBS has no room.
    FullJobs,
    /// EVENTS forgets message ids at once.
    LostMessageIds,
    /// A disk has no room. Once it has again, nats-server is restarted, as `devtrail up` would.
    FullDisk(Volume),
}

/// A fault with its place in time, counted from the start of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledFault {
    /// When it begins.
    pub at: Duration,
    /// What goes wrong.
    pub fault: Fault,
    /// How long; zero if it is over at once.
    pub lasts: Duration,
}

/// The processes on SQLite, where one worker process has every role.
const ON_SQLITE: [&str; 4] = ["nats", "collector-0", "collector-1", "all"];
/// The processes on Postgres: two that store, as they compete for rows and messages.
const ON_POSTGRES: [&str; 8] = [
    "nats",
    "collector-0",
    "collector-1",
    "persist-0",
    "persist-1",
    "aggregate-0",
    "normalize-0",
    "alert-0",
];

/// The kinds of faults: each is dealt once before any comes again, so a short run has most of them.
const KINDS: [&str; 12] = [
    "kill",
    "pause",
    "stop",
    "cut",
    "refuse",
    "delay",
    "stall",
    "half-close",
    "full jobs",
    "lost ids",
    "full disk",
    "postgres",
];

impl Fault {
    /// What is counted in the figures.
    pub fn kind(self) -> String {
        match self {
            Self::Process(blow, name) => {
                format!("{} {}", blow.name(), name.split('-').next().unwrap_or(name))
            }
            Self::Postgres(blow) => format!("{} postgres", blow.name()),
            Self::Connections(fault, link) => format!("{fault} {link}"),
            Self::FullJobs => "JOBS full".to_owned(),
            Self::LostMessageIds => "message ids lost".to_owned(),
            Self::FullDisk(Volume::Streams) => "disk full under nats".to_owned(),
            Self::FullDisk(Volume::Store) => "disk full under SQLite".to_owned(),
        }
    }

    /// What has only one fault at a time.
    fn thing(self) -> String {
        match self {
            Self::Process(_, name) => name.to_owned(),
            Self::Postgres(_) => "postgres".to_owned(),
            Self::Connections(_, link) => format!("{link:?}"),
            Self::FullJobs => "JOBS".to_owned(),
            Self::LostMessageIds => "EVENTS".to_owned(),
            // It ends with a restart of the server.
            Self::FullDisk(Volume::Streams) => "nats".to_owned(),
            Self::FullDisk(Volume::Store) => "disk of the store".to_owned(),
        }
    }
}

impl ProcessFault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Pause => "SIGSTOP",
            Self::Stop => "SIGTERM",
        }
    }

    fn any(rng: &mut Rng) -> Self {
        [Self::Kill, Self::Pause, Self::Stop][rng.usize(..3)]
    }
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Refuse => "refused",
            Self::Delay => "delayed",
            Self::Stall => "stalled",
            Self::HalfClose => "half-closed",
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients(_) => "clients–collector",
            Self::Collectors => "collector–NATS",
            Self::Workers => "worker–NATS",
            Self::Store => "worker–Postgres",
        })
    }
}

impl fmt::Display for ScheduledFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        let lasts = self.lasts.as_secs_f64();
        write!(f, "{at:7.2} s  {} for {lasts:.2} s", self.fault.kind())?;
        match self.fault {
            Fault::Process(_, name) => write!(f, " ({name})"),
            Fault::Connections(_, Link::Clients(number)) => write!(f, " (collector-{number})"),
            _ => Ok(()),
        }
    }
}

/// The processes of a run on `engine`.
pub fn processes(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Sqlite => &ON_SQLITE,
        Engine::Postgres => &ON_POSTGRES,
    }
}

/// The schedule of a seed: faults that begin within `span`, in order of their time.
pub fn plan(seed: u64, span: Duration, engine: Engine) -> Vec<ScheduledFault> {
    let mut rng = Rng::with_seed(seed);
    let mut scheduled = Vec::new();
    let mut deck = Vec::new();
    let mut until: BTreeMap<String, Duration> = BTreeMap::new();
    let mut at = Duration::from_millis(rng.u64(300..1000));
    while at < span {
        if deck.is_empty() {
            deck = KINDS
                .into_iter()
                .filter(|kind| engine == Engine::Postgres || *kind != "postgres")
                .collect();
            rng.shuffle(&mut deck);
        }
        let kind = deck.pop().unwrap_or_default();
        let fault = of_kind(kind, engine, &mut rng);
        let lasts = lasts(fault, &mut rng);
        let free = until.entry(fault.thing()).or_default();
        if *free <= at {
            *free = at + lasts;
            scheduled.push(ScheduledFault { at, fault, lasts });
        }
        at += Duration::from_millis(rng.u64(300..1300));
    }
    scheduled
}

fn of_kind(kind: &str, engine: Engine, rng: &mut Rng) -> Fault {
    let process = |blow, rng: &mut Rng| {
        let names = processes(engine);
        Fault::Process(blow, names[rng.usize(..names.len())])
    };
    let link = |rng: &mut Rng| {
        let links = [
            Link::Clients(0),
            Link::Clients(1),
            Link::Collectors,
            Link::Workers,
            Link::Store,
        ];
        // The last one leads to Postgres.
        links[rng.usize(..if engine == Engine::Postgres { 5 } else { 4 })]
    };
    match kind {
        "kill" => process(ProcessFault::Kill, rng),
        "pause" => process(ProcessFault::Pause, rng),
        "stop" => process(ProcessFault::Stop, rng),
        "cut" => Fault::Connections(ConnectionFault::Cut, link(rng)),
        "refuse" => Fault::Connections(ConnectionFault::Refuse, link(rng)),
        "delay" => Fault::Connections(ConnectionFault::Delay, link(rng)),
        "stall" => Fault::Connections(ConnectionFault::Stall, link(rng)),
        "half-close" => Fault::Connections(ConnectionFault::HalfClose, link(rng)),
        "full jobs" => Fault::FullJobs,
        "full disk" if engine == Engine::Sqlite && rng.bool() => Fault::FullDisk(Volume::Store),
        "full disk" => Fault::FullDisk(Volume::Streams),
        "postgres" => Fault::Postgres(ProcessFault::any(rng)),
        _ => Fault::LostMessageIds,
    }
}

/// Short ones are met in mid-step, long ones outlast a client's patience.
fn lasts(fault: Fault, rng: &mut Rng) -> Duration {
    let millis = match fault {
        Fault::Connections(ConnectionFault::Cut | ConnectionFault::HalfClose, _) => 0..1,
        Fault::Process(ProcessFault::Pause, _) | Fault::Connections(ConnectionFault::Stall, _) => {
            200..6000
        }
        Fault::FullJobs | Fault::LostMessageIds | Fault::FullDisk(_) => 1000..6000,
        _ => 50..4000,
    };
    Duration::from_millis(rng.u64(millis))
}

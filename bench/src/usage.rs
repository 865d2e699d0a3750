//! What processes use, read from `/proc`: CPU, memory, bytes written.
//!
//! CPU time is what the kernel accounted to a process, so another program on the same cores does not change it,
//! as it changes every wall time. Its unit is 10 ms: measure over many events.

use std::collections::BTreeMap;
use std::ops::Sub;
use std::time::Duration;

use anyhow::Context as _;
use harness::{Database, Deployment, ROLES};

/// The unit of the times in `/proc/PID/stat`: `USER_HZ`, 100 on every Linux that Devtrail is built for.
const TICK: Duration = Duration::from_millis(10);
/// The name of the database's server among the processes.
pub const POSTGRES: &str = "postgres";

/// What was used up to one moment, or between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// In user and kernel mode together.
    pub cpu: Duration,
    /// Bytes that were to go to the disk; 0 for files in memory.
    pub written: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// A part of the deployment, measured as one.
#[derive(Debug, Clone, Copy)]
enum Part {
    Process(u32),
    /// A process and those that it started, ended ones included: Postgres has one a connection.
    Family(u32),
}

impl Part {
    fn usage(self) -> anyhow::Result<Usage> {
        match self {
            Self::Process(pid) => Ok(Usage {
                cpu: Stat::read(pid)?.own,
                written: written(pid)?,
            }),
            Self::Family(parent) => {
                let stat = Stat::read(parent)?;
                let mut sum = Usage {
                    cpu: stat.own + stat.waited_for,
                    written: written(parent)?,
                };
                for child in children(parent)? {
                    // A connection's process may end at any moment; then it is in its parent's figures.
                    let (Ok(stat), Ok(written)) = (Stat::read(child), written(child)) else {
                        continue;
                    };
                    sum.cpu += stat.own;
                    sum.written += written;
                }
                Ok(sum)
            }
        }
    }
}

/// What the processes of a deployment use from a moment on.
#[derive(Debug)]
pub struct Meter {
    parts: BTreeMap<String, Part>,
    before: BTreeMap<String, Usage>,
}

impl Meter {
    /// Begins with every process that runs in the deployment now, and its Postgres server as [`POSTGRES`].
    ///
    /// # Errors
    /// If a process cannot be read.
    pub async fn start(deployment: &Deployment) -> anyhow::Result<Self> {
        let mut parts: BTreeMap<String, Part> = deployment
            .names()
            .into_iter()
            .map(|name| (name.clone(), Part::Process(deployment.pid(&name))))
            .collect();
        if let Database::Postgres(_) = deployment.database {
            let server = postgres_pid(&deployment.database).await;
            parts.insert(POSTGRES.to_owned(), Part::Family(server));
        }
        let mut meter = Self {
            parts,
            before: BTreeMap::new(),
        };
        meter.before = meter.now()?;
        Ok(meter)
    }

    fn now(&self) -> anyhow::Result<BTreeMap<String, Usage>> {
        let usage = |(name, part): (&String, &Part)| Ok((name.clone(), part.usage()?));
        self.parts.iter().map(usage).collect()
    }

    /// What each process has used since the start.
    ///
    /// # Errors
    /// If a process is gone.
    pub fn read(&self) -> anyhow::Result<BTreeMap<String, Usage>> {
        let mut used = self.now()?;
        for (name, usage) in &mut used {
            *usage = *usage - self.before[name];
        }
        Ok(used)
    }
}

/// The largest memory that each worker of the deployment had resident, in MiB.
///
/// # Errors
/// If one is gone.
pub fn workers_memory(deployment: &Deployment) -> anyhow::Result<BTreeMap<String, f64>> {
    let workers = deployment.names().into_iter();
    workers
        .filter(|name| is_worker(name))
        .map(|name| {
            let peak = memory(deployment.pid(&name), "VmHWM")?;
            Ok((name, peak))
        })
        .collect()
}

/// Whether a process of this name is a worker.
#[must_use]
pub fn is_worker(name: &str) -> bool {
    let role = name.split('-').next().unwrap_or(name);
    role == "all" || ROLES.contains(&role)
}

/// CPU time of all workers, of what [`Meter::read`] gave.
#[must_use]
pub fn workers_cpu(used: &BTreeMap<String, Usage>) -> Duration {
    let workers = used.iter().filter(|(name, _)| is_worker(name));
    workers.map(|(_, usage)| usage.cpu).sum()
}

/// The pid of the server that has this database.
async fn postgres_pid(database: &Database) -> u32 {
    const PID: &str = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)";
    let pid = database.count(PID).await;
    u32::try_from(pid).expect("a pid")
}

/// Lines `VmHWM` (peak) and `VmRSS` (now) of `/proc/PID/status`, in MiB.
///
/// # Errors
/// If the process is gone.
pub fn memory(pid: u32, line: &str) -> anyhow::Result<f64> {
    let kib = field(pid, "status", line)?;
    let kib = kib.trim_end_matches(" kB");
    Ok(kib.parse::<f64>()? / 1024.0)
}

fn written(pid: u32) -> anyhow::Result<u64> {
    Ok(field(pid, "io", "write_bytes")?.parse()?)
}

/// The value of a line `name: value` of a file of a process.
fn field(pid: u32, file: &str, name: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find_map(|(key, value)| (key == name).then_some(value));
    let value = value.with_context(|| format!("{path} has no line {name}"))?;
    Ok(value.trim().to_owned())
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: Duration,
    /// Of children that have ended and were waited for.
    waited_for: Duration,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        Self::parse(&text).context(path)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // The second field is the program's name in parentheses, which may hold spaces and parentheses.
        let (_, rest) = text.rsplit_once(')').context("no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted as in proc(5), where the state that follows the name is the third.
        let number = |field: usize| -> anyhow::Result<u32> {
            let text = fields.get(field - 3).context("a field is missing")?;
            Ok(text.parse()?)
        };
        Ok(Self {
            parent: number(4)?,
            own: TICK * (number(14)? + number(15)?),
            waited_for: TICK * (number(16)? + number(17)?),
        })
    }
}

fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let pids = std::fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // What has ended meanwhile is nobody's child.
    let is_child = |pid: &u32| Stat::read(*pid).is_ok_and(|stat| stat.parent == parent);
    Ok(pids.filter(is_child).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 150 50 3 2 20 0 1 0 9 1 1";
        let stat = Stat::parse(line).expect("a line");
        let expected = Stat {
            parent: 7,
            own: Duration::from_secs(2),
            waited_for: Duration::from_millis(50),
        };
        assert_eq!(stat, expected);
        assert!(Stat::parse("42 (cut").is_err());
        assert!(Stat::parse("42 (cut) S 7").is_err());
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(memory(pid, "VmHWM").expect("a peak") >= 1.0);
        assert!(memory(pid, "VmNone").is_err());
        Part::Process(pid).usage().expect("usage");
    }
}

//! The nats-server beside `devtrail up`: started, restarted when it dies, stopped last.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::retry::RetryPolicy;
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use types::event_streams::EventStreams;

use super::disk_watch::DiskWatch;

/// The oldest version with everything Devtrail uses.
const OLDEST_VERSION: (u32, u32) = (2, 12);
/// The configuration that the promise of a PubAck depends on.
const CONFIG: &str = include_str!("../../../nats/server.conf");
/// The line of it that `up` adds another to.
const SYNCED: &str = "sync_interval: always";
/// Streams are bounded one by one (`room`); the server's own bound, what is free when it starts, would
/// refuse a later version's new stream beside a stream that has filled its room.
const ROOM: &str = "max_file_store: 1PB";
/// A server that has not reported its ports by then has not started.
const START: Duration = Duration::from_secs(20);
/// A stop may take this long before it is forced.
const STOP: Duration = Duration::from_secs(10);
/// How often files and processes of others are looked at.
const POLL: Duration = Duration::from_millis(10);

/// Finds a nats-server that is new enough.
///
/// # Errors
/// Returns an error if none is found, or only older ones.
pub async fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let candidates = match given {
        Some(path) => vec![path.to_owned()],
        None => vec![
            PathBuf::from(".tools/nats-server"),
            PathBuf::from("nats-server"),
        ],
    };
    let mut too_old = None;
    for candidate in candidates {
        // A bare name is looked up on PATH; a path that is not there is no candidate.
        let Ok(output) = Command::new(&candidate).arg("--version").output().await else {
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.lines().next().unwrap_or_default().trim().to_owned();
        match version(&text) {
            Some(version) if version >= OLDEST_VERSION => return Ok(candidate),
            _ => too_old = Some(format!("{} says {text:?}", candidate.display())),
        }
    }
    let (major, minor) = OLDEST_VERSION;
    let found = too_old.or_else(|| given.map(|path| format!("{} cannot be run", path.display())));
    bail!(
        "No nats-server {major}.{minor} or newer was found{}. `make run` gets one into .tools/; or install it from \
         https://nats.io/download and put it on PATH, or name it with --nats-server PATH.",
        found.map(|found| format!(" ({found})")).unwrap_or_default()
    )
}

/// Reads `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The URLs of the server.
#[derive(Debug, Clone)]
pub struct Ports {
    /// For clients.
    pub nats: String,
    /// The monitor.
    pub monitor: String,
}

/// A running nats-server.
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    ports: Ports,
    /// Those that its configuration maps batches to.
    streams: EventStreams,
}

/// Stops a nats-server that a killed `up` left behind on this folder.
///
/// # Errors
/// Returns an error if it does not end.
pub async fn stop_leftover(folder: &Path) -> anyhow::Result<()> {
    let path = pid_file(folder);
    let Some(pid) = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
    else {
        return Ok(());
    };
    if !is_ours(pid, folder).await {
        return Ok(());
    }
    tracing::warn!(
        pid,
        "stopping the nats-server that an earlier `devtrail up` left behind"
    );
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // Gone already is what is wanted.
        let _ = kill(Pid::from_raw(pid), signal);
        let deadline = Instant::now() + STOP;
        let mut polls = tokio::time::interval(POLL);
        while Instant::now() < deadline {
            polls.tick().await;
            if !is_ours(pid, folder).await {
                return Ok(());
            }
        }
    }
    bail!(
        "The nats-server with pid {pid} of an earlier `devtrail up` cannot be stopped; stop it and start again."
    )
}

/// Whether the process is a nats-server on this folder: a pid alone may be anybody's by now.
async fn is_ours(pid: i32, folder: &Path) -> bool {
    let command = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', " "),
        // Systems without /proc.
        Err(_) => match Command::new("ps")
            .args(["-o", "command=", "-p", &pid.to_string()])
            .output()
            .await
        {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(_) => return false,
        },
    };
    command.contains("nats-server") && command.contains(&*config_file(folder).to_string_lossy())
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.pid")
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.conf")
}

impl Server {
    /// Starts the server on `folder` and waits until it tells its ports.
    ///
    /// # Errors
    /// Returns an error if it does not start, with the end of its log.
    pub async fn start(
        program: &Path,
        folder: &Path,
        port: u16,
        streams: EventStreams,
    ) -> anyhow::Result<Self> {
        write_config(folder, streams)?;
        let mut child = spawn(program, folder, port, 0)?;
        let ports = wait_for_ports(&mut child, folder).await?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            child,
            ports,
            streams,
        })
    }

    /// Has the server map batches to so many event streams; it is restarted on the same ports if it did not.
    ///
    /// # Errors
    /// Returns an error if it does not start again, with the end of its log.
    pub async fn map_to(&mut self, streams: EventStreams) -> anyhow::Result<()> {
        if self.streams == streams {
            return Ok(());
        }
        write_config(&self.folder, streams)?;
        self.streams = streams;
        self.halt().await?;
        self.child = self.spawn_again()?;
        self.ports = wait_for_ports(&mut self.child, &self.folder).await?;
        Ok(())
    }

    /// Starts the program again on the same ports.
    fn spawn_again(&self) -> anyhow::Result<Child> {
        let port = |url: &str| {
            url.rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .unwrap_or(0)
        };
        let Ports { nats, monitor } = &self.ports;
        spawn(&self.program, &self.folder, port(nats), port(monitor))
    }

    /// Its URLs; the same after a restart.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Restarts the server whenever it dies, and when its disk was full and has room again. Returns only
    /// on an error of the system.
    ///
    /// # Errors
    /// Returns an error if the program itself cannot be run any more.
    pub async fn keep_alive(&mut self) -> anyhow::Result<()> {
        let mut attempt = 0;
        loop {
            let lived = Instant::now();
            let mut disk = DiskWatch::new(&self.folder, log_file(&self.folder));
            let died = tokio::select! {
                status = self.child.wait() => Some(status?),
                () = disk.has_room_again() => None,
            };
            // A server that ran for long resets the backoff.
            attempt = if lived.elapsed() > Duration::from_secs(60) {
                0
            } else {
                attempt + 1
            };
            match died {
                Some(status) => {
                    tracing::error!(%status, attempt, "nats-server died; restarting it");
                }
                None => self.halt().await?,
            }
            RetryPolicy::DEFAULT.pause(attempt).await;
            self.child = self.spawn_again()?;
            if let Err(error) = wait_for_ports(&mut self.child, &self.folder).await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "nats-server did not come back yet"
                );
            }
        }
    }

    /// Stops the server; what it acknowledged is on its disk.
    ///
    /// # Errors
    /// Returns an error if it can be neither stopped nor waited for.
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.halt().await
    }

    async fn halt(&mut self) -> std::io::Result<()> {
        if let Some(pid) = self.child.id() {
            // It may have died this moment.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        if timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// Writes the server's configuration, with the mapping of several event streams.
fn write_config(folder: &Path, streams: EventStreams) -> anyhow::Result<()> {
    let config = config_file(folder);
    let synced = CONFIG.replace(SYNCED, &format!("{SYNCED}\n  {ROOM}"));
    let mapping = streams.server_mapping();
    std::fs::write(&config, format!("{synced}{mapping}"))
        .with_context(|| format!("{} cannot be written", config.display()))
}

/// Removes the ports files of killed servers: a pid is used again.
fn forget_ports(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "ports")
        {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn spawn(program: &Path, folder: &Path, port: u16, monitor: u16) -> anyhow::Result<Child> {
    forget_ports(folder).with_context(|| format!("{} cannot be cleaned", folder.display()))?;
    // nats-server's own sign for "any free port" is -1.
    let free = |port: u16| {
        if port == 0 {
            "-1".to_owned()
        } else {
            port.to_string()
        }
    };
    let log = log_file(folder);
    Command::new(program)
        .arg("-c")
        .arg(config_file(folder))
        .args(["-a", "127.0.0.1", "-p", &free(port), "-m", &free(monitor)])
        .arg("-sd")
        .arg(folder.join("nats"))
        .arg("-P")
        .arg(pid_file(folder))
        .arg("-l")
        .arg(&log)
        .arg("--ports_file_dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for `up`, which stops the server last.
        .process_group(0)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))
}

#[derive(Deserialize)]
struct PortsFile {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// Waits for `nats-server_PID.ports`, which the server writes when it listens.
async fn wait_for_ports(child: &mut Child, folder: &Path) -> anyhow::Result<Ports> {
    let pid = child.id().context("nats-server ended at once")?;
    let name = folder.join(format!("nats-server_{pid}.ports"));
    let mut polls = tokio::time::interval(POLL);
    let read = async {
        loop {
            polls.tick().await;
            if let Some(status) = child.try_wait()? {
                bail!(ended(&status.to_string(), &complaints(folder, pid)));
            }
            // Half-written files do not parse yet.
            let Ok(bytes) = std::fs::read(&name) else {
                continue;
            };
            let Ok(ports) = serde_json::from_slice::<PortsFile>(&bytes) else {
                continue;
            };
            if let (Some(nats), Some(monitor)) = (ports.nats.first(), ports.monitoring.first()) {
                return Ok(Ports {
                    nats: nats.clone(),
                    monitor: monitor.clone(),
                });
            }
        }
    };
    timeout(START, read).await.with_context(|| {
        ended(
            &format!("no sign of life in {START:?}"),
            &complaints(folder, pid),
        )
    })?
}

/// The log of the server on `folder`.
fn log_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.log")
}

/// What the server with this pid wrote of errors into its log, which those before it wrote as well.
fn complaints(folder: &Path, pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(log_file(folder)).unwrap_or_default();
    let own = format!("[{pid}] ");
    let bad = |line: &&str| {
        line.starts_with(&own) && (line.contains(" [FTL] ") || line.contains(" [ERR] "))
    };
    let complaint_text = |line: &str| {
        line.split_once("] ")
            .and_then(|(_, rest)| rest.split_once("] "))
            .map(|(_, complaint_text)| complaint_text.to_owned())
    };
    let all: Vec<String> = text
        .lines()
        .filter(bad)
        .filter_map(complaint_text)
        .collect();
    all[all.len().saturating_sub(3)..].to_vec()
}

/// Why there is no server, and what to do.
fn ended(how: &str, complaints: &[String]) -> String {
    let complaint_text = complaints.join("; ");
    if complaint_text.contains("address already in use") {
        return format!(
            "The port of the nats-server is taken, maybe by another `devtrail up`. Choose another with --nats-port, \
             or 0 for a free one. nats-server says: {complaint_text}"
        );
    }
    let complaint_text = if complaint_text.is_empty() {
        "nothing".to_owned()
    } else {
        complaint_text
    };
    format!(
        "nats-server did not start ({how}). It says: {complaint_text}. Another nats-server is named with \
         --nats-server PATH."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_line_that_more_is_added_to() {
        assert_eq!(CONFIG.matches(SYNCED).count(), 1);
    }

    #[test]
    fn the_version_is_read_from_what_the_server_prints() {
        assert_eq!(version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(version("something else"), None);
    }
}

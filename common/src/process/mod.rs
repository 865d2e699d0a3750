//! The frame every program runs in: settings, logs, signals, exit code.

pub mod admin;
mod config;
mod disk;
mod stop;
mod telemetry;
mod values;
mod vitals;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

pub use config::Usage;
pub use disk::Disk;
pub use stop::Stop;
pub use values::{parse_address, parse_duration, parse_http_url, parse_nats_url, parse_rate};
pub use vitals::{NotReady, Vitals};

use crate::breaker::Breakers;

/// Of each thread. A debug build's futures take more than half of tokio's 2 MiB, and an overflow kills the process.
const STACK: usize = 4 * 1024 * 1024;
/// After an abort, how long a program may take to end: `up` stops its nats-server then, which may take 10 s.
const GRACE: Duration = Duration::from_secs(15);

/// Settings that every program has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings and logs")]
pub struct Frame {
    /// TOML file with settings, named as the long flags; flags and environment go before it
    #[arg(long, env = "DEVTRAIL_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Print the effective settings as TOML, secrets masked, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as collector=debug
    #[arg(
        long,
        env = "DEVTRAIL_LOG",
        default_value = "info",
        value_name = "FILTER",
        global = true
    )]
    pub log: String,
    /// How long to finish what is in hand after SIGTERM or SIGINT
    #[arg(
        long, env = "DEVTRAIL_SHUTDOWN_TIMEOUT", default_value = "10s", value_name = "TIME",
        value_parser = parse_duration, global = true
    )]
    pub shutdown_timeout: Duration,
}

/// A program's settings, with the frame's among them.
pub trait Settings: clap::Parser + Send + 'static {
    /// The frame's settings.
    fn frame(&self) -> &Frame;
}

/// What a program gets from its frame.
#[derive(Clone)]
pub struct Process {
    /// Executable and instance, as audit rows name it.
    pub actor: Actor,
    /// Tells when to stop.
    pub stop: Stop,
    /// Its circuit breakers.
    pub breakers: Breakers,
    /// What makes it ready, and what is read when its metrics are asked for.
    pub vitals: Vitals,
}

impl Process {
    /// A process without any breaker or vital sign yet.
    #[must_use]
    pub fn new(actor: Actor, stop: Stop) -> Self {
        Self {
            actor,
            stop,
            breakers: Breakers::default(),
            vitals: Vitals::default(),
        }
    }

    /// The same process acting as one of its parts.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        let breakers = self.breakers.part(name);
        Self {
            actor: self.actor.part(name),
            breakers,
            ..self.clone()
        }
    }
}

/// Executable and instance, such as `devtrail-collector/3f9a2c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    program: String,
    instance: String,
}

impl Actor {
    /// A fresh instance of `program`.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            program: program.to_owned(),
            instance: id[..8].to_owned(),
        }
    }

    /// The same instance acting as one of its parts, such as the collector inside `devtrail up`.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self {
            program: format!("{}-{name}", self.program),
            instance: self.instance.clone(),
        }
    }

    /// The instance's token, unique among all instances.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.program, self.instance)
    }
}

/// Runs a program: settings, then logs, then signals, then `start`, then the exit code.
///
/// Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration ([`Usage`]).
pub fn run<S: Settings, F, Fut>(start: F) -> ExitCode
where
    F: FnOnce(S, Process) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let settings = match config::load::<S>() {
        Ok(config::Loaded::Settings(settings)) => settings,
        Ok(config::Loaded::Printed) => return ExitCode::SUCCESS,
        Err(usage) => return fail(&usage.into()),
    };
    match in_runtime(settings, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Makes ring the process's one TLS provider; every HTTP or NATS client needs it installed.
pub fn install_tls() {
    // A second install only means that it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn in_runtime<S: Settings, F, Fut>(settings: S, start: F) -> anyhow::Result<()>
where
    F: FnOnce(S, Process) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let program = S::command().get_name().to_owned();
    telemetry::init(&settings.frame().log)?;
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()?;
    let result = runtime.block_on(async {
        let stop = Stop::on_signals(settings.frame().shutdown_timeout)?;
        let running = start(settings, Process::new(Actor::new(&program), stop.clone()));
        bounded(running, &stop).await
    });
    // A blocking call that hangs must not hold the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Ends what has not ended by itself some time after it should have handed everything back.
async fn bounded(
    running: impl Future<Output = anyhow::Result<()>>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let overdue = async {
        stop.aborted().await;
        tokio::time::sleep(GRACE).await; // sleep: the bound of whatever does not watch the stop
    };
    tokio::select! {
        result = running => result,
        () = overdue => Err(anyhow::anyhow!("The program did not end in order after its --shutdown-timeout; it was cut off.")),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // The pipe of whoever reads may be closed; the exit code says it all the same.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    if error.is::<Usage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

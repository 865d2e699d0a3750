//! What every program runs in: settings, logs, signals, exit code.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::breaker::{BreakerReport, BreakerState, Breakers};
use crate::health::{HealthRegistry, NotReady};
use crate::logging::background::within;
use crate::settings::{self, Loaded, Settings, UsageError};
use crate::shutdown::Shutdown;
use crate::{logging, metrics, stdout};

/// Of each thread. A debug build's futures take more than half of tokio's 2 MiB, and an overflow kills the process.
const STACK: usize = 4 * 1024 * 1024;
/// After an abort, how long a program may take to end: `up` stops its nats-server then, which may take 10 s.
const GRACE: Duration = Duration::from_secs(15);

/// How long an end with an error waits for the reader of stderr.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A breaker whose name begins so protects no part of the work: a dead receiver blocks nothing.
const APART: &str = "webhook:";
/// Breakers whose names begin so share the work between them: it stops when all of them are open.
const SHARED: &str = "stream:";

/// What every program is given.
#[derive(Clone)]
pub struct Process {
    /// Executable and instance, as in audit rows.
    pub actor: Actor,
    /// Says when to shut down.
    pub shutdown: Shutdown,
    pub breakers: Breakers,
    /// The checks of readiness, and the sources that are read when metrics are scraped.
    pub health: HealthRegistry,
}

impl Process {
    /// A process that has no breaker and no check yet.
    #[must_use]
    pub fn new(actor: Actor, shutdown: Shutdown) -> Self {
        Self {
            actor,
            shutdown,
            breakers: Breakers::default(),
            health: HealthRegistry::default(),
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

impl Process {
    /// Whether it can do its work now.
    ///
    /// # Errors
    /// Returns [`NotReady`] with the first reason: it shuts down, a breaker is open, or a check fails.
    pub async fn ready(&self) -> Result<(), NotReady> {
        if self.shutdown.is_draining() {
            return Err(NotReady {
                code: "shutting_down",
                reason: "the process is shutting down".to_owned(),
            });
        }
        for (_, answer) in self.health.checked().await {
            answer?;
        }
        // Half-open, the next call may close it; the checks show whether that would succeed.
        let reports = self.breakers.reports();
        let is_open = |one: &&BreakerReport| one.state == BreakerState::Open;
        let is_shared = |one: &&BreakerReport| one.name.starts_with(SHARED);
        let shared_are_open = reports.iter().filter(is_shared).all(|one| is_open(&one));
        let blocks = |one: &&BreakerReport| {
            !one.name.starts_with(APART) && (shared_are_open || !is_shared(one))
        };
        let open = reports.iter().filter(is_open).find(blocks);
        open.map_or(Ok(()), |one| {
            let reason = format!("the circuit breaker before the {} is open", one.name);
            Err(NotReady {
                code: "circuit_open",
                reason,
            })
        })
    }

    /// Its metrics in Prometheus's text format, gauges read now.
    pub async fn metrics(&self) -> String {
        let (checked, ()) = tokio::join!(self.health.checked(), self.health.read());
        checked
            .iter()
            .for_each(|(name, answer)| metrics::check(name, answer.is_ok()));
        metrics::breakers(&self.breakers.reports());
        metrics::read_process();
        metrics::render()
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
/// Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration ([`UsageError`]).
pub fn run<S: Settings, F, Fut>(start: F) -> ExitCode
where
    F: FnOnce(S, Process) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let settings = match settings::load::<S>() {
        Ok(Loaded::Settings(settings)) => settings,
        Ok(Loaded::Printed(text)) => {
            return match stdout::print(&text) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => fail(&error.into()),
            };
        }
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
    let _last_lines = logging::init(&settings.common_args().log)?;
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::on_signals(settings.common_args().shutdown_timeout)?;
        let running = start(
            settings,
            Process::new(Actor::new(&program), shutdown.clone()),
        );
        bounded(running, &shutdown).await
    });
    // A blocking call that hangs must not hold the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Ends the process if it has not ended by itself some time after the abort.
async fn bounded(
    running: impl Future<Output = anyhow::Result<()>>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let overdue = async {
        shutdown.aborted().await;
        tokio::time::sleep(GRACE).await; // sleep: the bound of whatever does not watch the shutdown
    };
    tokio::select! {
        result = running => result,
        () = overdue => Err(anyhow::anyhow!(
            "The program did not end in order after its --shutdown-timeout; it was cut off."
        )),
    }
}

/// Prints the error that ends a program, and gives the exit code: 2 of a [`UsageError`], else 1.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let text = format!("error: {error:#}\n");
    // The reader may have closed the pipe, or not read what is in it; the exit code says the same.
    within(LAST_WORDS, move || {
        let _ = std::io::stderr().write_all(text.as_bytes());
    });
    if error.is::<UsageError>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{BreakerSettings, CallOutcome};

    fn open(process: &Process, name: &str) {
        let guard = process.breakers.guard(name, BreakerSettings::DEFAULT);
        (0..5).for_each(|_| guard.acquire().ok().unwrap().done(CallOutcome::Failed));
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_several_event_streams_is_enough_to_be_ready() {
        let process = Process::new(Actor::new("test"), Shutdown::manual(Duration::from_secs(1)));
        let names = ["stream:EVENTS-0-of-2", "stream:EVENTS-1-of-2"];
        for name in names {
            let _ = process.breakers.guard(name, BreakerSettings::DEFAULT);
        }
        open(&process, names[0]);
        assert_eq!(process.ready().await, Ok(()));
        open(&process, names[1]);
        assert_eq!(
            process.ready().await.map_err(|why| why.code),
            Err("circuit_open")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn ready_means_every_check_holds_and_no_breaker_is_open() {
        let process = Process::new(Actor::new("test"), Shutdown::manual(Duration::from_secs(1)));
        assert_eq!(process.ready().await, Ok(()));
        process.health.check("store", || async {
            Err(NotReady::store("the store is away"))
        });
        assert_eq!(
            process.ready().await,
            Err(NotReady::store("the store is away"))
        );
        process.health.check("store", std::future::pending);
        assert_eq!(
            process.ready().await.map_err(|why| why.code),
            Err("store_unavailable"),
            "it hangs"
        );
        process.health.check("store", || async { Ok(()) });
        let open = |name: &str| open(&process, name);
        open("webhook:admin");
        assert_eq!(process.ready().await, Ok(()));
        open("store");
        assert_eq!(
            process.ready().await.map_err(|why| why.code),
            Err("circuit_open")
        );
        process.shutdown.begin();
        assert_eq!(
            process.ready().await.map_err(|why| why.code),
            Err("shutting_down")
        );
    }
}

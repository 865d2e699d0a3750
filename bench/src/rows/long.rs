//! Ten million events, published with no worker running and then worked off, once.
//! What was done is kept in a folder under `target/`; a run that is stopped goes on from there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use harness::{Deployment, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use types::schema::Schemas;

use crate::encode::{encode, publish, publish_all};
use crate::plan::Plan;
use crate::plot::{Plot, Series};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::{Spread, micros, millis};
use crate::usage::{Meter, memory, workers_cpu};
use crate::watch::{StoreProgress, StoreWatch};
use crate::workday::{BATCH, Workdays};

const EVENTS: usize = 10_000_000;
const DEVELOPERS: usize = 100;
const EVENTS_A_DAY: usize = 2000;
/// The first part is this fraction of all: what the rest is compared with.
const FIRST_PART: usize = 100;
/// Batches that are published between two notes of how far it is.
const CHUNK: usize = 2000;
/// How often it is noted how far a drain is.
const NOTE: Duration = Duration::from_secs(2);
/// Batches whose jobs are timed after each part.
const JOBS: usize = 20;

/// What was done so far: the file `state.json` of the folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    events: usize,
    parts: [Part; 2],
}

/// Of the parts of a run.
const FIRST: usize = 0;
const REST: usize = 1;

/// Batches that are published together and then worked off.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    /// Numbers of its batches in the load.
    from: usize,
    to: usize,
    /// Batches before this number are published.
    published: usize,
    /// How the drain went, over all runs.
    course: Vec<Moment>,
    is_drained: bool,
    /// CPU of the workers for a batch afterwards, in ms.
    job_cost: Option<f64>,
}

/// How far a drain was.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Moment {
    /// Since the drain began, in runs that were stopped as well.
    seconds: f64,
    stored: u64,
    completed: u64,
    /// CPU of the worker so far, in µs.
    cpu: f64,
    /// In MiB.
    memory: f64,
}

/// The deployment of this run.
struct LongRun {
    folder: PathBuf,
    state: State,
    deployment: Deployment,
    js: jetstream::Context,
    load: Workdays,
}

/// The rows, on SQLite: there one process does everything.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut run = LongRun::open(plan.events(EVENTS / 10, EVENTS)).await?;
    for which in [FIRST, REST] {
        run.publish(which).await?;
        run.drain(which).await?;
    }
    let bytes = run.bytes().await?;
    let title = format!("{} events, once, SQLite", figure(run.state.events as f64));
    report.add(&title, rows(&run.state, bytes));
    report.plot(memory_plot(&run.state));
    let LongRun { folder, .. } = run;
    std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

impl LongRun {
    async fn open(events: usize) -> anyhow::Result<Self> {
        let folder = folder()?;
        stop_leftovers(&folder).await?;
        let state = State::read(&folder, events)?;
        say(&format!("long: in {}", folder.display()));
        let deployment = Deployment::kept_in(&folder).await;
        Ok(Self {
            js: deployment.js().await,
            load: Workdays {
                run: "long".to_owned(),
                developers: DEVELOPERS,
                events_a_day: EVENTS_A_DAY,
                days: events.div_ceil(DEVELOPERS * EVENTS_A_DAY),
            },
            folder,
            state,
            deployment,
        })
    }

    fn note(&self) -> anyhow::Result<()> {
        self.state.write(&self.folder)
    }

    async fn publish(&mut self, which: usize) -> anyhow::Result<()> {
        loop {
            let part = &self.state.parts[which];
            let numbers = part.published..part.to.min(part.published + CHUNK);
            if numbers.is_empty() {
                return Ok(());
            }
            let end = numbers.end;
            say(&format!(
                "long: publishing up to batch {end} of {}",
                part.to
            ));
            let load = &self.load;
            publish_all(&self.js, numbers.map(|number| load.batch(number))).await?;
            self.state.parts[which].published = end;
            self.note()?;
        }
    }

    /// Works off what is published, and times jobs on what is then stored.
    async fn drain(&mut self, which: usize) -> anyhow::Result<()> {
        if self.state.parts[which].job_cost.is_some() {
            return Ok(());
        }
        // The messages that there are: a run that was stopped while publishing may have left some of them twice.
        let expected = self.deployment.streams().await.messages("EVENTS").await;
        let start = Instant::now();
        self.deployment.workers(1);
        let meter = Meter::start(&self.deployment).await?;
        let watch = StoreWatch::open(&self.deployment).await?;
        if !self.state.parts[which].is_drained {
            let pid = self.deployment.pid("all");
            let before = self.state.parts[which]
                .course
                .last()
                .copied()
                .unwrap_or_default();
            let mut noted = start;
            let (state, folder) = (&mut self.state, &self.folder);
            let see = |progress: StoreProgress| {
                if noted.elapsed() < NOTE && progress.completed < expected {
                    return Ok(());
                }
                noted = Instant::now();
                state.parts[which].course.push(Moment {
                    seconds: before.seconds + start.elapsed().as_secs_f64(),
                    stored: progress.stored,
                    completed: progress.completed,
                    cpu: before.cpu + micros(workers_cpu(&meter.read()?)),
                    memory: memory(pid, "VmRSS")?,
                });
                say(&format!("long: {progress:?} of {expected}"));
                state.write(folder)
            };
            watch.completed(expected, start, see).await?;
            self.state.parts[which].is_drained = true;
            self.note()?;
        }
        self.state.parts[which].job_cost = Some(self.job_cost(&watch, expected).await?);
        self.note()?;
        self.deployment.stop_workers().await;
        Ok(())
    }

    /// CPU of the workers, in ms, for one batch of a day that has nothing yet.
    async fn job_cost(&self, watch: &StoreWatch, mut expected: u64) -> anyhow::Result<f64> {
        watch
            .completed(expected, Instant::now(), |_| Ok(()))
            .await?;
        let schemas = Schemas::builtin();
        let load = Workdays {
            // A run that was stopped here has used up its ids.
            run: format!("job-{expected}"),
            developers: 1,
            events_a_day: EVENTS_A_DAY,
            days: self.load.days + 2,
        };
        let first = load.len() - EVENTS_A_DAY / BATCH;
        let meter = Meter::start(&self.deployment).await?;
        for number in first..first + JOBS {
            publish(&self.js, encode(&schemas, &load.batch(number))?).await?;
            expected += 1;
            watch
                .completed(expected, Instant::now(), |_| Ok(()))
                .await?;
        }
        Ok(millis(workers_cpu(&meter.read()?)) / JOBS as f64)
    }

    async fn bytes(&mut self) -> anyhow::Result<f64> {
        let watch = StoreWatch::open(&self.deployment).await?;
        Ok(watch.bytes().await? as f64 / self.state.events as f64)
    }
}

impl State {
    /// As the folder has it, or new.
    fn read(folder: &Path, events: usize) -> anyhow::Result<Self> {
        let path = folder.join("state.json");
        if !path.exists() {
            return Ok(Self::new(events));
        }
        let state: Self = serde_json::from_slice(&std::fs::read(&path)?)?;
        ensure!(
            state.events == events,
            "{} holds a run of {} events: finish it with --events {0}, or remove the folder",
            folder.display(),
            state.events
        );
        Ok(state)
    }

    fn new(events: usize) -> Self {
        let batches = events.div_ceil(BATCH);
        let first = batches.div_ceil(FIRST_PART);
        let part = |from, to| Part {
            from,
            to,
            published: from,
            ..Part::default()
        };
        Self {
            events,
            parts: [part(0, first), part(first, batches)],
        }
    }

    /// Whole or not at all: a run may be stopped at any moment.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let new = folder.join("state.json.new");
        std::fs::write(&new, serde_json::to_string(self)?)?;
        Ok(std::fs::rename(new, folder.join("state.json"))?)
    }
}

impl Part {
    /// Events stored a second in the last tenth of what was stored.
    fn stored_at_the_end(&self) -> f64 {
        let last = self
            .course
            .iter()
            .map(|moment| moment.stored)
            .max()
            .unwrap_or(0);
        let tenth = last - ((self.to - self.from) as u64 / 10).max(1);
        // The last moment before the last tenth, and the first after it.
        let before = self
            .course
            .iter()
            .rev()
            .find(|moment| moment.stored <= tenth);
        let before = before.copied().unwrap_or(Moment {
            stored: self.from as u64,
            ..Moment::default()
        });
        let after = self.course.iter().find(|moment| moment.stored == last);
        let after = after.copied().unwrap_or_default();
        (after.stored - before.stored) as f64 * BATCH as f64 / (after.seconds - before.seconds)
    }

    fn last(&self) -> Moment {
        self.course.last().copied().unwrap_or_default()
    }

    fn events(&self) -> f64 {
        ((self.to - self.from) * BATCH) as f64
    }
}

fn rows(state: &State, bytes: f64) -> Vec<BenchRow> {
    let [first, rest] = &state.parts;
    let one = |value: f64| Spread::of([value]);
    let courses = || first.course.iter().chain(&rest.course);
    let peak = courses().map(|moment| moment.memory).fold(0.0, f64::max);
    let (stored, stored_first) = (rest.stored_at_the_end(), first.stored_at_the_end());
    let (job, job_first) = (
        rest.job_cost.unwrap_or_default(),
        first.job_cost.unwrap_or_default(),
    );
    vec![
        BenchRow::new(
            "events stored, the last tenth beside the first hundredth",
            "events/s",
            one(stored),
        )
        .beside(one(stored_first), one(stored / stored_first))
        .reach(Reach::RatioAtLeast(0.85)),
        BenchRow::new(
            "events completed",
            "events/s",
            one(rest.events() / rest.last().seconds),
        ),
        BenchRow::new(
            "CPU of the worker",
            "µs/event",
            one(rest.last().cpu / rest.events()),
        ),
        BenchRow::new("peak memory of the worker", "MiB", one(peak)).reach(Reach::AtMost(256.0)),
        BenchRow::new(
            "CPU of a batch at the end, beside after the first hundredth",
            "ms/batch",
            one(job),
        )
        .beside(one(job_first), one(job / job_first))
        .reach(Reach::RatioAtMost(1.2)),
        BenchRow::new("database with its indexes", "bytes/event", one(bytes)),
    ]
}

fn memory_plot(state: &State) -> Plot {
    let mut line = Series::new("worker");
    let rest = &state.parts[REST];
    let course = &rest.course;
    let step = course.len().div_ceil(200).max(1);
    for moment in course.iter().rev().step_by(step) {
        let left = rest.to as f64 - moment.completed as f64;
        line.add(left.max(0.0) * BATCH as f64, moment.memory);
    }
    Plot {
        file: "memory-against-ten-million",
        title: "Memory of the worker, while ten million events are worked off",
        x: "events that are not completed",
        y: "MiB",
        is_x_log: false,
        series: vec![line],
    }
}

/// `bench-long` beside the folder of the programs.
fn folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("target/")?;
    Ok(target.join("bench-long"))
}

/// Stops what a run left behind that was killed: its server and its worker still hold the folder.
async fn stop_leftovers(folder: &Path) -> anyhow::Result<()> {
    let text = folder.display().to_string();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // What has ended meanwhile has no program and no folder any more.
        let (Some(pid), Ok(program)) = (pid, std::fs::read_link(path.join("exe"))) else {
            continue;
        };
        let is_ours = ["nats-server", "devtrail-worker"]
            .iter()
            .any(|name| program.ends_with(name));
        let in_folder = std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
        let words = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let named = String::from_utf8_lossy(&words).contains(&text);
        if is_ours && (in_folder || named) {
            // It may end by itself at this moment.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let gone = async || (!path.exists()).then_some(());
            until("a process of an earlier run has ended", gone).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: f64, stored: u64) -> Moment {
        Moment {
            seconds,
            stored,
            ..Moment::default()
        }
    }

    #[test]
    fn the_rate_at_the_end_is_that_of_the_last_tenth() {
        let part = Part {
            from: 0,
            to: 1000,
            course: vec![
                moment(1.0, 500),
                moment(2.0, 880),
                moment(3.0, 900),
                moment(5.0, 1000),
                // The jobs take longer.
                moment(9.0, 1000),
            ],
            ..Part::default()
        };
        assert_eq!(part.stored_at_the_end(), 100.0 * BATCH as f64 / 2.0);
        let short = Part {
            from: 200,
            to: 300,
            course: vec![moment(2.0, 300)],
            ..Part::default()
        };
        assert_eq!(short.stored_at_the_end(), 100.0 * BATCH as f64 / 2.0);
    }

    #[test]
    fn a_state_is_taken_up_again_and_not_mixed_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::read(folder.path(), 10_000).expect("a new one");
        let [first, rest] = &mut state.parts;
        assert_eq!((first.to, rest.from, rest.to), (2, 2, 200));
        rest.published = 70;
        state.write(folder.path()).expect("it is written");
        let again = State::read(folder.path(), 10_000).expect("the same");
        assert_eq!(again.parts.map(|part| part.published), [0, 70]);
        assert!(State::read(folder.path(), 20_000).is_err());
    }
}

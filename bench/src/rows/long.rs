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

use crate::encode::publish_all;
use crate::one_by_one::complete_each;
use crate::plan::Plan;
use crate::plot::{Plot, Series};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::{Spread, micros};
use crate::usage::{Meter, memory, workers_cpu};
use crate::watch::{StoreProgress, StoreWatch};
use crate::workday::{BATCH, Workdays};

const EVENTS: usize = 10_000_000;
const DEVELOPERS: usize = 100;
const EVENTS_A_DAY: usize = 2000;
/// Batches of the first part, with which the rest is compared: 100,000 events, or a tenth of a small run.
const FIRST_PART: usize = 2000;
/// Batches that are published between two notes of how far it is.
const CHUNK: usize = 2000;
/// How often it is noted how far a drain is: after so long, and when such a fraction of the part was stored.
const NOTE: Duration = Duration::from_secs(2);
const NOTES: u64 = 50;
/// Batches whose jobs are timed after each part.
const JOBS: usize = 20;

/// What was done so far: the file `state.json` of the folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    events: usize,
    parts: [Part; 2],
    /// Days after those of the load that jobs were timed on, or begun to be.
    job_days: usize,
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
    let LongRun {
        folder, deployment, ..
    } = run;
    // First the server that writes there.
    deployment.remove().await;
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
                first_day: 0,
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
            let mut notes = Notes::new(self.state.parts[which].len(), expected);
            let (state, folder) = (&mut self.state, &self.folder);
            let see = |progress: StoreProgress| {
                if !notes.take(progress, start.elapsed()) {
                    return Ok(());
                }
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
    async fn job_cost(&mut self, watch: &StoreWatch, expected: u64) -> anyhow::Result<f64> {
        watch
            .completed(expected, Instant::now(), |_| Ok(()))
            .await?;
        let day = self.state.take_job_day(self.load.days);
        // Before anything is sent: a run that is stopped here has used up the day.
        self.note()?;
        let load = Workdays {
            run: "job".to_owned(),
            developers: 1,
            events_a_day: EVENTS_A_DAY,
            days: day + 1,
            first_day: 0,
        };
        let first = load.len() - EVENTS_A_DAY / BATCH;
        let bodies = (first..first + JOBS).map(|number| load.batch(number));
        let cost = complete_each(&self.deployment, &self.js, watch, expected, bodies).await?;
        Ok(cost.workers_cpu())
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
            "{} holds a run of {} events: finish it with --events {1}, or remove the folder",
            folder.display(),
            state.events
        );
        Ok(state)
    }

    fn new(events: usize) -> Self {
        let batches = events.div_ceil(BATCH);
        let first = FIRST_PART.min(batches.div_ceil(10));
        let part = |from, to| Part {
            from,
            to,
            published: from,
            ..Part::default()
        };
        Self {
            events,
            parts: [part(0, first), part(first, batches)],
            job_days: 0,
        }
    }

    /// A day that has no event yet, nor has the day before it, of a load of so many days.
    fn take_job_day(&mut self, days_of_load: usize) -> usize {
        self.job_days += 2;
        days_of_load + self.job_days - 1
    }

    /// Whole or not at all: a run may be stopped at any moment.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let new = folder.join("state.json.new");
        std::fs::write(&new, serde_json::to_string(self)?)?;
        Ok(std::fs::rename(new, folder.join("state.json"))?)
    }
}

/// When to note how far a drain is.
struct Notes {
    /// Batches in the store at the end.
    expected: u64,
    step: u64,
    at: Duration,
    last: Option<StoreProgress>,
}

impl Notes {
    /// Of a part of so many batches.
    fn new(batches: usize, expected: u64) -> Self {
        Self {
            expected,
            step: (batches as u64 / NOTES).max(1),
            at: Duration::ZERO,
            last: None,
        }
    }

    /// Whether this is to be noted: the first and the last of all, the end of storing, and enough on the way.
    fn take(&mut self, now: StoreProgress, at: Duration) -> bool {
        let is_due = self.last.is_none_or(|last| {
            let ended = |now: u64, last: u64| now >= self.expected && last < self.expected;
            at >= self.at + NOTE
                || now.stored >= last.stored + self.step
                || ended(now.stored, last.stored)
                || ended(now.completed, last.completed)
        });
        if is_due {
            (self.at, self.last) = (at, Some(now));
        }
        is_due
    }
}

impl Part {
    fn len(&self) -> usize {
        self.to - self.from
    }

    /// Events stored a second in the second half. In the first half of a short part the worker starts, and stores
    /// faster than later, as there is hardly a job yet.
    fn stored_in_the_second_half(&self) -> f64 {
        self.stored_since(self.from as u64 + self.len() as u64 / 2)
    }

    /// Events stored a second in the last tenth of what was stored.
    fn stored_at_the_end(&self) -> f64 {
        self.stored_since(self.stored() - (self.len() as u64 / 10).max(1))
    }

    /// Batches in the store at the end.
    fn stored(&self) -> u64 {
        let stored = self.course.iter().map(|moment| moment.stored);
        stored.max().unwrap_or_default()
    }

    /// Events stored a second from when so many batches were in the store. Of a part that was stored between two looks
    /// at the store, from the start of its drain.
    fn stored_since(&self, batches: u64) -> f64 {
        let at = |batches| self.course.iter().find(|moment| moment.stored >= batches);
        let end = at(self.stored()).copied().unwrap_or_default();
        let before = at(batches)
            .copied()
            .filter(|start| start.stored < end.stored);
        let start = before.unwrap_or(Moment {
            stored: self.from as u64,
            ..Moment::default()
        });
        ((end.stored - start.stored) * BATCH as u64) as f64 / (end.seconds - start.seconds)
    }

    fn last(&self) -> Moment {
        self.course.last().copied().unwrap_or_default()
    }

    fn events(&self) -> f64 {
        (self.len() * BATCH) as f64
    }
}

fn rows(state: &State, bytes: f64) -> Vec<BenchRow> {
    let [first, rest] = &state.parts;
    let one = |value: f64| Spread::of([value]);
    let courses = || first.course.iter().chain(&rest.course);
    let peak = courses().map(|moment| moment.memory).fold(0.0, f64::max);
    let (stored, stored_first) = (rest.stored_at_the_end(), first.stored_in_the_second_half());
    let beside = format!("the first {} events", figure(first.events()));
    let (job, job_first) = (
        rest.job_cost.unwrap_or_default(),
        first.job_cost.unwrap_or_default(),
    );
    vec![
        BenchRow::new(
            format!("events stored, the last tenth beside the second half of {beside}"),
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
            format!("CPU of a batch at the end, beside after {beside}"),
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

    fn part(from: usize, to: usize, course: Vec<Moment>) -> Part {
        Part {
            from,
            to,
            course,
            ..Part::default()
        }
    }

    #[test]
    fn the_rate_at_the_end_is_that_of_the_last_tenth() {
        let course = vec![
            moment(1.0, 500),
            moment(2.0, 880),
            moment(3.0, 900),
            moment(5.0, 1000),
            // The jobs take longer.
            moment(9.0, 1000),
        ];
        let rate = part(0, 1000, course).stored_at_the_end();
        assert_eq!(rate, 100.0 * BATCH as f64 / 2.0);
    }

    #[test]
    fn the_rate_of_the_first_part_leaves_out_its_start() {
        let course = vec![
            moment(0.5, 0),
            moment(3.0, 90),
            moment(4.0, 100),
            moment(5.0, 150),
            moment(6.0, 200),
            moment(9.0, 200),
        ];
        let rate = part(0, 200, course).stored_in_the_second_half();
        assert_eq!(rate, 100.0 * BATCH as f64 / 2.0);
        // One look at the store tells no more than this.
        let short = part(200, 300, vec![moment(2.0, 300)]);
        let expected = 100.0 * BATCH as f64 / 2.0;
        assert_eq!(short.stored_in_the_second_half(), expected);
        assert_eq!(short.stored_at_the_end(), expected);
    }

    #[test]
    fn notes_are_as_many_in_a_short_part_as_in_a_long_one() {
        let mut notes = Notes::new(100, 100);
        let mut take = |stored, completed, millis| {
            let now = StoreProgress { stored, completed };
            notes.take(now, Duration::from_millis(millis))
        };
        assert!(take(0, 0, 1), "the first");
        assert!(!take(1, 0, 2));
        assert!(take(2, 0, 3), "a fiftieth");
        assert!(take(2, 0, 2003), "two seconds");
        assert!(take(99, 0, 2004));
        assert!(take(100, 0, 2005), "all stored");
        assert!(!take(100, 90, 2006));
        assert!(take(100, 100, 2007), "the end");
    }

    #[test]
    fn each_job_has_a_day_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::new(10_000);
        // The load has days 0 to 4.
        assert_eq!(state.take_job_day(5), 6);
        state.write(folder.path()).expect("it is written");
        let mut again = State::read(folder.path(), 10_000).expect("the same");
        assert_eq!(again.take_job_day(5), 8);
    }

    #[test]
    fn a_state_is_taken_up_again_and_not_mixed_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::read(folder.path(), 10_000).expect("a new one");
        let [first, rest] = &mut state.parts;
        assert_eq!((first.to, rest.from, rest.to), (20, 20, 200));
        rest.published = 70;
        state.write(folder.path()).expect("it is written");
        let again = State::read(folder.path(), 10_000).expect("the same");
        assert_eq!(again.parts.map(|part| part.published), [0, 70]);
        let error = State::read(folder.path(), 20_000).expect_err("another run");
        assert!(error.to_string().contains("--events 10000,"), "{error}");
    }
}

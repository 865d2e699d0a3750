//! The figures of a run: printed, and written as JSON if `DEVTRAIL_FAULTS_FIGURES` names a folder.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use harness::Engine;
use serde_json::{Value, json};

use crate::oracle::judgement::Judgement;
use crate::send_log::{Log, name};

/// What a run is called and what was done to it.
pub struct Run {
    /// What kind of run it was.
    pub title: String,
    /// Its seed.
    pub seed: u64,
    /// Its store.
    pub engine: Engine,
    /// How long the load and the faults went on.
    pub span: Duration,
    /// Faults by kind.
    pub faults: BTreeMap<String, u32>,
    /// Processes that ended without being asked to.
    pub ended: BTreeMap<String, u32>,
}

/// A line to stderr at once: a test that hangs has shown how far it came.
pub fn say(text: &str) {
    // Whoever reads may have gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Run {
    /// Prints and writes the figures.
    pub fn conclude(&self, log: &Log, judgement: &Judgement) {
        let figures = self.figures(log, judgement);
        say(&format!("the longest wait, {}", log.longest_story));
        say(&format!("acknowledged in each second: {:?}", log.pace));
        say(&format!("figures: {figures}"));
        let Some(folder) = std::env::var_os("DEVTRAIL_FAULTS_FIGURES").map(PathBuf::from) else {
            return;
        };
        let file = format!("{}-{}-{}.json", self.title, name(self.engine), self.seed);
        std::fs::write(folder.join(file), figures.to_string()).expect("the figures can be written");
    }

    fn figures(&self, log: &Log, judgement: &Judgement) -> Value {
        let events: usize = log
            .acks
            .iter()
            .map(|ack| log.batches[ack.batch].events.len())
            .sum();
        json!({
            "run": self.title,
            "store": name(self.engine),
            "seed": self.seed,
            "seconds": self.span.as_secs(),
            "faults": self.faults,
            "ended_on_their_own": self.ended,
            "requests": log.requests,
            "retries": log.retries,
            "resends": log.resends,
            "replies": log.replies,
            "acknowledged_batches": log.acks.len(),
            "acknowledged_events": events,
            "lost": judgement.lost,
            "doubled": judgement.doubled,
            "findings": judgement.findings.len(),
            "longest_outage_ms": log.longest.as_millis() as u64,
        })
    }
}

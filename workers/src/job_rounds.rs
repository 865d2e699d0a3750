//! In which order pulled jobs are done, and how many of them one transaction finishes. Pure.
//!
//! Jobs of one developer touch the same windows, so they are done together. Who has few events comes first: a
//! developer's flood delays that developer alone. No round is so large that other writers wait long for its commit.

use std::collections::BTreeMap;

use types::job::JobMessage;

/// Most new events of the jobs that one transaction finishes, unless a single job has more. A normalize job writes a
/// row for each of them, in some 5 µs.
const ROUND_EVENTS: u64 = 8192;

/// The jobs in rounds, each to be finished by one transaction, one after the other.
pub fn rounds(jobs: Vec<JobMessage>) -> Vec<Vec<JobMessage>> {
    let mut by_developer: BTreeMap<String, Vec<JobMessage>> = BTreeMap::new();
    for job in jobs {
        by_developer
            .entry(job.body.developer.clone())
            .or_default()
            .push(job);
    }
    let mut developers: Vec<Vec<JobMessage>> = by_developer.into_values().collect();
    developers.sort_by_key(|jobs| jobs.iter().map(events).sum::<u64>());
    let mut rounds = Rounds::default();
    for jobs in developers {
        let all: u64 = jobs.iter().map(events).sum();
        if !rounds.has_room(all) {
            rounds.end();
        }
        for job in jobs {
            rounds.push(job);
        }
    }
    rounds.end();
    rounds.ended
}

/// The new events of the job's batch.
fn events(job: &JobMessage) -> u64 {
    job.body
        .counts_by_type
        .values()
        .copied()
        .map(u64::from)
        .sum()
}

#[derive(Default)]
struct Rounds {
    ended: Vec<Vec<JobMessage>>,
    now: Vec<JobMessage>,
    events: u64,
}

impl Rounds {
    fn has_room(&self, events: u64) -> bool {
        self.events.saturating_add(events) <= ROUND_EVENTS
    }

    fn push(&mut self, job: JobMessage) {
        let events = events(&job);
        if !self.has_room(events) {
            self.end();
        }
        self.events += events;
        self.now.push(job);
    }

    fn end(&mut self) {
        if !self.now.is_empty() {
            self.ended.push(std::mem::take(&mut self.now));
        }
        self.events = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use types::id::BatchRef;
    use types::job::{JobBody, JobKind};

    use super::*;

    fn job(developer: &str, seq: u64, events: u32) -> JobMessage {
        let body = JobBody {
            batch_id: format!("b{seq}"),
            developer: developer.to_owned(),
            correlation_id: "c".to_owned(),
            traceparent: String::new(),
            batch: BatchRef { src: 1, seq },
            counts_by_type: BTreeMap::from([("heartbeat".to_owned(), events)]),
            first_occurred_at: None,
            last_occurred_at: None,
            touched_days: BTreeSet::new(),
            schema_versions: BTreeSet::new(),
        };
        JobMessage::live(JobKind::Aggregate, body)
    }

    fn seqs(rounds: &[Vec<JobMessage>]) -> Vec<Vec<u64>> {
        let seq = |job: &JobMessage| job.body.batch.seq;
        rounds
            .iter()
            .map(|round| round.iter().map(seq).collect())
            .collect()
    }

    #[test]
    fn a_flood_comes_last_and_in_parts() {
        let mut jobs: Vec<JobMessage> = (1..=20).map(|seq| job("flood", seq, 1000)).collect();
        jobs.push(job("ada", 21, 50));
        jobs.push(job("bob", 22, 50));
        jobs.push(job("ada", 23, 50));
        let rounds = seqs(&rounds(jobs));
        assert_eq!(rounds[0], [22, 21, 23], "who has few events, first");
        let flood: Vec<usize> = rounds[1..].iter().map(Vec::len).collect();
        assert_eq!(flood, [8, 8, 4]);
    }

    #[test]
    fn a_developers_jobs_stay_together_if_they_can() {
        let jobs = vec![job("a", 1, 5000), job("b", 2, 3000), job("b", 3, 3000)];
        assert_eq!(seqs(&rounds(jobs)), [vec![1], vec![2, 3]]);
    }

    proptest! {
        #[test]
        fn every_job_is_in_one_round_and_none_is_too_large(
            sizes in prop::collection::vec((0_usize..5, 0_u32..12_000), 0..40),
        ) {
            let developers = ["a", "b", "c", "d", "e"];
            let jobs: Vec<JobMessage> = sizes
                .iter()
                .zip(1..)
                .map(|((developer, events), seq)| job(developers[*developer], seq, *events))
                .collect();
            let rounds = rounds(jobs);
            let mut all: Vec<u64> = seqs(&rounds).concat();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=sizes.len() as u64).collect::<Vec<_>>());
            for round in &rounds {
                let total: u64 = round.iter().map(events).sum();
                prop_assert!(!round.is_empty() && (total <= ROUND_EVENTS || round.len() == 1));
            }
        }
    }
}

//! Injects the faults of a schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::schedule::{Fault, ScheduledFault};
use crate::testbed::Testbed;

/// How often processes that should run are looked after, as a supervisor would.
const LOOK: Duration = Duration::from_millis(100);

/// Carries `scheduled` out; returns when `span` is over and every fault has ended. Gives the faults by kind.
pub async fn carry_out(
    testbed: &mut Testbed,
    scheduled: &[ScheduledFault],
    span: Duration,
) -> BTreeMap<String, u32> {
    let begins = scheduled.iter().map(|one| (one.at, true, one.fault));
    let ends = scheduled
        .iter()
        .map(|one| (one.at + one.lasts, false, one.fault));
    let mut steps: Vec<(Duration, bool, Fault)> = begins.chain(ends).collect();
    // Stable: what is over at once begins before it ends.
    steps.sort_by_key(|(at, ..)| *at);
    let start = Instant::now();
    let mut kinds = BTreeMap::new();
    for (at, begins, fault) in steps {
        supervise(testbed, start + at).await;
        if begins {
            *kinds.entry(fault.kind()).or_default() += 1;
            testbed.begin(fault);
        } else {
            testbed.end(fault).await;
        }
    }
    supervise(testbed, start + span).await;
    testbed.settle().await;
    kinds
}

async fn supervise(testbed: &mut Testbed, until: Instant) {
    loop {
        testbed.raise();
        let now = Instant::now();
        if now >= until {
            return;
        }
        sleep_until(until.min(now + LOOK)).await; // sleep: the schedule is in time
    }
}

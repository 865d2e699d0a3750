//! Carries a schedule out.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::plan::{Fault, Planned};
use crate::world::World;

/// How often processes that should run are looked after, as a supervisor would.
const LOOK: Duration = Duration::from_millis(100);

/// Carries `planned` out; returns when `span` is over and every fault has ended. Gives the faults by kind.
pub async fn carry_out(
    world: &mut World,
    planned: &[Planned],
    span: Duration,
) -> BTreeMap<String, u32> {
    let begins = planned.iter().map(|one| (one.at, true, one.fault));
    let ends = planned
        .iter()
        .map(|one| (one.at + one.lasts, false, one.fault));
    let mut steps: Vec<(Duration, bool, Fault)> = begins.chain(ends).collect();
    // Stable: what is over at once begins before it ends.
    steps.sort_by_key(|(at, ..)| *at);
    let (start, mut kinds) = (Instant::now(), BTreeMap::new());
    for (at, begins, fault) in steps {
        supervise(world, start + at).await;
        if begins {
            *kinds.entry(fault.kind()).or_default() += 1;
            world.begin(fault);
        } else {
            world.end(fault).await;
        }
    }
    supervise(world, start + span).await;
    world.settle().await;
    kinds
}

async fn supervise(world: &mut World, until: Instant) {
    loop {
        world.raise();
        let now = Instant::now();
        if now >= until {
            return;
        }
        sleep_until(until.min(now + LOOK)).await; // sleep: the schedule is in time
    }
}

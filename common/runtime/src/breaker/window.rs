//! Outcomes of the last seconds, counted by the second.

use std::collections::VecDeque;
use std::time::Duration;

/// One second's outcomes.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    second: u64,
    all: u64,
    failed: u64,
}

/// A sliding window: as many buckets as it has seconds, whatever the load.
#[derive(Debug, Clone)]
pub struct Window {
    seconds: u64,
    buckets: VecDeque<Bucket>,
}

impl Window {
    /// An empty one that is this long, in whole seconds.
    pub fn new(length: Duration) -> Self {
        Self {
            seconds: length.as_secs().max(1),
            buckets: VecDeque::new(),
        }
    }

    /// Counts an outcome, and forgets those that have left the window.
    pub fn count(&mut self, failed: bool, now: Duration) {
        let second = now.as_secs();
        while self
            .buckets
            .front()
            .is_some_and(|oldest| oldest.second + self.seconds <= second)
        {
            self.buckets.pop_front();
        }
        if self
            .buckets
            .back()
            .is_none_or(|newest| newest.second != second)
        {
            self.buckets.push_back(Bucket {
                second,
                all: 0,
                failed: 0,
            });
        }
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.all += 1;
            bucket.failed += u64::from(failed);
        }
    }

    /// All outcomes and the failed ones, as of the last that was counted.
    pub fn sums(&self) -> (u64, u64) {
        self.buckets.iter().fold((0, 0), |(all, failed), bucket| {
            (all + bucket.all, failed + bucket.failed)
        })
    }
}

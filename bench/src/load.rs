//! Load on a server: so many calls in flight, or so many a second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::stats::{millis, percentile};

/// The result of a round of load.
#[derive(Debug, Default)]
pub struct Load {
    /// Time to the answer, one a call.
    pub times: Vec<Duration>,
    /// How long the round took.
    pub took: Duration,
}

impl Load {
    /// Calls a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// The time in milliseconds that so many percent of the calls took at most.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        millis(percentile(&self.times, percent))
    }
}

/// Keeps `in_flight` calls of `send` going for `length`; each gets a number of its own.
///
/// # Errors
/// The first failure of a call.
pub async fn closed_loop<F, Fut>(
    in_flight: usize,
    length: Duration,
    send: F,
) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let client = || async {
        let mut times = Vec::new();
        while start.elapsed() < length {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let sent = Instant::now();
            send(number).await?;
            times.push(sent.elapsed());
        }
        anyhow::Ok(times)
    };
    let times = try_join_all((0..in_flight).map(|_| client()))
        .await?
        .concat();
    Ok(Load {
        times,
        took: start.elapsed(),
    })
}

/// Calls `send` so often a second for `length`, whether the calls before have been answered or not.
/// A call's time begins when it is due: one that waits for its turn is late for whoever sends it.
///
/// # Errors
/// The first failure of a call.
pub async fn open_loop<F, Fut>(rate: f64, length: Duration, send: F) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let calls = (rate * length.as_secs_f64()).ceil() as usize;
    let start = tokio::time::Instant::now();
    let call = |number: usize| {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        let sent = &send;
        async move {
            tokio::time::sleep_until(due).await; // sleep: the load is so many calls a second
            sent(number).await?;
            anyhow::Ok(due.elapsed())
        }
    };
    Ok(Load {
        times: try_join_all((0..calls).map(call)).await?,
        took: start.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_does_not_wait_for_answers() {
        // No call is answered before all have been sent.
        let all = tokio::sync::Barrier::new(10);
        let send = |_| async {
            all.wait().await;
            Ok(())
        };
        let load = open_loop(1000.0, Duration::from_millis(10), send)
            .await
            .expect("no call fails");
        assert_eq!(load.times.len(), 10);
        // The first waited for the last, and its time says so.
        assert!(load.times[0] >= Duration::from_millis(9));
    }

    #[tokio::test]
    async fn a_closed_loop_numbers_its_calls() {
        let sum = AtomicUsize::new(0);
        let send = |number| {
            sum.fetch_add(number, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok(())
            }
        };
        let load = closed_loop(4, Duration::from_millis(10), send)
            .await
            .expect("no call fails");
        let calls = load.times.len();
        assert!(calls >= 4);
        assert_eq!(sum.into_inner(), calls * (calls - 1) / 2);
    }

    #[tokio::test]
    async fn a_failed_call_ends_the_load() {
        let send = |_| async { anyhow::bail!("refused") };
        assert!(closed_loop(2, Duration::from_secs(9), send).await.is_err());
    }
}

//! One line in the log for each refused request, with its correlation id (R7.1).
//!
//! A line names the route as it is declared, never the path or the query that was sent: either may hold a key.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client_address::ClientAddress;
use crate::problem::Problem;

/// Lines that may come at once. Beyond them a flood of refusals would fill the disk.
const BURST: u32 = 1_000;
/// Lines a second in the long run: some 300 MB a day.
const PER_SECOND: u32 = 10;
/// After this time the lines that were left out are counted in one.
const COUNTED_AFTER: Duration = Duration::from_secs(10);

/// What is known of a refused request beside its problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedRequest<'a> {
    /// As it is declared, with `{names}` for parameters; `none` if no route has the path, or there was no request.
    pub route: &'a str,
    pub method: &'a str,
    /// `None` if it is not known.
    pub address: Option<ClientAddress>,
}

static THROTTLE: Mutex<Option<Throttle>> = Mutex::new(None);

fn throttled<T>(act: impl FnOnce(&mut Throttle) -> T) -> T {
    let mut throttle = THROTTLE.lock().unwrap_or_else(PoisonError::into_inner);
    act(throttle.get_or_insert_with(|| Throttle::new(Instant::now())))
}

/// Logs a refusal: a client's fault as `info`, the collector's as `warn`.
pub(crate) fn log(problem: &Problem, request: RefusedRequest<'_>) {
    match throttled(|throttle| throttle.next(Instant::now())) {
        Line::Written => {}
        Line::LeftOut { is_first } => {
            if is_first {
                tokio::spawn(count_later());
            }
            return;
        }
    }
    let RefusedRequest {
        route,
        method,
        address,
    } = request;
    let code = problem.code.as_str();
    let status = problem.code.status().as_u16();
    let correlation_id = problem.correlation_id.as_deref().unwrap_or_default();
    let address = address.map(tracing::field::display);
    if problem.code.status().is_server_error() {
        tracing::warn!(
            correlation_id,
            code,
            status,
            route,
            method,
            address,
            "a request was refused"
        );
    } else {
        tracing::info!(
            correlation_id,
            code,
            status,
            route,
            method,
            address,
            "a request was refused"
        );
    }
}

async fn count_later() {
    tokio::time::sleep(COUNTED_AFTER).await; // sleep: the lines of this time are counted together
    let left_out = throttled(Throttle::take_left_out);
    tracing::warn!(
        left_out,
        "more requests were refused than are logged one by one"
    );
}

/// Whether there is room for one more line. Pure.
#[derive(Debug)]
struct Throttle {
    /// Lines that may be written at once now.
    room: f64,
    at: Instant,
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Written,
    LeftOut {
        /// It is the first since the last count.
        is_first: bool,
    },
}

impl Throttle {
    fn new(now: Instant) -> Self {
        Self {
            room: BURST.into(),
            at: now,
            left_out: 0,
        }
    }

    fn next(&mut self, now: Instant) -> Line {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.room = (self.room + passed * f64::from(PER_SECOND)).min(BURST.into());
        if self.room >= 1.0 {
            self.room -= 1.0;
            return Line::Written;
        }
        self.left_out += 1;
        Line::LeftOut {
            is_first: self.left_out == 1,
        }
    }

    fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_what_was_left_out_is_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        for _ in 0..BURST {
            assert_eq!(throttle.next(start), Line::Written);
        }
        assert_eq!(throttle.next(start), Line::LeftOut { is_first: true });
        assert_eq!(throttle.next(start), Line::LeftOut { is_first: false });
        let later = start + Duration::from_millis(1_050);
        let written = (0..20)
            .filter(|_| throttle.next(later) == Line::Written)
            .count();
        assert_eq!(written, 10);
        assert_eq!(throttle.take_left_out(), 12);
        assert_eq!(throttle.next(later), Line::LeftOut { is_first: true });
    }
}

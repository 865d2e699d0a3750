//! The deadlines of a connection, set by both its socket and its requests.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::options::ServeOptions;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// More bytes than hyper's own refusals have.
const HYPERS_REFUSAL: usize = 256;
/// Fields of a header that hyper takes over HTTP/1, unless set otherwise.
const MAX_FIELDS: usize = 100;

/// The phase of a connection between requests, and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A header is awaited or arriving.
    Head(Instant),
    /// A request is being answered; its handler has deadlines of its own.
    Busy,
    /// Between two requests. The start of a next one that came along with the last is not seen, so counts as none.
    Idle(Instant),
    /// HTTP/2: hyper's pings find out whether the client is alive.
    Http2,
}

pub(super) struct State {
    phase: Phase,
    /// How many bytes of the HTTP/2 preface have been read; none once it is anything else.
    preface: Option<usize>,
    /// Since when the client reads nothing of what is written: a refusal would end up within an answer.
    blocked_since: Option<Instant>,
    /// A response went out before its request was read to the end.
    pub(super) request_unread: bool,
    /// What hyper itself refused a request with.
    pub(super) refusal: Option<Problem>,
}

/// A connection's deadlines, shared by its socket, its requests and the task that serves it.
pub(super) struct ConnectionClock {
    options: ServeOptions,
    state: Mutex<State>,
}

impl ConnectionClock {
    pub(super) fn new(options: &ServeOptions) -> Self {
        let phase = Phase::Head(Instant::now() + options.header_timeout);
        Self {
            options: options.clone(),
            state: Mutex::new(State {
                phase,
                preface: Some(0),
                blocked_since: None,
                request_unread: false,
                refusal: None,
            }),
        }
    }

    /// Bytes that a request's header may have.
    pub(super) fn max_header(&self) -> usize {
        self.options.max_header
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes_came(&self, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(seen) = state.preface {
            let rest = &H2_PREFACE[seen..];
            let compared = rest.len().min(bytes.len());
            state.preface = (rest[..compared] == bytes[..compared]).then_some(seen + compared);
            if state.preface == Some(H2_PREFACE.len()) {
                state.phase = Phase::Http2;
                state.preface = None;
            }
        }
        if matches!(state.phase, Phase::Idle(_)) {
            state.phase = Phase::Head(Instant::now() + self.options.header_timeout);
        }
    }

    /// Bytes were written, or the client has taken none of them as yet.
    pub(super) fn wrote(&self, written: &Poll<io::Result<usize>>) {
        let since = &mut self.state().blocked_since;
        match written {
            Poll::Pending => *since = since.or_else(|| Some(Instant::now())),
            Poll::Ready(_) => *since = None,
        }
    }

    pub(super) fn request_began(&self) {
        self.unless_http2(Phase::Busy);
    }

    pub(super) fn response_ended(&self) {
        self.unless_http2(Phase::Idle(Instant::now() + self.options.idle_timeout));
    }

    fn unless_http2(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase != Phase::Http2 {
            state.phase = phase;
        }
    }

    /// Waits for a deadline to pass. No change of phase need wake it: it never sleeps past a deadline set meanwhile.
    pub(super) async fn expired(&self) -> Phase {
        let shortest = self
            .options
            .header_timeout
            .min(self.options.idle_timeout)
            .min(self.options.write_timeout)
            .max(Duration::from_millis(1));
        loop {
            let (phase, blocked_since) = {
                let state = self.state();
                (state.phase, state.blocked_since)
            };
            let now = Instant::now();
            let is_stuck = |since: Instant| now.duration_since(since) >= self.options.write_timeout;
            let wake = match phase {
                // Hyper's pings find out whether the client of an HTTP/2 connection reads.
                Phase::Busy if blocked_since.is_some_and(is_stuck) => return phase,
                Phase::Head(deadline) | Phase::Idle(deadline) if deadline <= now => return phase,
                Phase::Head(deadline) | Phase::Idle(deadline) => deadline.min(now + shortest),
                Phase::Busy => now + shortest,
                Phase::Http2 => std::future::pending().await,
            };
            tokio::time::sleep_until(wake).await;
        }
    }

    /// What is written to a connection at its end: hyper's refusal, or that of a header which did not arrive.
    pub(super) fn refusal(&self, expired: Option<Phase>) -> Option<Problem> {
        let mut state = self.state();
        if state.blocked_since.is_some() {
            return None;
        }
        let timeout = self.options.header_timeout.as_millis();
        state.refusal.take().or_else(|| match expired {
            Some(Phase::Head(_)) => {
                let detail = format!("The request's header did not arrive within {timeout} ms.");
                Some(Problem::new(ErrorCode::HeaderTimeout, detail))
            }
            _ => None,
        })
    }

    /// Whether hyper is writing its own, empty answer to what is no request. The problem written later takes its place.
    pub(super) fn takes_refusal(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if matches!(state.phase, Phase::Busy | Phase::Http2) {
            return false;
        }
        state.refusal = hypers_refusal(bytes, self.options.max_header);
        state.refusal.is_some()
    }
}

/// The problem for hyper's own refusal, if these bytes are one: the app's refusals all have a body.
fn hypers_refusal(bytes: &[u8], max_header: usize) -> Option<Problem> {
    if bytes.len() > HYPERS_REFUSAL {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let code = match head.strip_prefix("http/1.1 ")?.get(..4)? {
        "400 " => ErrorCode::MalformedRequest,
        "414 " | "431 " => ErrorCode::HeadersTooLarge,
        _ => return None,
    };
    let lines = ["\r\nconnection: close\r\n", "\r\ncontent-length: 0\r\n"];
    let empty = head.ends_with("\r\n\r\n") && lines.iter().all(|line| head.contains(line));
    empty.then(|| match code {
        ErrorCode::HeadersTooLarge => {
            let detail = format!(
                "A request's header, its path included, may have {max_header} bytes and {MAX_FIELDS} fields; this \
                    one has more."
            );
            Problem::new(code, detail).limit(max_header as u64)
        }
        _ => Problem::new(code, "What was sent is not a well-formed HTTP request."),
    })
}

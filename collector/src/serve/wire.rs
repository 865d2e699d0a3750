//! A connection's socket as hyper has it, and the clock that both it and the connection's requests set.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::ServeOptions;
use crate::error::{ErrorCode, Problem};

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// More bytes than hyper's own refusals have.
const HYPERS_REFUSAL: usize = 256;
/// Fields of a header that hyper takes over HTTP/1, unless told otherwise.
const MAX_FIELDS: usize = 100;

/// Where a connection is between requests, and until when it may be there.
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
    /// The client does not read what is written: a refusal would end up within an answer.
    write_blocked: bool,
    /// A response went out before its request was read to the end.
    pub(super) request_unread: bool,
    /// What hyper refused a request with, of its own accord.
    refusal: Option<Problem>,
}

/// A connection's deadlines, shared by its socket, its requests and whoever watches over it.
pub(super) struct Clock {
    options: ServeOptions,
    state: Mutex<State>,
}

impl Clock {
    pub(super) fn new(options: ServeOptions) -> Self {
        let phase = Phase::Head(Instant::now() + options.header_timeout);
        let (write_blocked, request_unread, refusal) = (false, false, None);
        Self {
            options,
            state: Mutex::new(State {
                phase,
                preface: Some(0),
                write_blocked,
                request_unread,
                refusal,
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

    fn bytes_came(&self, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(seen) = state.preface {
            let rest = &H2_PREFACE[seen..];
            let compared = rest.len().min(bytes.len());
            state.preface = (rest[..compared] == bytes[..compared]).then_some(seen + compared);
            if state.preface == Some(H2_PREFACE.len()) {
                (state.phase, state.preface) = (Phase::Http2, None);
            }
        }
        if matches!(state.phase, Phase::Idle(_)) {
            state.phase = Phase::Head(Instant::now() + self.options.header_timeout);
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

    /// Waits for a deadline to pass. No phase need wake this: it never sleeps past a deadline that is set meanwhile.
    pub(super) async fn expired(&self) -> Phase {
        let shortest = self
            .options
            .header_timeout
            .min(self.options.idle_timeout)
            .max(Duration::from_millis(1));
        loop {
            let (phase, now) = (self.state().phase, Instant::now());
            let wake = match phase {
                Phase::Head(deadline) | Phase::Idle(deadline) if deadline <= now => return phase,
                Phase::Head(deadline) | Phase::Idle(deadline) => deadline.min(now + shortest),
                Phase::Busy => now + shortest,
                Phase::Http2 => std::future::pending().await,
            };
            tokio::time::sleep_until(wake).await;
        }
    }

    /// What is to be written to a connection at its end: hyper's refusal, or that of a header which did not come.
    pub(super) fn refusal(&self, expired: Option<Phase>) -> Option<Problem> {
        let mut state = self.state();
        if state.write_blocked {
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

    /// Takes hyper's own, empty answer to what is no request out of the way.
    fn takes_refusal(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if matches!(state.phase, Phase::Busy | Phase::Http2) {
            return false;
        }
        state.refusal = hypers_refusal(bytes, self.options.max_header);
        state.refusal.is_some()
    }
}

/// The problem that hyper's answer stands for, where it is one: the app's refusals all have a body.
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
                "A request's header, its path included, may have {max_header} bytes and {MAX_FIELDS} fields; this one has more."
            );
            Problem::new(code, detail).limit(max_header as u64)
        }
        _ => Problem::new(code, "What was sent is not a well-formed HTTP request."),
    })
}

/// The socket as hyper has it.
pub(super) struct Wire {
    pub(super) socket: Arc<Mutex<TcpStream>>,
    pub(super) clock: Arc<Clock>,
}

impl Wire {
    fn socket(&self) -> MutexGuard<'_, TcpStream> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.socket()).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.clock.bytes_came(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.clock.takes_refusal(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut *self.socket()).poll_write(cx, buf);
        self.clock.state().write_blocked = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.clock.state().refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.socket()).poll_shutdown(cx)
    }
}

//! A connection's socket as hyper has it: reads and writes set the connection's clock.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_clock::ConnectionClock;

pub(super) struct Wire<S> {
    pub(super) socket: Arc<Mutex<S>>,
    pub(super) clock: Arc<ConnectionClock>,
}

impl<S> Wire<S> {
    fn socket(&self) -> MutexGuard<'_, S> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.clock.takes_refusal(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut *self.socket()).poll_write(cx, buf);
        self.clock.wrote(&written);
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

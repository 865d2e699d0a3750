//! Bodies that report their end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::connection_clock::ConnectionClock;

/// What the end of a body sets.
pub(super) enum OnEnd {
    Request(Arc<AtomicBool>),
    Response(Arc<ConnectionClock>),
}

/// A body that reports its end: a request's when its last byte is read, a response's when hyper drops it.
pub(super) struct Tracked<B> {
    pub(super) body: B,
    pub(super) on_end: OnEnd,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (OnEnd::Request(unread), true) =
            (&self.on_end, frame.is_none() || self.body.is_end_stream())
        {
            unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        if let OnEnd::Response(clock) = &self.on_end {
            clock.response_ended();
        }
    }
}

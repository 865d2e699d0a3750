//! A future that ends in any case.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that goes on in a task of its own if whoever awaits it goes away. While it is awaited it needs no task.
pub struct Detached<F>(Option<Pin<Box<F>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F: Future<Output: Send> + Send + 'static> Detached<F> {
    pub fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detached<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(future) = &mut self.0 else {
            // Polled again after its end, which no `await` does.
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detached<F> {
    fn drop(&mut self) {
        let Some(future) = self.0.take() else { return };
        // One that panicked cannot go on, and a runtime that ends runs nothing any more.
        if !std::thread::panicking()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_ends_though_nobody_awaits_it() {
        let (go, wait) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let mut detached = Detached::new(async move {
            let went = wait.await.is_ok();
            end.send(went).ok();
        });
        assert!(futures_util::poll!(&mut detached).is_pending());
        drop(detached);
        go.send(()).unwrap();
        assert_eq!(ended.await, Ok(true));
    }

    #[tokio::test]
    async fn it_gives_its_result_to_whoever_awaits_it() {
        assert_eq!(Detached::new(std::future::ready(7)).await, 7);
    }
}

//! The accept loop: HTTP/1.1 and HTTP/2 connections, their deadlines, draining and the hard stop.

mod close;
mod connection_clock;
mod connection_place;
mod connection_slots;
mod header_size;
mod listener;
mod options;
mod tracked_body;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use connection_clock::ConnectionClock;
use connection_slots::{ConnectionSlot, ConnectionSlots};
use tracked_body::{OnEnd, Tracked};
use wire::Wire;

use crate::client_address::{ClientAddress, TrustedProxies};
use crate::refusal_log::{self, RefusedRequest};

pub use connection_place::ConnectionPlace;
pub use listener::Listener;
pub use options::{MAX_TURNED_AWAY, ServeOptions};

/// The delay after an accept that failed, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const H2_PING_EVERY: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves `app` until `drain` or `abort`. It finds the peer as the extension `ConnectInfo<SocketAddr>`, whom the
/// request counts for as [`ClientAddress`], and, over HTTP/1, the place of its connection as [`ConnectionPlace`].
///
/// From `drain` on nothing is accepted, idle connections are closed and requests in flight finish; `abort` ends
/// all at once. Returns when the last connection is gone. An accept that fails is logged and tried again.
pub async fn serve(
    mut listener: impl Listener,
    app: Router,
    options: ServeOptions,
    drain: CancellationToken,
    abort: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let builder = builder(&options);
    let slots = ConnectionSlots::new(&options);
    loop {
        let accepted = tokio::select! {
            biased;
            () = abort.cancelled() => break,
            () = drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let slot = slots.next(peer.ip());
                // Closed here: a flood costs no task each.
                if matches!(slot, ConnectionSlot::Dropped) {
                    continue;
                }
                let connection = Connection {
                    app: app.clone(),
                    peer,
                    proxies: options.trusted_proxies.clone(),
                    clock: Arc::new(ConnectionClock::new(&options)),
                };
                let builder = builder.clone();
                let watcher = graceful.watcher();
                let served = async move {
                    match slot {
                        ConnectionSlot::Served(place) => {
                            let place = ConnectionPlace::new(place);
                            connection.run(stream, builder, watcher, place).await;
                        }
                        ConnectionSlot::TurnedAway(_place, refusal) => {
                            close::turn_away(stream, refusal, ClientAddress::of(peer.ip())).await;
                        }
                        ConnectionSlot::Dropped => {}
                    }
                };
                let abort = abort.clone();
                let connection_timeout = options.connection_timeout;
                tasks.spawn(async move {
                    let served = abort.run_until_cancelled(served);
                    match connection_timeout {
                        Some(timeout) => {
                            if tokio::time::timeout(timeout, served).await.is_err() {
                                tracing::debug!(
                                    ?timeout,
                                    "a connection was cut off: it lived too long"
                                );
                            }
                        }
                        None => drop(served.await),
                    }
                });
            }
            // That connection is gone, which hinders no other.
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await; // sleep: nothing tells when descriptors are free again
            }
        }
    }
    drop(listener);
    tasks.close();
    let _: Option<()> = abort.run_until_cancelled(graceful.shutdown()).await;
    tasks.wait().await;
}

fn builder(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Hyper's own deadline would close without a reply; `ConnectionClock` has the deadline.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .keep_alive(options.keep_alive)
        .max_buf_size(options.max_header.max(8_192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .max_header_list_size(header_size::http2_bound(options.max_header));
    builder
}

/// Whether a failed accept concerns only the connection that was to be accepted.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// One connection, except for its socket.
struct Connection {
    app: Router,
    peer: SocketAddr,
    proxies: TrustedProxies,
    clock: Arc<ConnectionClock>,
}

impl Connection {
    /// Serves until either side closes or a deadline passes.
    async fn run<S>(
        self,
        stream: S,
        builder: auto::Builder<TokioExecutor>,
        watcher: Watcher,
        place: ConnectionPlace,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let clock = self.clock.clone();
        // The socket outlives hyper's hold on it, so that it can still be answered on.
        let socket = Arc::new(Mutex::new(stream));
        let wire = Wire {
            socket: socket.clone(),
            clock: clock.clone(),
        };
        let peer_address = ClientAddress::of(self.peer.ip());
        // Held to the end of this function, unless a request gives it back.
        let of_requests = place.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let address = self.proxies.client(self.peer.ip(), request.headers());
            let is_alone = request.version() != Version::HTTP_2;
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(self.peer));
            extensions.insert(address);
            if is_alone {
                extensions.insert(of_requests.clone());
            }
            answer(self.app.clone(), self.clock.clone(), address, request)
        });
        let served = watcher.watch(
            builder
                .serve_connection(TokioIo::new(wire), service)
                .into_owned(),
        );
        let expired = tokio::select! {
            biased;
            served = served => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection broke off");
                }
                None
            }
            phase = clock.expired() => Some(phase),
        };
        let Some(socket) = Arc::into_inner(socket) else {
            return;
        };
        let stream = socket.into_inner().unwrap_or_else(PoisonError::into_inner);
        let refusal = clock.refusal(expired);
        if refusal.is_some() || clock.state().request_unread {
            close::close(stream, refusal, peer_address).await;
        }
    }
}

/// Has the app answer a request, and tells the clock of it.
async fn answer(
    app: Router,
    clock: Arc<ConnectionClock>,
    address: ClientAddress,
    request: Request<Incoming>,
) -> Result<Response<Tracked<Body>>, Infallible> {
    clock.request_began();
    let http1 = request.version() != Version::HTTP_2;
    let refusal = if http1 {
        None
    } else {
        header_size::too_large(&request, clock.max_header())
    };
    let unread = Arc::new(AtomicBool::new(!request.body().is_end_stream()));
    let method = request.method().clone();
    let place = request.extensions().get::<ConnectionPlace>().cloned();
    let request = request.map(|body| {
        Body::new(Tracked {
            body,
            on_end: OnEnd::Request(unread.clone()),
        })
    });
    let mut response = match refusal {
        Some(refusal) => {
            let request = RefusedRequest {
                route: "none",
                method: method.as_str(),
                address: Some(address),
            };
            refusal_log::log(&refusal, request);
            refusal.into_response()
        }
        None => match app.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
    };
    // What is still to come of the request is not waited for: the client must not send another one after it.
    let is_unread = http1 && unread.load(Ordering::Relaxed);
    if is_unread {
        clock.state().request_unread = true;
    }
    if is_unread || place.is_some_and(|place| place.is_given_back()) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Tracked {
        body,
        on_end: OnEnd::Response(clock),
    }))
}

#[cfg(test)]
mod tests;

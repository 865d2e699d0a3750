//! The accept loop over real sockets, spoken to in bytes.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::routing::{get, post};
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{ErrorCode, Problem};
use tokio::net::{TcpListener, TcpStream};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);
const GET: &str = "GET /quick HTTP/1.1\r\nhost: x\r\n\r\n";

struct Server {
    address: SocketAddr,
    drain: CancellationToken,
    abort: CancellationToken,
    /// Notified when the slow handler begins.
    busy: Arc<Notify>,
    /// Cancelled when a reply without an end is dropped.
    endless_dropped: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self::with(ServeOptions {
            header_timeout,
            idle_timeout,
            max_header: 16 * 1024,
            ..ServeOptions::default()
        })
        .await
    }

    async fn with(options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let busy = Arc::new(Notify::new());
        let begins = busy.clone();
        let slow = || async move {
            begins.notify_one();
            tokio::time::sleep(4 * SHORT).await; // sleep: the handler that outlasts every deadline
            "slow"
        };
        let endless_dropped = CancellationToken::new();
        let dropped = endless_dropped.clone();
        let endless = |Extension(place): Extension<ConnectionPlace>| async move {
            place.give_back();
            let guard = dropped.drop_guard();
            let chunk = Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 65_536]));
            let chunks = stream::repeat(chunk).inspect(move |_| _ = &guard);
            Body::from_stream(chunks)
        };
        let refuse = || async { Problem::new(ErrorCode::BodyTooLarge, "Too large.") };
        let app = Router::new()
            .route(
                "/quick",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
            )
            .route("/slow", get(slow))
            .route(
                "/read",
                post(|body: Bytes| async move { body.len().to_string() }),
            )
            .route("/refuse", post(refuse))
            .route("/endless", get(endless));
        let drain = CancellationToken::new();
        let abort = CancellationToken::new();
        let served = tokio::spawn(serve(listener, app, options, drain.clone(), abort.clone()));
        Self {
            address,
            drain,
            abort,
            busy,
            endless_dropped,
            served,
        }
    }

    /// A connection on which these bytes have been sent.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    async fn ended(self) {
        timeout(LONG, self.served).await.unwrap().unwrap();
    }
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What comes until `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        let byte = timeout(LONG, stream.read_u8()).await.unwrap();
        seen.push(char::from(
            byte.unwrap_or_else(|error| panic!("{error} after {seen:?}")),
        ));
    }
    seen
}

fn assert_problem(answer: &str, status: &str, code: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer:?}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close"), "{answer:?}");
    let body: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(body["code"], code);
}

/// A problem made before there was a request: it has an id of its own.
fn assert_refusal(answer: &str, status: &str, code: &str) {
    assert_problem(answer, status, code);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let id = body["correlation_id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id: {answer:?}"));
    assert!(
        !id.is_empty() && head.contains(&format!("x-correlation-id: {id}")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn keeps_a_connection_for_the_next_request() {
    let server = Server::start(LONG, LONG).await;
    let mut stream = server.send(GET).await;
    let peer = stream.local_addr().unwrap().to_string();
    assert!(
        until(&mut stream, &peer)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    stream
        .write_all(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        .await
        .unwrap();
    assert!(
        !until(&mut stream, "\r\n\r\n3")
            .await
            .contains("connection: close")
    );
    stream
        .write_all(
            GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    assert!(rest(&mut stream).await.ends_with(&peer));
}

#[tokio::test]
async fn a_header_that_does_not_come_is_refused() {
    let server = Server::start(SHORT, LONG).await;
    for sent in ["", "G", "PRI * HT", "GET /quick HTTP/1.1\r\nhost: x\r\n"] {
        let began = Instant::now();
        let answer = rest(&mut server.send(sent).await).await;
        assert_refusal(&answer, "408", "header_timeout");
        assert!(began.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn dripping_does_not_extend_the_deadline() {
    let server = Server::start(SHORT, LONG).await;
    let (mut read, mut write) = server.send("GET /quick HTTP/1.1\r\n").await.into_split();
    let drip = async {
        while write.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await; // sleep: a slow client
        }
    };
    let mut answer = vec![0; 20];
    tokio::select! {
        () = drip => panic!("closed without an answer"),
        read = timeout(LONG, read.read_exact(&mut answer)) => assert_eq!(read.unwrap().unwrap(), 20),
    }
    assert!(answer.starts_with(b"HTTP/1.1 408"));
}

#[tokio::test]
async fn a_later_header_has_its_own_deadline() {
    let server = Server::start(SHORT, 3 * SHORT).await;
    let mut stream = server.send(GET).await;
    let peer = stream.local_addr().unwrap().to_string();
    until(&mut stream, &peer).await;
    tokio::time::sleep(2 * SHORT).await; // sleep: idle for longer than a header may take
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, &peer).await;
    stream.write_all(b"GET /").await.unwrap();
    assert_refusal(&rest(&mut stream).await, "408", "header_timeout");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = Server::start(LONG, SHORT).await;
    let mut stream = server.send(GET).await;
    let peer = stream.local_addr().unwrap().to_string();
    until(&mut stream, &peer).await;
    let began = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() + SHORT / 10 >= SHORT);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let server = Server::start(SHORT, SHORT).await;
    let mut stream = server.send(GET.replace("quick", "slow")).await;
    assert!(
        until(&mut stream, "\r\n\r\nslow")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // The idle deadline is kept after an answer that took several turns, too.
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let server = Server::with(ServeOptions {
        write_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let began = Instant::now();
    let _stream = server.send(GET.replace("quick", "endless")).await;
    let dropped = server.endless_dropped.cancelled();
    timeout(LONG, dropped).await.unwrap();
    assert!(began.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_place_that_is_given_back_serves_another_connection() {
    let server = Server::with(ServeOptions {
        max_connections: 1,
        ..ServeOptions::default()
    })
    .await;
    let mut endless = server.send(GET.replace("quick", "endless")).await;
    let head = until(&mut endless, "\r\n\r\n").await;
    assert!(head.contains("connection: close"), "{head}");
    // The one connection that there may be is another one's now, and it keeps its place.
    let mut other = server.send(GET).await;
    let peer = other.local_addr().unwrap().to_string();
    until(&mut other, &peer).await;
    let mut third = server.send(GET).await;
    assert_refusal(&rest(&mut third).await, "503", "overloaded");
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_problem() {
    let server = Server::start(LONG, LONG).await;
    for sent in [
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
        "GET /quick HTTP/9.9\r\n\r\n",
        "POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
    ] {
        assert_refusal(
            &rest(&mut server.send(sent).await).await,
            "400",
            "malformed_request",
        );
    }
    let large = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(200 * 1024));
    assert_refusal(
        &rest(&mut server.send(large).await).await,
        "431",
        "headers_too_large",
    );
    let mut stream = server.send(GET).await;
    let peer = stream.local_addr().unwrap().to_string();
    until(&mut stream, &peer).await;
    stream.write_all(b"garbage\r\n\r\n").await.unwrap();
    assert_refusal(&rest(&mut stream).await, "400", "malformed_request");
}

#[tokio::test]
async fn a_refusal_reaches_who_is_still_sending() {
    let server = Server::start(LONG, LONG).await;
    let head = "POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n";
    let mut stream = server.send(head).await;
    stream.write_all(&vec![b'x'; 8_000_000]).await.unwrap();
    assert_problem(&rest(&mut stream).await, "413", "body_too_large");
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let server = Server::start(LONG, LONG).await;
    let mut idle = server.send(GET).await;
    let peer = idle.local_addr().unwrap().to_string();
    until(&mut idle, &peer).await;
    let mut fresh = server.send("").await;
    let mut busy = server.send(GET.replace("quick", "slow")).await;
    timeout(LONG, server.busy.notified()).await.unwrap();
    server.drain.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(!server.served.is_finished());
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(rest(&mut busy).await.ends_with("\r\n\r\nslow"));
    server.ended().await;
}

#[tokio::test]
async fn abort_cuts_off() {
    let server = Server::start(LONG, LONG).await;
    let mut busy = server.send(GET.replace("quick", "slow")).await;
    timeout(LONG, server.busy.notified()).await.unwrap();
    let began = Instant::now();
    server.drain.cancel();
    server.abort.cancel();
    server.ended().await;
    assert!(began.elapsed() < 2 * SHORT);
    assert_eq!(rest(&mut busy).await, "");
}

#[tokio::test]
async fn http2_has_no_header_deadline() {
    let server = Server::start(SHORT, SHORT).await;
    let mut stream = server.send(b"PRI * HTTP/2.0\r\n\r\nS").await;
    stream
        .write_all(b"M\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    tokio::time::sleep(3 * SHORT).await; // sleep: longer than every deadline
    stream
        .write_all(b"\0\0\x08\x06\0\0\0\0\0devtrail")
        .await
        .unwrap();
    // The answer is a PING with ACK and the same payload.
    assert!(
        until(&mut stream, "\0\0\x08\x06\x01\0\0\0\0devtrail")
            .await
            .starts_with("\0\0")
    );
    server.drain.cancel();
    let mut goaway = Vec::new();
    timeout(LONG, stream.read_buf(&mut goaway))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(goaway[3], 7, "{goaway:?}");
}

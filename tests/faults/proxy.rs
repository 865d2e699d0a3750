//! A TCP proxy on loopback that cuts, refuses, delays, stalls and half-closes what goes through it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::schedule::ConnectionFault;

/// How much later each piece arrives while connections are slow.
const DELAY: Duration = Duration::from_millis(150);

/// What the connections are to do.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Rises when all are reset.
    cuts: u64,
    /// Rises when the server's side learns that nothing more comes.
    halves: u64,
    refuses: bool,
    delays: bool,
    stalls: bool,
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `server`, as `host:port`.
    pub async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::default());
        let task = tokio::spawn(accept(listener, server.to_owned(), state.subscribe()));
        Self {
            address,
            state,
            task,
        }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Begins a failure, or does what is over at once.
    pub fn begin(&self, fault: ConnectionFault) {
        self.state.send_modify(|state| match fault {
            ConnectionFault::Cut => state.cuts += 1,
            ConnectionFault::Refuse => (state.cuts, state.refuses) = (state.cuts + 1, true),
            ConnectionFault::Delay => state.delays = true,
            ConnectionFault::Stall => state.stalls = true,
            ConnectionFault::HalfClose => state.halves += 1,
        });
    }

    /// Ends whatever failure there is.
    pub fn end(&self) {
        self.state.send_modify(|state| {
            *state = State {
                cuts: state.cuts,
                halves: state.halves,
                ..State::default()
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        // Small messages go at once, as they do without a proxy.
        let _ = client.set_nodelay(true);
        tokio::spawn(connection(client, server.clone(), state.clone()));
    }
}

async fn connection(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let cuts = state.borrow_and_update().cuts;
    if state.borrow().refuses {
        return;
    }
    // A server that is down resets its client: by dropping the connection.
    let Ok(mut server) = TcpStream::connect(&server).await else {
        return;
    };
    let _ = server.set_nodelay(true);
    let was_cut = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pipe(from_client, to_server, state.clone(), true);
        let back = pipe(from_server, to_client, state.clone(), false);
        tokio::select! {
            // A proxy that is dropped with its test ends its connections as well.
            _ = state.wait_for(|state| state.cuts != cuts) => true,
            _ = async { tokio::join!(there, back) } => false,
        }
    };
    if was_cut {
        // Reset, not closed in order: what is under way is gone.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Carries bytes one way until that way is closed.
async fn pipe(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut state: watch::Receiver<State>,
    to_server: bool,
) {
    let halves = state.borrow().halves;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            _ = state.wait_for(|state| to_server && state.halves != halves) => 0,
        };
        if state.borrow().delays {
            tokio::time::sleep(DELAY).await; // sleep: a slow network
        }
        // An error is the proxy's end: nothing is to be carried any more.
        let moving = state.wait_for(|state| !state.stalls).await.is_ok();
        if read == 0 || !moving || to.write_all(&piece[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

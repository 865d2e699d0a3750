//! The end of a connection that is refused or whose request was not read to its end.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::client_address::ClientAddress;
use crate::problem::Problem;
use crate::refusal_log::{self, RefusedRequest};

/// How long a connection that is closed on a client still sending is read on, so that it gets to read its answer.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to read a refusal.
const REFUSAL: Duration = Duration::from_secs(1);

/// Writes a refusal, if there is one, and reads on for a while what is still being sent.
pub(super) async fn close<S>(mut stream: S, refusal: Option<Problem>, address: ClientAddress)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(refusal) = refusal {
        // There was no request that could have brought an id.
        let refusal = refusal.correlation_id(types::id::correlation_id(None));
        let request = RefusedRequest {
            route: "none",
            method: "none",
            address: Some(address),
        };
        refusal_log::log(&refusal, request);
        let sent = async {
            stream.write_all(&refusal.to_raw_http1()).await?;
            stream.shutdown().await
        };
        let Ok(Ok(())) = timeout(REFUSAL, sent).await else {
            return;
        };
    }
    // Closed with bytes unread the kernel resets, and the client may lose the answer.
    let read_on = async { while matches!(stream.read(&mut [0; 8_192]).await, Ok(1..)) {} };
    let _: Result<(), _> = timeout(LINGER, read_on).await;
}

/// Refuses a connection beyond a bound, once its client has begun to send.
/// To a client that has asked nothing yet, an answer is a broken protocol.
pub(super) async fn turn_away<S>(mut stream: S, refusal: Problem, address: ClientAddress)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let begun = timeout(REFUSAL, stream.read(&mut [0; 1_024])).await;
    if matches!(begun, Ok(Ok(1..))) {
        close(stream, Some(refusal), address).await;
    }
}

//! The end of a connection that is refused or whose request was not read to its end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{ErrorCode, Problem};

/// How long a connection that is closed on a client still sending is read on, so that it gets to read its answer.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to read a refusal.
const REFUSAL: Duration = Duration::from_secs(1);

/// Writes a refusal, where there is one, and reads on for a while what is still being sent.
pub(super) async fn close(mut stream: TcpStream, refusal: Option<Problem>) {
    if let Some(refusal) = refusal {
        // There was no request to take an id over from.
        let refusal = refusal.correlation_id(types::id::correlation_id(None));
        tracing::debug!(%refusal, correlation_id = refusal.correlation_id, "a connection was refused");
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

/// Refuses a connection that is one too many, once its client has begun to speak: to a client that has
/// asked nothing yet, an answer is a broken protocol.
pub(super) async fn turn_away(mut stream: TcpStream, max_connections: usize) {
    let begun = timeout(REFUSAL, stream.read(&mut [0; 1_024])).await;
    if !matches!(begun, Ok(Ok(1..))) {
        return;
    }
    let detail = format!(
        "This collector has {max_connections} connections, its limit (--max-connections). Send again later, or to another one."
    );
    close(
        stream,
        Some(Problem::new(ErrorCode::Overloaded, detail).limit(max_connections as u64)),
    )
    .await;
}

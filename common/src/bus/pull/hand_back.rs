//! What a request brought and nobody has begun is given back when the process stops.

use std::time::Duration;

use async_nats::jetstream::{AckKind, consumer::pull::Batch};
use futures_util::StreamExt;
use tokio::time::timeout;

/// A request that brings nothing for this long while there is something to bring has brought all.
pub const QUIET: Duration = Duration::from_millis(100);

/// Gives back the messages of an open request, so that they need not wait for their `ack_wait`.
///
/// All are taken in before the first is given back: the open request would get it again.
///
/// # Errors
/// Where the connection is gone; the server delivers them again after `ack_wait`.
pub async fn hand_back(mut messages: Batch) -> Result<(), async_nats::Error> {
    let mut back = Vec::new();
    // An error is the request's end; what came before it is given back all the same.
    while let Ok(Some(Ok(message))) = timeout(QUIET, messages.next()).await {
        back.push(message);
    }
    tracing::debug!(messages = back.len(), "handing back what was not begun");
    // The request ends with its subscription.
    drop(messages);
    for message in back {
        // With a delay, if of nothing: the server writes that down, and forgets a plain one when it restarts.
        message.ack_with(AckKind::Nak(Some(Duration::ZERO))).await?;
    }
    Ok(())
}

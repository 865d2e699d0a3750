//! One pull request: the messages it brings, when it has brought all, and what is returned on shutdown.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::connection::{connects, reconnected};

/// A request that brings nothing for this long while there are messages has brought all.
const QUIET: Duration = Duration::from_millis(100);
/// How a request ends if the next message is larger than what is left of its bytes (NATS ADR-13, 409).
const NO_MORE_FIT: &str = "Message Size Exceeds MaxBytes";

/// A pull request that the server has, or is to get.
pub struct PullRequest {
    messages: Batch,
    client: Client,
    /// How often the client had connected when it was sent.
    sent_over: Option<u64>,
    is_broken: bool,
}

impl PullRequest {
    /// A request whose messages come over a connection of `client`.
    pub fn new(messages: Batch, client: Client) -> Self {
        Self {
            messages,
            client,
            sent_over: None,
            is_broken: false,
        }
    }

    /// The next message; `None` if no more comes. A request seldom outlives its connection: if that broke, what came
    /// before is returned, and a new request is to be made.
    pub async fn next(&mut self) -> Option<Result<Message, async_nats::Error>> {
        let sent_over = match self.sent_over {
            Some(sent_over) => sent_over,
            None => {
                // Sent before it is counted how often the client has connected: over the present connection.
                if let Err(error) = self.client.flush().await {
                    return Some(Err(error.into()));
                }
                *self.sent_over.insert(connects(&self.client))
            }
        };
        if !self.is_broken {
            tokio::select! {
                biased;
                message = self.messages.next() => return fitting(message),
                () = reconnected(&self.client, sent_over) => self.is_broken = true,
            }
        }
        fitting(timeout(QUIET, self.messages.next()).await.unwrap_or(None))
    }

    /// Returns its messages to the server, so that they need not wait for their `ack_wait`.
    ///
    /// All are received before the first is returned: the open request would get it again.
    ///
    /// # Errors
    /// Returns an error if the connection is gone; the server delivers the messages again after `ack_wait`.
    pub async fn return_all(mut self) -> Result<(), async_nats::Error> {
        let mut returned = Vec::new();
        // An error is the request's end; what came before it is returned all the same.
        while let Ok(Some(Ok(message))) = timeout(QUIET, self.messages.next()).await {
            returned.push(message);
        }
        tracing::debug!(messages = returned.len(), "returning what was not begun");
        // The request ends with its subscription.
        drop(self.messages);
        for message in returned {
            // With a delay, if only of zero: the server stores that, and forgets a plain nak when it restarts.
            message.ack_with(AckKind::Nak(Some(Duration::ZERO))).await?;
        }
        Ok(())
    }
}

/// That no more fit is no error: the rest comes with the next request.
fn fitting(
    message: Option<Result<Message, async_nats::Error>>,
) -> Option<Result<Message, async_nats::Error>> {
    message.filter(|message| {
        message
            .as_ref()
            .err()
            .is_none_or(|end| !end.to_string().contains(NO_MORE_FIT))
    })
}

//! One request for messages: what it brings, when it has brought all, and what is given back when the process stops.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::{connects, reconnected};

/// A request that brings nothing for this long while there is something to bring has brought all.
const QUIET: Duration = Duration::from_millis(100);
/// What a request ends with where the next message is larger than what is left of its bytes (NATS ADR-13, 409).
const NO_MORE_FIT: &str = "Message Size Exceeds MaxBytes";

/// A request that the server has, or is to get.
pub struct Request {
    messages: Batch,
    client: Client,
    /// How often the client had connected when it was sent.
    sent_over: Option<u64>,
    is_broken: bool,
}

impl Request {
    /// One whose messages come over a connection of `client`.
    pub fn new(messages: Batch, client: Client) -> Self {
        Self {
            messages,
            client,
            sent_over: None,
            is_broken: false,
        }
    }

    /// The next message; `None` where no more comes. A request seldom outlives its connection: where that broke,
    /// what came before is brought, and it is to be asked anew.
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

    /// Gives back its messages, so that they need not wait for their `ack_wait`.
    ///
    /// All are taken in before the first is given back: the open request would get it again.
    ///
    /// # Errors
    /// Where the connection is gone; the server delivers them again after `ack_wait`.
    pub async fn hand_back(mut self) -> Result<(), async_nats::Error> {
        let mut back = Vec::new();
        // An error is the request's end; what came before it is given back all the same.
        while let Ok(Some(Ok(message))) = timeout(QUIET, self.messages.next()).await {
            back.push(message);
        }
        tracing::debug!(messages = back.len(), "handing back what was not begun");
        // The request ends with its subscription.
        drop(self.messages);
        for message in back {
            // With a delay, if of nothing: the server writes that down, and forgets a plain one when it restarts.
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

//! One subscription of a queue group: each message is handled, each query gets a reply.

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::StoreError;
use types::query::{QUEUE, QueryReply};

/// A reply leaves this much of NATS's `max_payload` free.
const MARGIN: usize = 1024;

/// Why a query is not answered. Its sender gets it as the reply, and it is logged.
#[derive(Debug, thiserror::Error)]
pub enum QueryFailure {
    #[error("the query cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Damaged(String),
    #[error("the query names {0}, which is none")]
    BadName(&'static str),
    #[error("the reply has {0} bytes, NATS takes {1}: ask for less")]
    TooLarge(usize, usize),
}

/// The query or note in a message.
///
/// # Errors
/// Returns `QueryFailure::Unreadable` if the payload is not the JSON of a `T`.
pub fn read<T: DeserializeOwned>(message: &Message) -> Result<T, QueryFailure> {
    Ok(serde_json::from_slice(&message.payload)?)
}

/// What subscribes and replies.
pub struct Responder {
    client: Client,
    retry: RetryPolicy,
    shutdown: Shutdown,
}

impl Responder {
    /// Subscriptions that break are renewed after `retry`'s delays.
    pub fn new(client: Client, retry: RetryPolicy, shutdown: Shutdown) -> Self {
        Self {
            client,
            retry,
            shutdown,
        }
    }

    /// The shutdown that ends its subscriptions.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Hands each message on `subject` to `handle`, at most `limit` at a time, until the process stops.
    /// Draining, it takes no new ones and finishes those in flight.
    pub async fn each<F: Future<Output = ()>>(
        &self,
        subject: &'static str,
        limit: usize,
        handle: impl Fn(Message) -> F,
    ) {
        let shutdown = &self.shutdown;
        let mut backoff = self.retry.backoff(shutdown);
        loop {
            let subscribed = self.client.queue_subscribe(subject, QUEUE.to_owned());
            match subscribed.await {
                Ok(subscriber) => tokio::select! {
                    () = until_ended(subscriber, limit, shutdown, &handle) => {}
                    () = shutdown.aborted() => tracing::warn!(subject, "queries are left without a reply"),
                },
                Err(error) => tracing::warn!(subject, %error, "queries cannot be subscribed to"),
            }
            if shutdown.is_draining() {
                return;
            }
            tracing::warn!(subject, attempt = backoff.attempt(), "subscribing again");
            if !backoff.wait().await {
                return;
            }
        }
    }

    /// Sends the reply, or why there is none.
    pub async fn reply<T: Serialize>(&self, message: Message, reply: Result<T, QueryFailure>) {
        let Some(inbox) = message.reply else {
            tracing::debug!(subject = %message.subject, "a query without a reply subject is ignored");
            return;
        };
        let max_payload = self.client.server_info().max_payload;
        let bytes = bounded(reply, max_payload.saturating_sub(MARGIN));
        if let Err(error) = self.client.publish(inbox, bytes).await {
            tracing::warn!(subject = %message.subject, %error, "a reply could not be sent");
        }
    }
}

async fn until_ended<F: Future<Output = ()>>(
    mut subscriber: Subscriber,
    limit: usize,
    shutdown: &Shutdown,
    handle: &impl Fn(Message) -> F,
) {
    let mut in_flight = FuturesUnordered::new();
    let mut is_open = true;
    let mut is_draining = false;
    while is_open || !in_flight.is_empty() {
        tokio::select! {
            message = subscriber.next(), if is_open && in_flight.len() < limit => match message {
                Some(message) => in_flight.push(handle(message)),
                None => is_open = false,
            },
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
            () = shutdown.draining(), if !is_draining => {
                is_draining = true;
                // What the server has sent already still comes, then the subscription ends.
                if let Err(error) = subscriber.drain().await {
                    tracing::debug!(%error, "the subscription was closed");
                    is_open = false;
                }
            }
        }
    }
}

/// The reply as it is sent; one larger than `limit` becomes an error.
fn bounded<T: Serialize>(reply: Result<T, QueryFailure>, limit: usize) -> Bytes {
    let encoded = reply.and_then(|reply| {
        let bytes = serde_json::to_vec(&QueryReply::Ok(reply))?;
        if bytes.len() > limit {
            Err(QueryFailure::TooLarge(bytes.len(), limit))
        } else {
            Ok(bytes)
        }
    });
    let bytes = encoded.unwrap_or_else(|error| {
        tracing::warn!(%error, "a query is not answered");
        let reason = types::json::shorten(&error.to_string(), 500);
        serde_json::to_vec(&QueryReply::<()>::Unavailable(reason))
            .expect("a text is written as JSON")
    });
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::query::BatchQuery;

    #[test]
    fn a_query_that_cannot_be_answered_gets_the_reason() {
        let unreadable = serde_json::from_str::<BatchQuery>("{").unwrap_err();
        let failed: [Result<Vec<u8>, QueryFailure>; 3] = [
            Err(unreadable.into()),
            Err(StoreError::Unavailable("busy".to_owned()).into()),
            Ok(vec![7; 100]),
        ];
        let reasons = failed.map(|reply| {
            let bytes = bounded(reply, 100);
            match serde_json::from_slice(&bytes).unwrap() {
                QueryReply::<Vec<u8>>::Unavailable(reason) => reason,
                QueryReply::Ok(reply) => panic!("{reply:?}"),
            }
        });
        assert!(
            reasons[0].contains("cannot be read") && reasons[1].contains("busy"),
            "{reasons:?}"
        );
        assert!(reasons[2].contains("NATS takes 100"), "{reasons:?}");
        assert_eq!(bounded(Ok(Some(1)), 100), r#"{"ok":1}"#);
        assert_eq!(bounded(Ok(None::<u8>), 100), r#"{"ok":null}"#);
    }
}

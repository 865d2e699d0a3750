//! Publishing to the stream DEAD: a message that its consumer could not handle, whole, before it is terminated.

use std::time::Duration;

use async_nats::jetstream::{self, message::PublishMessage};
use async_nats::{HeaderMap, header};

use crate::pull::Delivery;
use types::dead_letter::DeadLetter;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes `message` to DEAD and awaits the PubAck. Only then may it be terminated: in a work queue
/// that deletes it.
///
/// # Errors
/// Returns an error if the stream DEAD does not confirm it.
pub(super) async fn publish(
    js: &jetstream::Context,
    message: &Delivery,
    letter: &DeadLetter,
) -> Result<(), async_nats::Error> {
    let mut headers = own_headers(&message.headers);
    for (name, value) in letter.headers() {
        headers.insert(name, value);
    }
    let DeadLetter {
        stream, consumer, ..
    } = letter;
    headers.insert(
        header::NATS_MESSAGE_ID,
        format!(
            "{stream}:{consumer}:{}:{}",
            message.seq, message.published_at
        ),
    );
    let publish = PublishMessage::build()
        .payload(message.payload.clone())
        .headers(headers);
    let ack = js.send_publish(letter.dead_subject(), publish).await?;
    tokio::time::timeout(ACK_TIMEOUT, ack).await??;
    Ok(())
}

/// The message's own headers without those that the server would obey (`Nats-…`): DEAD has a deduplication of its
/// own, and the message id is kept under another name.
fn own_headers(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    for (name, values) in headers.iter() {
        if !name.to_string().to_ascii_lowercase().starts_with("nats-") {
            values
                .iter()
                .for_each(|value| own.append(name.clone(), value.clone()));
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_to_the_server_is_carried_over() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Nats-Msg-Id", "1:2:alert"),
            ("Nats-Rollup", "all"),
            ("nats-expected-stream", "EVENTS"),
            ("traceparent", "00-1"),
        ] {
            headers.append(name, value);
        }
        let own = own_headers(&headers);
        assert_eq!(own.len(), 1, "{own:?}");
        assert_eq!(own.get("traceparent").unwrap().as_str(), "00-1");
    }
}

//! Reading the stream DEAD.

use async_nats::HeaderMap;
use harness::{Deployment, until};

/// One dead letter.
#[derive(Debug)]
pub struct Dead {
    pub subject: String,
    headers: HeaderMap,
    pub payload: Vec<u8>,
}

impl Dead {
    /// A header that it must have.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .as_str()
    }

    /// A header that it may have.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    /// Its sequence in its own stream.
    pub fn sequence(&self) -> &str {
        self.header("Devtrail-Stream-Sequence")
    }
}

/// How many there are.
pub async fn count(deployment: &Deployment) -> u64 {
    deployment.streams().await.messages("DEAD").await
}

/// Sets the stream's bound.
pub async fn set_bytes(deployment: &Deployment, max_bytes: i64) {
    let streams = deployment.streams().await;
    streams
        .edit("DEAD", |config| config.max_bytes = max_bytes)
        .await;
}

/// Waits for so many; gives them in the order they came.
pub async fn dead_letters(deployment: &Deployment, wanted: usize) -> Vec<Dead> {
    let stream = deployment.js().await.get_stream("DEAD").await.unwrap();
    let arrived = async || {
        let messages = stream.get_info().await.ok()?.state.messages;
        (messages >= wanted as u64).then_some(messages)
    };
    let messages = until("the poison is in DEAD", arrived).await;
    let mut dead_letters = Vec::new();
    for seq in 1..=messages {
        let message = stream.get_raw_message(seq).await.unwrap();
        dead_letters.push(Dead {
            subject: message.subject.to_string(),
            headers: message.headers,
            payload: message.payload.to_vec(),
        });
    }
    dead_letters
}

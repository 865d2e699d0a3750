//! The REPLAY message: which message of EVENTS, or which stored batch, is to be handled again.

use serde::{Deserialize, Serialize};

use crate::id::BatchRef;

/// The subject of pointers.
pub const SUBJECT: &str = "replay.batch";

/// What is to be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayTarget {
    /// Storing, and the jobs of what that brings.
    Persist,
    /// The aggregate job.
    Aggregate,
    /// The normalize job.
    Normalize,
    /// The alert job.
    Alert,
}

/// The source that the batch is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaySource {
    /// The stream EVENTS.
    Stream,
    /// The store.
    Store,
}

/// One pointer. Its payload is small whatever the batch: the batch is read from its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPointer {
    /// The replay it belongs to; `None` for a redrive, which is handled as live traffic.
    pub replay_id: Option<String>,
    /// The batch.
    #[serde(flatten)]
    pub at: BatchRef,
    /// What is to be done.
    pub targets: Vec<ReplayTarget>,
    /// The source that the batch is read from.
    pub source: ReplaySource,
}

impl ReplayPointer {
    /// The redrive of a message of EVENTS.
    #[must_use]
    pub fn redrive(at: BatchRef) -> Self {
        Self {
            replay_id: None,
            at,
            targets: vec![ReplayTarget::Persist],
            source: ReplaySource::Stream,
        }
    }

    /// Whether it is a [`ReplayPointer::redrive`].
    #[must_use]
    pub fn is_redrive(&self) -> bool {
        *self == Self::redrive(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers of other versions read it.
    #[test]
    fn a_redrive_is_written_as_the_contract_says() {
        let pointer = ReplayPointer::redrive(BatchRef { src: 2, seq: 4711 });
        let text =
            r#"{"replay_id":null,"src":2,"seq":4711,"targets":["persist"],"source":"stream"}"#;
        assert_eq!(serde_json::to_string(&pointer).unwrap(), text);
        assert_eq!(
            serde_json::from_str::<ReplayPointer>(text).unwrap(),
            pointer
        );
        assert!(pointer.is_redrive());
        assert!(
            !ReplayPointer {
                replay_id: Some("r".to_owned()),
                ..pointer
            }
            .is_redrive()
        );
    }
}

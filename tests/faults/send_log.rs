//! What was sent, and what was acknowledged. The oracle believes nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::Engine;
use serde_json::Value;

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Stored once for its developer and id.
    Sound,
    /// Kept among the refused, with this code, for every submission.
    Refused(&'static str),
}

/// One event as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: String,
    /// Its exact bytes.
    pub text: String,
    /// What must become of it.
    pub expected: Expected,
}

/// One batch; sent as often as it takes, and sometimes again.
#[derive(Debug, Clone)]
pub struct Batch {
    pub developer: String,
    /// Its batch id: never that of other events.
    pub id: String,
    /// Its events in their order.
    pub events: Vec<Sent>,
}

/// A 2xx reply.
#[derive(Debug, Clone)]
pub struct Ack {
    /// Place of its batch in [`Log::batches`].
    pub batch: usize,
    /// The stream sequence it names.
    pub sequence: i64,
}

/// Everything the clients did and were answered.
#[derive(Debug, Default)]
pub struct Log {
    /// All batches that were ever sent.
    pub batches: Vec<Batch>,
    /// All 2xx replies.
    pub acks: Vec<Ack>,
    /// Sequences of messages that the harness put into EVENTS although they are no batches.
    pub garbage: Vec<i64>,
    /// Attempts.
    pub requests: u64,
    /// Attempts that were not the first of their batch's submission.
    pub retries: u64,
    /// Batches sent again on purpose.
    pub resends: u64,
    /// Replies by status and code; `none` if there was none.
    pub replies: BTreeMap<String, u64>,
    /// The longest that one batch took from its first attempt to its acknowledgment.
    pub longest: Duration,
    /// 2xx replies in each second since the load began.
    pub pace: Vec<u32>,
    /// How the longest wait went.
    pub longest_story: String,
    /// Replies that break the contract.
    pub broken: Vec<String>,
}

impl Log {
    /// Whether every batch has its acknowledgment.
    pub fn unacknowledged(&self) -> Vec<&Batch> {
        let acked: std::collections::BTreeSet<usize> =
            self.acks.iter().map(|ack| ack.batch).collect();
        let open = self
            .batches
            .iter()
            .enumerate()
            .filter(|(place, _)| !acked.contains(place));
        open.map(|(_, batch)| batch).collect()
    }

    /// Notes a 2xx reply, and whether it says what it should.
    pub fn acknowledge(&mut self, place: usize, reply: &Value) {
        let batch = &self.batches[place];
        let count = |name: &str| reply["counts"][name].as_u64().unwrap_or(u64::MAX);
        let parts = ["accepted", "duplicate", "rejected", "quarantined"].map(count);
        let refused = |code: &'static str| {
            batch
                .events
                .iter()
                .filter(|event| event.expected == Expected::Refused(code))
                .count() as u64
        };
        // With `stored`, ids that other batches hold are duplicates or conflicts; rejected ones never change.
        let sound = count("received") == batch.events.len() as u64
            && parts
                .iter()
                .fold(0_u64, |sum, part| sum.saturating_add(*part))
                == count("received")
            && count("rejected") == refused("schema_invalid")
            && (reply["durability"] == "stored" || count("quarantined") == refused("type_unknown"))
            && reply["batch_id"] == batch.id.as_str();
        let sequence = reply["stream_sequence"].as_i64();
        if !sound || sequence.is_none() {
            self.broken.push(format!(
                "the reply to {} of {} is {reply}",
                batch.id, batch.developer
            ));
        }
        self.acks.push(Ack {
            batch: place,
            sequence: sequence.unwrap_or_default(),
        });
    }
}

/// `sqlite` or `postgres`.
pub fn name(engine: Engine) -> &'static str {
    if engine == Engine::Sqlite {
        "sqlite"
    } else {
        "postgres"
    }
}

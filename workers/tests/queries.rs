//! The query responder on a real nats-server: every query gets a reply, audit notes wait for their batch.
//!
//! The store is a stub here; `tests/promises` shows the same with a real one.

#[path = "../../collector/tests/stored/nats.rs"]
mod nats;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Client;
use nats::Nats;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde::de::DeserializeOwned;
use serde_json::json;
use store::{
    Account, AuditEntry, Clue, Computed, History, QueryReads, StoreError, StoredAlert, StoredBatch,
    StoredCounts, StoredDay, Submission, Totals, VerifyReads,
};
use types::id::{BatchRef, MessageIdentity, Src};
use types::job::{BatchState, Mask};
use types::query::{
    BATCH, BatchQuery, DayReply, METRICS, MetricsQuery, QueryReply, RESEND_NOTES, ResendNote,
    StoredReply, SubmissionReply,
};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Counts;
use workers::query_responder;

/// A store that knows batch `b1` of `ada`, at sequence 1 of its one stream.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    attempts: u32,
    notes: Vec<ResendNote>,
}

fn incarnation(created: Micros) -> StreamIncarnation {
    StreamIncarnation {
        name: "EVENTS".to_owned(),
        created,
    }
}

fn identity() -> MessageIdentity {
    MessageIdentity {
        developer: "ada".to_owned(),
        batch_id: "b1".to_owned(),
        message_id: "ada:0:b1:0123456789abcdef".to_owned(),
    }
}

fn batch(seq: u64) -> Submission {
    Submission {
        at: BatchRef { src: 1, seq },
        developer: "ada".to_owned(),
        batch_id: "b1".to_owned(),
        message_id: identity().message_id,
        correlation_id: "c1".to_owned(),
        state: BatchState::Persisted,
        masks: [Mask::ALL, Mask::NONE, Mask::NONE],
        counts: Counts {
            received: 1,
            accepted: 1,
            ..Counts::default()
        },
        received_at: 0,
        published_at: 0,
        persisted_at: 0,
    }
}

impl VerifyReads for Known {
    async fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        Ok(Some(incarnation.created).filter(|src| (1..=2).contains(src)))
    }

    async fn incarnation(&self, src: Src) -> Result<Option<StreamIncarnation>, StoreError> {
        Ok((1..=2).contains(&src).then(|| incarnation(src)))
    }

    async fn accounts(&self, _: Src, _: u64, _: u64) -> Result<Vec<Account>, StoreError> {
        Ok(Vec::new())
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn explained(&self, _: Src, _: u64, _: u64) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }

    async fn is_adopted(&self, _: Src) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(Totals::default())
    }
}

impl QueryReads for Known {
    async fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> Result<Vec<Submission>, StoreError> {
        match (developer.as_str(), batch_id.as_str()) {
            ("ada", "b1") => Ok(vec![batch(1), batch(2)]),
            ("ada", "many") => Ok((1..=1500).map(batch).collect()),
            ("ada", "busy") => Err(StoreError::Unavailable("busy".to_owned())),
            _ => Ok(Vec::new()),
        }
    }

    async fn stored(
        &self,
        _: StreamIncarnation,
        seq: u64,
        _: MessageIdentity,
    ) -> Result<Option<StoredBatch>, StoreError> {
        Ok((seq <= 2).then(|| StoredBatch {
            first: batch(1),
            not_accepted: Vec::new(),
        }))
    }

    async fn days(
        &self,
        _: String,
        from: String,
        to: String,
    ) -> Result<Vec<StoredDay>, StoreError> {
        let stored = |day, body: &str| StoredDay {
            day,
            metrics: Computed {
                generation: 1,
                version: 1,
                body: body.to_owned(),
            },
        };
        let last = if to == "bad" { "3" } else { "{}" };
        Ok(vec![stored(from, r#"{"edits":3}"#), stored(to, last)])
    }

    async fn day_counts(
        &self,
        _: String,
        from: String,
        _: String,
    ) -> Result<Vec<StoredCounts>, StoreError> {
        let counts = "{}".to_owned();
        Ok(vec![StoredCounts { day: from, counts }])
    }

    async fn first_day(&self, _: String, from: String) -> Result<Option<String>, StoreError> {
        Ok(Some(from))
    }

    async fn developers(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn alerts(&self, _: Option<String>, _: u32) -> Result<Vec<StoredAlert>, StoreError> {
        Ok(Vec::new())
    }
}

impl History for Known {
    async fn find(&self, _: Clue, _: u32) -> Result<Vec<Submission>, StoreError> {
        Ok(Vec::new())
    }

    async fn audit(&self, _: BatchRef) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }

    /// Stores its batch between the second and the third try.
    async fn record_resend(&self, note: ResendNote) -> Result<bool, StoreError> {
        let mut noted = self.0.lock().expect("no test panicked");
        noted.attempts += 1;
        match noted.attempts {
            1 => Err(StoreError::Unavailable("busy".to_owned())),
            2 => Ok(false),
            _ => {
                noted.notes.push(note);
                Ok(true)
            }
        }
    }
}

async fn query<T: DeserializeOwned>(
    client: &Client,
    subject: &'static str,
    query: &impl serde::Serialize,
) -> QueryReply<T> {
    let query: bytes::Bytes = serde_json::to_vec(query).expect("a query is JSON").into();
    for _ in 0..500 {
        match client.request(subject, query.clone()).await {
            Ok(reply) => return serde_json::from_slice(&reply.payload).expect("a reply is JSON"),
            // The worker has not subscribed yet.
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: nothing tells when it has
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nobody replies on {subject}")
}

fn ok<T: std::fmt::Debug>(reply: QueryReply<T>) -> T {
    match reply {
        QueryReply::Ok(reply) => reply,
        QueryReply::Unavailable(reason) => panic!("unavailable: {reason}"),
    }
}

fn unavailable<T: std::fmt::Debug>(reply: QueryReply<T>) -> String {
    match reply {
        QueryReply::Unavailable(reason) => reason,
        QueryReply::Ok(reply) => panic!("a reply: {reply:?}"),
    }
}

fn submissions_of(batch_id: &str) -> BatchQuery {
    BatchQuery::Submissions {
        developer: "ada".to_owned(),
        batch_id: batch_id.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_about_batches_and_days_gets_a_reply() {
    let nats = Nats::start().await;
    let client = async_nats::connect(nats.address("nats")).await.unwrap();
    let store = Known::default();
    let shutdown = Shutdown::manual(Duration::from_secs(10));
    let batches = tokio::spawn(query_responder::batches(
        client.clone(),
        store.clone(),
        "w/1".to_owned(),
        RetryPolicy::DEFAULT,
        shutdown.clone(),
    ));
    let metrics = tokio::spawn(query_responder::metrics(
        client.clone(),
        store,
        RetryPolicy::DEFAULT,
        shutdown.clone(),
    ));
    let found: Vec<SubmissionReply> = ok(query(&client, BATCH, &submissions_of("b1")).await);
    assert_eq!(
        found
            .iter()
            .map(|one| one.stream_sequence.seq)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let many: Vec<SubmissionReply> = ok(query(&client, BATCH, &submissions_of("many")).await);
    assert_eq!(
        (
            many.len(),
            many[0].stream_sequence.seq,
            many[999].stream_sequence.seq
        ),
        (1000, 501, 1500)
    );
    assert_eq!(
        ok::<Vec<SubmissionReply>>(query(&client, BATCH, &submissions_of("b2")).await),
        []
    );
    let busy: QueryReply<Vec<SubmissionReply>> =
        query(&client, BATCH, &submissions_of("busy")).await;
    assert!(unavailable(busy).contains("busy"));
    let stored = async |created, seq| {
        let stored = BatchQuery::Stored {
            incarnation: incarnation(created),
            seq,
            message: identity(),
        };
        let found: Option<StoredReply> = ok(query(&client, BATCH, &stored).await);
        found.map(|reply| (reply.stream_sequence.seq, reply.duplicate_batch))
    };
    assert_eq!(stored(1, 1).await, Some((1, false)));
    assert_eq!(stored(1, 2).await, Some((1, true)));
    // The same sequence of another incarnation is another message.
    assert_eq!(stored(2, 1).await, Some((1, true)));
    assert_eq!((stored(1, 3).await, stored(9, 1).await), (None, None));
    let strange: QueryReply<Vec<SubmissionReply>> =
        query(&client, BATCH, &json!({"weather": {}})).await;
    assert!(unavailable(strange).contains("cannot be read"));
    let days = |to: &str| MetricsQuery {
        developer: "ada".into(),
        from: "2026-03-01".into(),
        to: to.into(),
        ..MetricsQuery::default()
    };
    let found: Vec<DayReply> = ok(query(&client, METRICS, &days("2026-03-02")).await);
    assert_eq!(
        (found[0].metrics["edits"].as_u64(), found[1].day.as_str()),
        (Some(3), "2026-03-02")
    );
    assert!(
        unavailable(query::<Vec<DayReply>>(&client, METRICS, &days("bad")).await).contains("bad")
    );
    shutdown.begin();
    batches.await.unwrap();
    metrics.await.unwrap();
    let gone = client.request(BATCH, "{}".into()).await.unwrap_err();
    assert_eq!(gone.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_written_once_its_batch_is_stored() {
    let nats = Nats::start().await;
    let client = async_nats::connect(nats.address("nats")).await.unwrap();
    let store = Known::default();
    let shutdown = Shutdown::manual(Duration::from_secs(10));
    let running = tokio::spawn(query_responder::batches(
        client.clone(),
        store.clone(),
        "w/1".to_owned(),
        RetryPolicy::DEFAULT,
        shutdown.clone(),
    ));
    let note = |correlation_id: &str| ResendNote {
        incarnation: incarnation(1),
        seq: 7,
        message: identity(),
        correlation_id: correlation_id.to_owned(),
        received_at: 42,
        collector: "c/1".to_owned(),
    };
    let send = async |note: serde_json::Value| {
        let request = async_nats::Request::new().payload(serde_json::to_vec(&note).unwrap().into());
        let request = request.timeout(Some(Duration::from_millis(200)));
        client
            .send_request(RESEND_NOTES, request)
            .await
            .unwrap_err()
            .kind()
    };
    // Once somebody has subscribed the request times out, as nobody replies to a note.
    while send(json!("no note")).await == async_nats::RequestErrorKind::NoResponders {}
    send(json!(note("with\0nul"))).await;
    // Sent once: what the store does not take yet must be tried again.
    send(json!(note("c9"))).await;
    let written = async {
        while store.0.lock().unwrap().notes.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written)
        .await
        .expect("the note is written");
    shutdown.begin();
    running.await.unwrap();
    let noted = store.0.lock().unwrap();
    assert_eq!((noted.attempts, &noted.notes[..]), (3, &[note("c9")][..]));
}

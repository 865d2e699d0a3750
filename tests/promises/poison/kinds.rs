//! Kinds of poison: what is published, and what its dead letter must say.

use async_nats::jetstream::message::PublishMessage;
use harness::{Database, Deployment, event_streams};
use types::batch::{self, EventMetadata, Header};
use types::id::BatchRef;
use types::job::{JobBody, JobKind, JobMessage};
use types::replay_pointer::ReplayPointer;
use types::verdict::Counts;

use super::dead::Dead;
use super::raw;

/// One kind.
pub struct Kind {
    subject: String,
    payload: Vec<u8>,
    /// Headers that no client can read.
    unreadable: Option<&'static [u8]>,
    /// Where it ends.
    dead: String,
    /// Part of the reason, and the headers that are known of it.
    reason: &'static str,
    known: Vec<(&'static str, String)>,
}

impl Kind {
    /// Publishes it past the product, with a header of its own.
    pub async fn publish(&self, deployment: &Deployment) {
        if let Some(headers) = self.unreadable {
            return raw::publish(deployment, &self.subject, headers, &self.payload).await;
        }
        let publish = PublishMessage::build()
            .payload(self.payload.clone().into())
            .header("X-Own", "kept");
        deployment
            .js()
            .await
            .send_publish(self.subject.clone(), publish)
            .await
            .unwrap()
            .await
            .unwrap();
    }

    /// It is there once, whole, and with its context.
    pub fn check(&self, dead_letters: &[Dead]) {
        let own: Vec<&Dead> = dead_letters
            .iter()
            .filter(|dead_letter| dead_letter.payload == self.payload)
            .collect();
        let [dead_letter] = own[..] else {
            panic!(
                "{} of {} in DEAD: {dead_letters:#?}",
                own.len(),
                self.reason
            )
        };
        assert_eq!(dead_letter.subject, self.dead);
        let (own, attempts) = if self.unreadable.is_some() {
            (None, "0")
        } else {
            (Some("kept"), "1")
        };
        assert_eq!(
            (
                dead_letter.optional("X-Own"),
                dead_letter.header("Devtrail-Subject")
            ),
            (own, &*stored_under(&self.subject))
        );
        assert_eq!(
            (
                dead_letter.header("Devtrail-Error-Class"),
                dead_letter.header("Devtrail-Attempts")
            ),
            ("message", attempts),
            "{dead_letter:?}"
        );
        assert!(
            dead_letter.header("Devtrail-Reason").contains(self.reason),
            "{dead_letter:?}"
        );
        for (name, value) in &self.known {
            assert_eq!(dead_letter.header(name), value);
        }
    }
}

/// The subject under which the server stores what is published on this one.
fn stored_under(subject: &str) -> String {
    match subject.strip_prefix("events.batch.") {
        Some(token) => {
            let stream = event_streams().of_token(token);
            stream.all_subjects().replace('*', token)
        }
        None => subject.to_owned(),
    }
}

/// The subject in DEAD of a batch's message, which was published on a subject that ends with this token.
fn dead_batch(token: &str) -> String {
    format!("dead.{}.persist", event_streams().of_token(token))
}

/// Bytes that are nothing.
pub fn garbage(subject: &str, payload: &[u8]) -> Kind {
    let (dead, reason) = match subject {
        "events.batch.ada" => (dead_batch("ada"), "the message"),
        "replay.batch" => (
            "dead.REPLAY.persist-replay".to_owned(),
            "the message is no pointer",
        ),
        "jobs.alert.replay.ada" => ("dead.JOBS.alert-replay".to_owned(), "the message is no job"),
        _ => ("dead.JOBS.normalize".to_owned(), "the message is no job"),
    };
    let developer = ("Devtrail-Developer", "ada".to_owned());
    let known = [("Devtrail-State", "none".to_owned())].into_iter();
    let known = known
        .chain((subject != "replay.batch").then_some(developer))
        .collect();
    let subject = subject.to_owned();
    let payload = payload.to_vec();
    Kind {
        subject,
        payload,
        unreadable: None,
        dead,
        reason,
        known,
    }
}

/// No worker can ever have it in flight.
pub fn unreadable(subject: &str, headers: &'static [u8], payload: &[u8]) -> Kind {
    let reason = "the headers cannot be read";
    Kind {
        unreadable: Some(headers),
        reason,
        ..garbage(subject, payload)
    }
}

/// A batch as a collector would write it, had it not judged the events so.
fn lying(batch_id: &str, text: &str, note: EventMetadata, reason: &'static str) -> Kind {
    let header = Header {
        format: batch::FORMAT,
        developer: "ada".parse().unwrap(),
        epoch: 0,
        batch_id: batch_id.to_owned(),
        correlation_id: "c".to_owned(),
        traceparent: String::new(),
        schema_version: "1.0".to_owned(),
        sent_at: "2026-03-01T09:15:02Z".to_owned(),
        received_at: 1,
        validated_at: 1,
        collector: "forged/1".to_owned(),
        skew: 0,
        zone: None,
        envelope: std::collections::BTreeMap::new(),
        counts: Counts {
            received: 1,
            accepted: 1,
            ..Counts::default()
        },
        events: vec![note],
        origin: None,
    };
    let payload = batch::encode(&header, &[text]).unwrap().to_vec();
    Kind {
        reason,
        payload,
        ..garbage("events.batch.ada", b"")
    }
}

fn job(lane: &str, job: &JobMessage, dead: &str, reason: &'static str) -> Kind {
    let payload = serde_json::to_vec(job).unwrap();
    let known = vec![("Devtrail-Batch", job.body.batch.to_string())];
    Kind {
        subject: lane.to_owned(),
        payload,
        unreadable: None,
        dead: dead.to_owned(),
        reason,
        known,
    }
}

/// All kinds that are published past the product; the jobs among them are made from a stored batch's.
pub async fn all(deployment: &Deployment) -> Vec<Kind> {
    let body = deployment
        .database
        .rows("SELECT job_body FROM batches WHERE batch_id = 'b-first'")
        .await;
    let body: JobBody = serde_json::from_str(&body[0][0]).unwrap();
    let text = r#"{"id":"x","type":"heartbeat"}"#;
    let note = |len| EventMetadata {
        len,
        at: Some(0),
        day: Some("1970-01-01".to_owned()),
        ..EventMetadata::default()
    };
    let whole = text.len() as u32;
    let mut gone = JobMessage::live(JobKind::Alert, body.clone());
    gone.body.batch = BatchRef {
        seq: 999_999,
        ..body.batch
    };
    gone.job_id = JobKind::Alert.id(gone.body.batch, None);
    let mut odd_day = JobMessage::live(JobKind::Aggregate, body.clone());
    odd_day
        .body
        .touched_days
        .insert("the day before".to_owned());
    odd_day.job_id.push_str(":odd");
    let mut nobody = JobMessage::live(JobKind::Normalize, body.clone());
    nobody.body.developer = "no one.at all".to_owned();
    let mut unnamed = JobMessage::live(JobKind::Normalize, body.clone());
    unnamed.job_id = "a job\0".to_owned();
    let pointer = ReplayPointer::redrive(BatchRef {
        seq: 0,
        ..body.batch
    });
    let pointer = serde_json::to_string(&pointer).unwrap();
    let misplaced = JobMessage::live(JobKind::Alert, body);
    vec![
        garbage("events.batch.ada", b"\0\xff no batch at all"),
        garbage("events.batch.ada", b""),
        lying("too-long", text, note(whole + 7), "the message"),
        lying(
            "not-dated",
            text,
            EventMetadata {
                len: whole,
                ..EventMetadata::default()
            },
            "without an id, a type or a time",
        ),
        garbage("jobs.normalize.live.ada", b"{\"job_id\": 1"),
        garbage("jobs.alert.replay.ada", b"\xc3\x28"),
        job(
            "jobs.aggregate.live.ada",
            &misplaced,
            "dead.JOBS.aggregate",
            "a job of kind alert came",
        ),
        job(
            "jobs.aggregate.live.ada",
            &odd_day,
            "dead.JOBS.aggregate",
            "is no local day",
        ),
        Kind {
            known: Vec::new(),
            ..job(
                "jobs.normalize.live.ada",
                &nobody,
                "dead.JOBS.normalize",
                "no job",
            )
        },
        Kind {
            known: Vec::new(),
            ..job(
                "jobs.normalize.live.ada",
                &unnamed,
                "dead.JOBS.normalize",
                "is no id",
            )
        },
        garbage("replay.batch", b"{\"seq\":"),
        Kind {
            reason: "the sequences of a stream begin at 1",
            ..garbage("replay.batch", pointer.as_bytes())
        },
        unreadable(
            "events.batch.ada",
            b"NATS/1.0\r\nno colon here\r\n\r\n",
            b"first",
        ),
        unreadable(
            "events.batch.ada",
            b"NATS/1.0\r\nA: \xff\r\n\r\n",
            b"second",
        ),
        unreadable("events.batch.ada", b"NATS/1.0\r\n : x\r\n\r\n", b"third"),
        unreadable(
            "jobs.normalize.live.ada",
            b"NATS/1.0\r\nA B: x\r\n\r\n",
            b"fourth",
        ),
        unreadable("replay.batch", b"NATS/1.0\r\nno name: x\r\n\r\n", b"fifth"),
        Kind {
            dead: dead_batch("a\u{a0}b"),
            reason: "the subject cannot be read",
            known: Vec::new(),
            ..unreadable(
                "events.batch.a\u{a0}b",
                b"NATS/1.0\r\nA: 1\r\n\r\n",
                b"sixth",
            )
        },
        // Its batch is not stored, and no message can bring it.
        job(
            "jobs.alert.live.ada",
            &gone,
            "dead.JOBS.alert",
            "is not stored and cannot come",
        ),
    ]
}

/// Has the database refuse one event.
pub async fn refuse_one_event(deployment: &Deployment) {
    let sql = match deployment.database {
        Database::Sqlite(_) => {
            "CREATE TRIGGER refusing BEFORE INSERT ON events WHEN NEW.event_id = 'refused'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        }
        Database::Postgres(_) => {
            "CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
             CREATE TRIGGER refusing AFTER INSERT ON events FOR EACH ROW
               WHEN (NEW.event_id = 'refused') EXECUTE FUNCTION refusing()"
        }
    };
    deployment.database.execute(sql).await;
}

/// The batch with the event that the store refuses, and the job that panics: both came the usual way.
pub fn check_the_refused_and_the_panicking(dead_letters: &[Dead]) {
    let with = |reason: &str| {
        let fits = |dead_letter: &&Dead| dead_letter.header("Devtrail-Reason").contains(reason);
        let found: Vec<&Dead> = dead_letters.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{reason}: {dead_letters:#?}");
        found[0]
    };
    let refused = with("not this one");
    assert_eq!(
        (&*refused.subject, refused.header("Devtrail-State")),
        (&*dead_batch("ada"), "none")
    );
    assert_eq!(refused.header("Devtrail-Event-Ids"), "beside-it,refused");
    assert!(
        refused
            .header("Devtrail-Msg-Id")
            .starts_with("ada:0:refused:"),
        "{refused:?}"
    );
    let panicked = with("handling panicked");
    assert_eq!(
        (&*panicked.subject, panicked.header("Devtrail-Error-Class")),
        ("dead.JOBS.normalize", "unknown")
    );
    assert_eq!(
        (
            panicked.header("Devtrail-Attempts"),
            panicked.header("Devtrail-Event-Ids")
        ),
        ("2", "e-panics")
    );
    assert_eq!(
        panicked.header("Devtrail-Actor").split('/').next(),
        Some("devtrail-worker")
    );
}

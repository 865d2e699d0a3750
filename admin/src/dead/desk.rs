//! What the commands do with letters: read what EVENTS holds of them, have the workers write decisions
//! down, publish, and remove.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use async_nats::{Client, HeaderMap, RequestErrorKind, jetstream};
use bus::{DEAD, EVENTS, stored};
use runtime::clock;
use runtime::process::Process;
use store::VerifyReads;
use tokio::time::timeout;
use types::batch::{CORRELATION_ID, TRACEPARENT};
use types::query::{DecisionRecorded, DecisionRequest, QueryReply};
use types::replay_pointer;
use types::stream::StreamIncarnation;

use super::letter::Letter;
use super::plan::{self, Now, Plan};

/// How long a worker may take to write a decision down: longer than it waits for a lock of its store (5 s).
const NOTE: Duration = Duration::from_secs(10);
/// How long a stream may take to confirm.
const CONFIRM: Duration = Duration::from_secs(30);

/// Said where a worker has the question, and its answer does not come.
const UNANSWERED: &str = "The letter stays in DEAD, but nobody answered whether the decision about it was written to the audit. \
     See that the persist workers and the database are well, and run the command again: nothing is written twice";

/// The streams, and who works on them.
pub struct Desk {
    client: Client,
    /// Both streams and all others.
    pub js: jetstream::Context,
    /// DEAD.
    pub dead: Stream,
    /// EVENTS.
    pub events: Stream,
    /// The present life of EVENTS.
    pub incarnation: StreamIncarnation,
    src: Option<types::id::Src>,
    actor: String,
}

/// Opens a stream.
///
/// # Errors
/// Where it is missing, or the server does not answer.
pub async fn stream(js: &jetstream::Context, name: &str) -> anyhow::Result<Stream> {
    js.get_stream(name)
        .await
        .with_context(|| format!("The stream {name} cannot be read"))
}

/// What was published of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its message id.
    pub msg_id: String,
    /// The stream that took it, and its sequence there.
    pub place: (String, u64),
}

impl Desk {
    /// Binds EVENTS and opens DEAD.
    ///
    /// # Errors
    /// Where one is missing or unsafe, or server or store do not answer.
    pub async fn open(
        (client, js): (Client, jetstream::Context),
        store: &impl VerifyReads,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let incarnation = bus::bind_stream(&js, EVENTS).await?;
        let src = store.known_source(&incarnation).await?;
        let (dead, events) = (stream(&js, DEAD).await?, stream(&js, EVENTS).await?);
        Ok(Self {
            client,
            js,
            dead,
            events,
            incarnation,
            src,
            actor: process.actor.to_string(),
        })
    }

    /// What EVENTS holds of the letter.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn now(&self, letter: &Letter) -> anyhow::Result<Now> {
        let message = match plan::in_events(letter) {
            None => None,
            Some(seq) => stored::message(&self.js, EVENTS, seq)
                .await?
                .map(|message| message.payload),
        };
        Ok(Now {
            src: self.src,
            message,
        })
    }

    /// Has a worker write down what is decided about the letter, before it is done.
    ///
    /// # Errors
    /// Where no worker answers, or it cannot write.
    pub async fn note(
        &self,
        subject: &'static str,
        letter: &Letter,
        job_id: Option<String>,
        reason: Option<&str>,
    ) -> anyhow::Result<DecisionRecorded> {
        let seq = letter.origin().unwrap_or_default();
        // A letter of an earlier version names no life; where its message is, the present one is meant.
        let batch = letter
            .batch()
            .or_else(|| letter.src().map(|src| types::id::BatchRef { src, seq }));
        // Only what names no batch is found by its stream's life.
        let incarnation = match letter.dead.stream.as_str() {
            other if batch.is_none() && other != EVENTS => {
                bus::bind_stream(&self.js, other).await?
            }
            _ => self.incarnation.clone(),
        };
        let note = DecisionRequest {
            dead_sequence: letter.sequence,
            dead_at: letter.dead.at,
            incarnation,
            seq,
            batch,
            developer: letter.developer(),
            job_id,
            by: administrator(),
            reason: reason.map(str::to_owned),
            dead_reason: letter.reason().to_owned(),
            at: clock::now(),
            actor: self.actor.clone(),
        };
        let payload = serde_json::to_vec(&note)?.into();
        let nothing = "Nothing was done with this letter";
        let answered = timeout(NOTE, self.client.request(subject, payload)).await;
        let message = match answered {
            Ok(Ok(message)) => message,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => bail!(
                "{nothing}: no persist worker answers, which writes decisions to the audit. Start one (`devtrail up`, or \
                 devtrail-worker persist), and run the command again."
            ),
            // It may have been written, and the answer lost.
            Ok(Err(error)) => return Err(error).context(UNANSWERED),
            Err(late) => return Err(late).context(UNANSWERED),
        };
        match serde_json::from_slice(&message.payload)
            .context("A worker's answer cannot be read")?
        {
            QueryReply::Ok(noted) => Ok(noted),
            QueryReply::Unavailable(why) => {
                bail!("{nothing}: the audit cannot be written: {why}. Run the command again.")
            }
        }
    }

    /// Publishes what the plan says, and awaits the PubAck.
    ///
    /// # Errors
    /// Where the stream does not confirm.
    pub async fn publish(&self, letter: &Letter, plan: &Plan) -> anyhow::Result<Sent> {
        let msg_id = plan::msg_id(letter, plan);
        let (subject, headers, payload) = match plan {
            Plan::Pointer(pointer) => (
                replay_pointer::SUBJECT.to_owned(),
                followed(letter),
                serde_json::to_vec(pointer)?.into(),
            ),
            Plan::Job(job) => (
                job.subject(),
                followed(letter),
                serde_json::to_vec(job)?.into(),
            ),
            Plan::Raw(subject) => (subject.clone(), own(letter), letter.payload.clone()),
        };
        let message = PublishMessage::build()
            .payload(payload)
            .headers(headers)
            .message_id(&msg_id);
        let published = async {
            let ack = self.js.send_publish(subject, message).await?;
            timeout(CONFIRM, ack)
                .await
                .context("the stream does not confirm")?
                .map_err(anyhow::Error::from)
        };
        let ack = published.await.with_context(|| {
            format!(
                "Letter {} was perhaps not published, and stays in DEAD; run the command again, nothing is done twice",
                letter.sequence
            )
        })?;
        Ok(Sent {
            msg_id,
            place: (ack.stream, ack.sequence),
        })
    }

    /// Deletes a message securely; one that is gone already is no error.
    ///
    /// # Errors
    /// Where the stream does not do it.
    pub async fn remove(&self, stream: &Stream, seq: u64) -> anyhow::Result<()> {
        // The server overwrites what is deleted unless it is asked not to (`no_erase`).
        let Err(error) = stream.delete_message(seq).await else {
            return Ok(());
        };
        let name = &stream.cached_info().config.name;
        match stored::message(&self.js, name, seq).await {
            Ok(None) => Ok(()),
            _ => Err(error).with_context(|| {
                format!("Message {seq} of {name} cannot be deleted; run the command again")
            }),
        }
    }

    /// Whether a stream still holds the message that took this place.
    ///
    /// # Errors
    /// Where the stream cannot be read.
    pub async fn holds(&self, (name, seq): &(String, u64)) -> anyhow::Result<bool> {
        Ok(stored::message(&self.js, name, *seq).await?.is_some())
    }
}

/// The message's own headers, as it had them before it gave up.
fn own(letter: &Letter) -> HeaderMap {
    let mut own = HeaderMap::new();
    for (name, values) in letter.headers.iter() {
        let text: &str = name.as_ref();
        if !types::dead_letter::DEAD_LETTER_HEADERS.contains(&text) && !text.starts_with("Nats-") {
            values
                .iter()
                .for_each(|value| own.append(name.clone(), value.clone()));
        }
    }
    own
}

/// Of these, what follows a batch everywhere.
fn followed(letter: &Letter) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [CORRELATION_ID, TRACEPARENT] {
        if let Some(value) = letter.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// Who decides: `user@host`.
fn administrator() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten();
    let user = user.map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name);
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
    format!("{user}@{}", host.unwrap_or_else(|_| "unknown".to_owned()))
}

//! Answers to what collectors and commands ask over NATS (`types::query`), and notes of dropped resends.
//!
//! Workers of one kind share a queue group: one of them gets each question. A collector asks again,
//! or its client does; so nothing is kept here, and what cannot be answered is said at once.

mod dead;
mod notes;
mod replies;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Answers, DeadLetters, History, Persist, StoreError, VerifyReads};
use types::audit::Step;
use types::query::{
    Answer, BATCH, BatchQuery, DEAD_DROP, DEAD_REDRIVE, METRICS, MetricsQuery, NOTE_DUPLICATE,
    QUEUE, ResendNote, StoredReply, SubmissionReply,
};

/// Questions in hand at once; more wait with NATS's client.
const QUESTIONS: usize = 64;
/// Notes in hand at once. They wait for their batch, so they do not take the questions' places.
const NOTES: usize = 256;
/// Submissions of one batch id that are told, the newest ones: a client that never changes its batch
/// id must not make an answer too large to send.
const SUBMISSIONS: usize = 1000;
/// A reply leaves this much of NATS's `max_payload` free.
const MARGIN: usize = 1024;

/// Why there is no answer. The asker is told, and the log.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the question cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Damaged(String),
    #[error("the question names {0}, which is none")]
    BadName(&'static str),
    #[error("the answer has {0} bytes, NATS takes {1}: ask for less")]
    TooLarge(usize, usize),
}

/// Answers [`BatchQuery`] and writes [`ResendNote`]s to the audit, until the process stops.
///
/// `actor` is this process, for the log: the audit names the collector that saw the resend.
pub async fn batches<S>(
    client: Client,
    store: S,
    actor: String,
    retry: RetryPolicy,
    shutdown: Shutdown,
) where
    S: Answers + History + VerifyReads + Clone,
{
    let questions = each(
        &client,
        (BATCH, QUESTIONS),
        retry,
        &shutdown,
        |message: Message| {
            let (client, store) = (client.clone(), store.clone());
            async move {
                match read(&message) {
                    Ok(BatchQuery::Submissions {
                        developer,
                        batch_id,
                    }) => {
                        let found = store
                            .submissions(developer, batch_id)
                            .await
                            .map_err(NoAnswer::from);
                        reply(&client, message, found.map(newest)).await;
                    }
                    Ok(BatchQuery::Stored { incarnation, seq }) => {
                        reply(&client, message, stored(&store, incarnation, seq).await).await;
                    }
                    Err(unreadable) => reply::<()>(&client, message, Err(unreadable)).await,
                }
            }
        },
    );
    let notes = each(
        &client,
        (NOTE_DUPLICATE, NOTES),
        retry,
        &shutdown,
        |message: Message| {
            let (store, actor, shutdown) = (store.clone(), actor.clone(), shutdown.clone());
            async move {
                match read::<ResendNote>(&message) {
                    Ok(note) => notes::write(&store, note, &actor, &shutdown).await,
                    Err(error) => tracing::warn!(actor, %error, "a note of a resend is dropped"),
                }
            }
        },
    );
    tokio::join!(questions, notes);
}

/// Writes administrators' decisions about dead letters ([`types::query::DeadNote`]) to the audit, until
/// the process stops: on SQLite no other process may write.
pub async fn dead_letters<S: Persist + DeadLetters + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    let answer = |step: Step| {
        let (client, store) = (client.clone(), store.clone());
        move |message: Message| {
            let (client, store) = (client.clone(), store.clone());
            async move {
                let written = async { dead::write(&store, read(&message)?, step).await }.await;
                reply(&client, message, written).await;
            }
        }
    };
    let redriven = each(
        &client,
        (DEAD_REDRIVE, QUESTIONS),
        retry,
        &shutdown,
        answer(Step::Redriven),
    );
    let dropped = each(
        &client,
        (DEAD_DROP, QUESTIONS),
        retry,
        &shutdown,
        answer(Step::Dropped),
    );
    tokio::join!(redriven, dropped);
}

/// Answers [`MetricsQuery`] until the process stops.
pub async fn metrics<S: Answers + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    each(
        &client,
        (METRICS, QUESTIONS),
        retry,
        &shutdown,
        |message: Message| {
            let (client, store) = (client.clone(), store.clone());
            async move {
                let told = async {
                    let MetricsQuery {
                        developer,
                        from,
                        to,
                    } = read(&message)?;
                    let days = store.days(developer, from, to).await?;
                    let days = days
                        .into_iter()
                        .map(replies::day)
                        .collect::<Result<Vec<_>, _>>();
                    // A day that its events left is like one that never had any.
                    let days = days
                        .map_err(NoAnswer::Damaged)?
                        .into_iter()
                        .filter(replies::has_events);
                    Ok(days.collect::<Vec<_>>())
                };
                let told = told.await;
                reply(&client, message, told).await;
            }
        },
    )
    .await;
}

/// Hands each message on `subject` to `handle`, at most `at_once` at a time, until the process stops.
/// Draining, it takes no new ones and finishes those in hand.
async fn each<F: Future<Output = ()>>(
    client: &Client,
    (subject, at_once): (&'static str, usize),
    retry: RetryPolicy,
    shutdown: &Shutdown,
    handle: impl Fn(Message) -> F,
) {
    for attempt in 0.. {
        match client.queue_subscribe(subject, QUEUE.to_owned()).await {
            Ok(subscriber) => tokio::select! {
                () = until_ended(subscriber, at_once, shutdown, &handle) => {}
                () = shutdown.aborted() => tracing::warn!(subject, "questions are left without an answer"),
            },
            Err(error) => tracing::warn!(subject, %error, "questions cannot be subscribed to"),
        }
        if shutdown.is_draining() {
            return;
        }
        tracing::warn!(subject, attempt, "subscribing again");
        tokio::select! { () = retry.pause(attempt) => {}, () = shutdown.draining() => return }
    }
}

async fn until_ended<F: Future<Output = ()>>(
    mut subscriber: Subscriber,
    at_once: usize,
    shutdown: &Shutdown,
    handle: &impl Fn(Message) -> F,
) {
    let (mut in_hand, mut open, mut draining) = (FuturesUnordered::new(), true, false);
    while open || !in_hand.is_empty() {
        tokio::select! {
            message = subscriber.next(), if open && in_hand.len() < at_once => match message {
                Some(message) => in_hand.push(handle(message)),
                None => open = false,
            },
            Some(()) = in_hand.next(), if !in_hand.is_empty() => {}
            () = shutdown.draining(), if !draining => {
                draining = true;
                // What the server has sent already still comes, then the subscription ends.
                if let Err(error) = subscriber.drain().await {
                    tracing::debug!(%error, "the subscription was closed");
                    open = false;
                }
            }
        }
    }
}

fn read<T: DeserializeOwned>(message: &Message) -> Result<T, NoAnswer> {
    Ok(serde_json::from_slice(&message.payload)?)
}

/// The newest submissions, oldest first.
fn newest(mut submissions: Vec<store::Submission>) -> Vec<SubmissionReply> {
    let old = submissions.len().saturating_sub(SUBMISSIONS);
    submissions.drain(..old);
    submissions.into_iter().map(replies::submission).collect()
}

async fn stored<S: Answers + VerifyReads>(
    store: &S,
    incarnation: types::stream::StreamIncarnation,
    seq: u64,
) -> Result<Option<StoredReply>, NoAnswer> {
    // A stream made anew counts from 1 again: only source and sequence together name the message.
    let Some(src) = store.known_source(&incarnation).await? else {
        return Ok(None);
    };
    let found = store.stored(incarnation, seq).await?;
    Ok(found.map(|(first, exceptions)| {
        let is_asked = (first.at.src, first.at.seq) == (src, seq);
        replies::stored(&first, exceptions, is_asked)
    }))
}

/// Sends the answer, or why there is none.
async fn reply<T: Serialize>(client: &Client, message: Message, answer: Result<T, NoAnswer>) {
    let Some(inbox) = message.reply else {
        tracing::debug!(subject = %message.subject, "a question without a reply subject is ignored");
        return;
    };
    let bytes = bounded(
        answer,
        client.server_info().max_payload.saturating_sub(MARGIN),
    );
    if let Err(error) = client.publish(inbox, bytes).await {
        tracing::warn!(subject = %message.subject, %error, "an answer could not be sent");
    }
}

/// The answer as it is sent; what is larger than `limit` cannot be.
fn bounded<T: Serialize>(answer: Result<T, NoAnswer>, limit: usize) -> Bytes {
    let sent = answer.and_then(|answer| {
        let bytes = serde_json::to_vec(&Answer::Ok(answer))?;
        if bytes.len() > limit {
            Err(NoAnswer::TooLarge(bytes.len(), limit))
        } else {
            Ok(bytes)
        }
    });
    let bytes = sent.unwrap_or_else(|error| {
        tracing::warn!(%error, "a question is not answered");
        let reason = types::json::shorten(&error.to_string(), 500);
        serde_json::to_vec(&Answer::<()>::Unavailable(reason)).expect("a text is written as JSON")
    });
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_answered_is_said() {
        let unreadable = serde_json::from_str::<BatchQuery>("{").unwrap_err();
        let answers: [Result<Vec<u8>, NoAnswer>; 3] = [
            Err(unreadable.into()),
            Err(StoreError::Unavailable("busy".to_owned()).into()),
            Ok(vec![7; 100]),
        ];
        let said = answers.map(|answer| {
            let bytes = bounded(answer, 100);
            match serde_json::from_slice(&bytes).unwrap() {
                Answer::<Vec<u8>>::Unavailable(reason) => reason,
                Answer::Ok(answer) => panic!("{answer:?}"),
            }
        });
        assert!(
            said[0].contains("cannot be read") && said[1].contains("busy"),
            "{said:?}"
        );
        assert!(said[2].contains("NATS takes 100"), "{said:?}");
        assert_eq!(bounded(Ok(Some(1)), 100), r#"{"ok":1}"#);
        assert_eq!(bounded(Ok(None::<u8>), 100), r#"{"ok":null}"#);
    }
}

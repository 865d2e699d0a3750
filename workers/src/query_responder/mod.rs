//! Replies to what collectors and commands query over NATS (`types::query`), and audit notes of dropped resends.
//!
//! Workers of one kind share a queue group: one of them gets each query. A collector or its client queries again, so
//! nothing is kept here. A query that cannot be answered gets the reason as its reply at once.

mod audit_notes;
mod dead_letters;
mod heartbeats;
mod metrics;
mod replies;
mod responder;
mod totals;

use async_nats::{Client, Message};
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::{
    DeadLetters, ExportReads, History, Jobs, Persist, QueryReads, StoredCounts, StreamNames,
    VerifyReads,
};
use types::audit::Step;
use types::id::{BatchRef, MessageIdentity};
use types::query::{
    BATCH, BatchQuery, DEAD_DROP, DEAD_REDRIVE, EXPLAIN, EXPORT, ExplainQuery, HEARTBEATS, METRICS,
    MetricsQuery, Period, REPORT, RESEND_NOTES, ReportQuery, ResendNote, SESSIONS, SessionsQuery,
    StoredReply, SubmissionReply, TOTALS,
};
use types::stream::StreamIncarnation;

use crate::aggregate::explain_stored;
use crate::export;
use crate::report;
pub use metrics::whole_days;
use responder::{QueryFailure, Responder, read};

/// Queries in flight at once; more wait in NATS's client.
const QUERIES: usize = 64;
/// Queries at once that read much: all events of a day, or all days of a history.
const LONG_QUERIES: usize = 4;
/// Pages of exports that are made at once: each may hold some megabytes.
const EXPORTED: usize = 4;
/// Audit notes in flight at once. They wait for their batch, so they do not share the queries' limit.
const NOTES: usize = 256;
/// The newest submissions of one batch id that a reply holds: a client that never changes its batch id must not make
/// a reply too large to send.
const SUBMISSIONS: usize = 1000;

/// Replies to [`BatchQuery`] and writes [`ResendNote`]s to the audit, until the process stops.
///
/// `actor` is this process, for the log: the audit names the collector that saw the resend.
pub async fn batches<S>(
    client: Client,
    store: S,
    actor: String,
    retry: RetryPolicy,
    shutdown: Shutdown,
) where
    S: QueryReads + History + VerifyReads + Clone,
{
    let responder = Responder::new(client, retry, shutdown);
    let queries = responder.each(BATCH, QUERIES, async |message: Message| {
        match read(&message) {
            Ok(BatchQuery::Submissions {
                developer,
                batch_id,
            }) => {
                let found = submissions(&store, developer, batch_id).await;
                responder.reply(message, found).await;
            }
            Ok(BatchQuery::Stored {
                incarnation,
                seq,
                message: identity,
            }) => {
                let found = stored(&store, incarnation, seq, identity).await;
                responder.reply(message, found).await;
            }
            Err(unreadable) => responder.reply::<()>(message, Err(unreadable)).await,
        }
    });
    let notes = responder.each(RESEND_NOTES, NOTES, async |message: Message| {
        match read::<ResendNote>(&message) {
            Ok(note) => audit_notes::write(&store, note, &actor, responder.shutdown()).await,
            Err(error) => tracing::warn!(actor, %error, "an audit note of a resend is dropped"),
        }
    });
    tokio::join!(queries, notes);
}

/// Writes administrators' decisions about dead letters ([`types::query::DecisionRequest`]) to the audit, until
/// the process stops: on SQLite no other process may write.
pub async fn dead_letters<S: Persist + DeadLetters + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    let responder = Responder::new(client, retry, shutdown);
    let record = async |message: Message, step: Step| {
        let written = async { dead_letters::write(&store, read(&message)?, step).await }.await;
        responder.reply(message, written).await;
    };
    let redriven = responder.each(DEAD_REDRIVE, QUERIES, async |message| {
        record(message, Step::Redriven).await;
    });
    let dropped = responder.each(DEAD_DROP, QUERIES, async |message| {
        record(message, Step::Dropped).await;
    });
    tokio::join!(redriven, dropped);
}

/// Replies to [`MetricsQuery`], [`SessionsQuery`] and [`ReportQuery`] until the process stops.
pub async fn metrics<S: QueryReads + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    let responder = Responder::new(client, retry, shutdown);
    let reply = async |message: Message| {
        let query: MetricsQuery = match read(&message) {
            Ok(query) => query,
            Err(unreadable) => return responder.reply::<()>(message, Err(unreadable)).await,
        };
        if metrics::is_of_whole_days(&query) {
            let days = store.days(query.developer, query.from, query.to).await;
            let days = days.map_err(QueryFailure::from);
            let days = days.and_then(|days| whole(metrics::whole_days(days)));
            return responder.reply(message, days).await;
        }
        let found = counts(&store, &query.developer, &query.from, &query.to).await;
        match query.period {
            Period::Hour => {
                let hours = found.and_then(|days| whole(metrics::hours(days, &query)));
                responder.reply(message, hours).await;
            }
            Period::Day => {
                let days = found.and_then(|days| whole(metrics::days(days, &query)));
                responder.reply(message, days).await;
            }
            Period::Week => {
                let weeks = found.and_then(|days| whole(metrics::weeks(days, &query)));
                responder.reply(message, weeks).await;
            }
        }
    };
    let sessions = async |message: Message| {
        let found = async {
            let query: SessionsQuery = read(&message)?;
            let days = counts(&store, &query.developer, &query.from, &query.to).await?;
            whole(metrics::sessions(days, &query))
        };
        let found = found.await;
        responder.reply(message, found).await;
    };
    let reports = async |message: Message| {
        let found = async {
            let ReportQuery { developer, week } = read(&message)?;
            Ok(report::stored_page(&store, developer, week, None).await?)
        };
        let found = found.await;
        responder.reply(message, found).await;
    };
    let replies = responder.each(METRICS, QUERIES, reply);
    let sessions = responder.each(SESSIONS, QUERIES, sessions);
    let reports = responder.each(REPORT, QUERIES, reports);
    tokio::join!(replies, sessions, reports);
}

/// Replies to what reads much, until the process stops: [`ExplainQuery`],
/// [`types::query::HeartbeatsQuery`] and [`types::query::TotalsQuery`].
/// A task of its own: others do not wait for it.
pub async fn long_queries<S: QueryReads + ExportReads + Jobs + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    let responder = Responder::new(client, retry, shutdown);
    let explain = async |message: Message| {
        let found = async {
            let ExplainQuery { developer, day } = read(&message)?;
            Ok(explain_stored(&store, developer, day).await?)
        };
        let found = found.await;
        responder.reply(message, found).await;
    };
    let heartbeats = async |message: Message| {
        let found = async { heartbeats::heartbeats(&store, read(&message)?).await }.await;
        responder.reply(message, found).await;
    };
    let totals = async |message: Message| {
        let found = async { totals::totals(&store, read(&message)?).await }.await;
        responder.reply(message, found).await;
    };
    tokio::join!(
        responder.each(EXPLAIN, LONG_QUERIES, explain),
        responder.each(HEARTBEATS, LONG_QUERIES, heartbeats),
        responder.each(TOTALS, LONG_QUERIES, totals),
    );
}

/// Replies to [`ExportQuery`](types::export::ExportQuery) until the process stops. A task of its own: an export is many
/// pages, and must keep nobody waiting who asks for metrics.
pub async fn exports<S: ExportReads + Clone>(
    client: Client,
    store: S,
    retry: RetryPolicy,
    shutdown: Shutdown,
) {
    let responder = Responder::new(client, retry, shutdown);
    let page = async |message: Message| {
        let page = async { Ok(export::page(&store, read(&message)?).await?) };
        let page = page.await;
        responder.reply(message, page).await;
    };
    responder.each(EXPORT, EXPORTED, page).await;
}

/// What was made of stored days, unless they are damaged.
fn whole<T>(made: Result<T, String>) -> Result<T, QueryFailure> {
    made.map_err(QueryFailure::Damaged)
}

/// The newest submissions, oldest first.
async fn submissions<S: QueryReads + VerifyReads>(
    store: &S,
    developer: String,
    batch_id: String,
) -> Result<Vec<SubmissionReply>, QueryFailure> {
    let mut submissions = store.submissions(developer, batch_id).await?;
    let old = submissions.len().saturating_sub(SUBMISSIONS);
    submissions.drain(..old);
    let mut names = StreamNames::default();
    let mut replies = Vec::with_capacity(submissions.len());
    for submission in submissions {
        let stream = names.of(store, submission.at.src).await?;
        replies.push(replies::submission(submission, stream));
    }
    Ok(replies)
}

async fn stored<S: QueryReads + VerifyReads>(
    store: &S,
    incarnation: StreamIncarnation,
    seq: u64,
    message: MessageIdentity,
) -> Result<Option<StoredReply>, QueryFailure> {
    // A recreated stream counts from 1 again: only source and sequence together name the message.
    let Some(src) = store.known_source(&incarnation).await? else {
        return Ok(None);
    };
    let Some(batch) = store.stored(incarnation, seq, message).await? else {
        return Ok(None);
    };
    let is_queried = batch.first.at == BatchRef { src, seq };
    let mut names = StreamNames::default();
    let stream = names.of(store, batch.first.at.src).await?;
    Ok(Some(replies::stored(batch, stream, is_queried)))
}

async fn counts<S: QueryReads>(
    store: &S,
    developer: &str,
    from: &str,
    to: &str,
) -> Result<Vec<StoredCounts>, QueryFailure> {
    let (developer, from, to) = (developer.to_owned(), from.to_owned(), to.to_owned());
    Ok(store.day_counts(developer, from, to).await?)
}

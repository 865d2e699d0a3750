//! Binding: every process but `devtrail streams apply` only checks that streams and consumers are right.

use async_nats::jetstream::{self, consumer::PullConsumer};
use serde_json::Value;

use crate::api::{self, ApiError};
use crate::names::{ConsumerRef, ResourceName};
use crate::topology;
use types::stream::StreamIncarnation;
use types::time::parse_rfc3339;

/// A stream or consumer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("The {0} is missing. Run `devtrail streams apply` against this server.")]
    Missing(ResourceName),
    /// It exists with settings that would lose or repeat events.
    #[error(
        "The {name} has {field} = {live}, it must be {declared}. Run `devtrail streams diff`, then \
         `devtrail streams apply`."
    )]
    Unsafe {
        name: ResourceName,
        /// The first safety field that differs.
        field: String,
        /// As the server has it.
        live: Value,
        /// As the file has it.
        declared: Value,
    },
    /// The streams of batches do not fit each other: the sentence names them, and the remedy.
    #[error("{0}")]
    MixedEventStreams(String),
    /// The streams belong to another store than the worker's: the sentence names both, and the remedy.
    #[error("{0}")]
    OtherStore(String),
    /// The client's task has ended: a message made it panic.
    #[error(
        "The connection to NATS has ended for good over a message that the client library cannot take (its panic is \
         logged above). Start the program again: it then finds the message, and moves it to DEAD."
    )]
    ClientEnded,
    /// The server did not answer, or answered with an error: worth a retry.
    #[error(transparent)]
    Api(#[from] ApiError),
}

async fn checked(js: &jetstream::Context, name: ResourceName) -> Result<Value, BindError> {
    let Some(info) = api::info(js, &name).await? else {
        return Err(BindError::Missing(name));
    };
    let declared = topology::declared_as(&name);
    let live = info["config"].as_object().cloned().unwrap_or_default();
    match topology::differences(&declared, &live).safety.pop() {
        None => Ok(info),
        Some(one) => Err(BindError::Unsafe {
            name,
            field: one.field,
            live: one.live,
            declared: one.declared,
        }),
    }
}

/// Checks the stream's safety fields and returns its incarnation.
///
/// # Errors
/// Returns `Missing` or `Unsafe` if the stream is so, and `Api` if the server does not answer.
pub async fn bind_stream(
    js: &jetstream::Context,
    stream: &str,
) -> Result<StreamIncarnation, BindError> {
    let name = ResourceName::stream(stream);
    let info = checked(js, name.clone()).await?;
    let created = info["created"]
        .as_str()
        .and_then(parse_rfc3339)
        .and_then(|written| written.at);
    let created = created
        .ok_or_else(|| ApiError::new(name, "the server named no created time".to_owned()))?;
    Ok(StreamIncarnation {
        name: stream.to_owned(),
        created,
    })
}

/// Checks the consumer's safety fields and gives a handle to pull from.
///
/// # Errors
/// Returns `Missing` or `Unsafe` if the consumer is so, and `Api` if the server does not answer.
pub async fn bind_consumer(
    js: &jetstream::Context,
    consumer: &ConsumerRef,
) -> Result<PullConsumer, BindError> {
    let name = consumer.resource();
    checked(js, name.clone()).await?;
    let failed = |reason: String| ApiError::new(name.clone(), reason);
    let stream = js
        .get_stream_no_info(&consumer.stream)
        .await
        .map_err(|error| failed(error.to_string()))?;
    Ok(stream
        .get_consumer(&consumer.consumer)
        .await
        .map_err(|error| failed(error.to_string()))?)
}

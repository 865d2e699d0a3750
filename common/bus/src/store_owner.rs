//! Which store the streams of a nats-server belong to.
//!
//! Two stores that read one consumer would split the data between them, each with a part, and nobody would be told. So
//! the streams know their store: the entry `owner` of the bucket `store` names it. The first store that binds writes
//! the entry; of two at once one does. Every binding of a worker checks it.

use async_nats::jetstream::{
    self,
    kv::{self, CreateErrorKind, Operation, UpdateErrorKind},
};
use serde::{Deserialize, Serialize};

use crate::api::ApiError;
use crate::bind::BindError;
use crate::names::ResourceName;
use crate::stored_messages;
use crate::worker_registry::host_name;
use runtime::clock;
use types::time::rfc3339;

/// The bucket's name.
pub const BUCKET: &str = "store";
const KEY: &str = "owner";

/// The store that the streams belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOwner {
    /// The id that the store keeps of itself.
    pub store_id: String,
    /// Its address without a password.
    pub database: String,
    /// The machine that named it.
    pub host: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why it took over from another store; `None` if it was the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl StoreOwner {
    /// The store of this id at this address, named on this machine from now on.
    #[must_use]
    pub fn new(store_id: String, database: String) -> Self {
        Self {
            store_id,
            database,
            host: host_name(),
            since: rfc3339(clock::now()),
            reason: None,
        }
    }
}

impl std::fmt::Display for StoreOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            store_id,
            database,
            host,
            since,
            ..
        } = self;
        write!(f, "{database} on {host} (id {store_id}, since {since})")
    }
}

/// The entry as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerEntry {
    pub owner: StoreOwner,
    revision: u64,
}

fn name() -> ResourceName {
    ResourceName::stream("KV_store")
}

fn failed(error: impl std::fmt::Display) -> BindError {
    ApiError::new(name(), error.to_string()).into()
}

async fn bucket(js: &jetstream::Context) -> Result<kv::Store, BindError> {
    // Its safety fields as well: a bucket that forgets would name nobody.
    crate::bind::bind_stream(js, &name().stream).await?;
    js.get_key_value(BUCKET).await.map_err(failed)
}

/// The store that the streams belong to; `None` until one has bound.
///
/// # Errors
/// Returns `BindError::Missing` or `BindError::Unsafe` if the bucket is so, and `BindError::Api` if the server does not
/// answer or the entry cannot be read.
pub async fn read(js: &jetstream::Context) -> Result<Option<OwnerEntry>, BindError> {
    let bucket = bucket(js).await?;
    let entry = bucket.entry(KEY).await.map_err(failed)?;
    let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
        return Ok(None);
    };
    let owner = serde_json::from_slice(&entry.value).map_err(failed)?;
    Ok(Some(OwnerEntry {
        owner,
        revision: entry.revision,
    }))
}

/// Makes the store the owner, in place of what was read; `false` if another one came first.
///
/// # Errors
/// Returns the errors of [`read`].
pub async fn write(
    js: &jetstream::Context,
    owner: &StoreOwner,
    before: Option<&OwnerEntry>,
) -> Result<bool, BindError> {
    let bucket = bucket(js).await?;
    let value = serde_json::to_vec(owner).map_err(failed)?.into();
    let Some(before) = before else {
        return match bucket.create(KEY, value).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(error)),
        };
    };
    match bucket.update(KEY, value, before.revision).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Fails if the streams belong to another store than this one. One request: it is asked for each group of messages.
///
/// # Errors
/// Returns `BindError::OtherStore` if they do, and `BindError::Api` if the server does not answer.
pub async fn check(js: &jetstream::Context, own: &StoreOwner) -> Result<(), BindError> {
    let subject = format!("$KV.{BUCKET}.{KEY}");
    let entry = stored_messages::newest_of(js, &name().stream, &subject).await?;
    // A marker of a deletion has no payload.
    let Some(entry) = entry.filter(|entry| !entry.payload.is_empty()) else {
        return Ok(());
    };
    let owner: StoreOwner = serde_json::from_slice(&entry.payload).map_err(failed)?;
    match owner.store_id == own.store_id {
        true => Ok(()),
        false => Err(refusal(Some(&owner), own)),
    }
}

/// The refusal of a store, with the remedy; `owner` is unknown if the entry was lost.
#[must_use]
pub fn refusal(owner: Option<&StoreOwner>, own: &StoreOwner) -> BindError {
    let belongs = match owner {
        Some(owner) => format!("The streams belong to another store: {owner}."),
        None => "Another store has read the stream EVENTS, and the entry that named it is gone."
            .to_owned(),
    };
    let database = &own.database;
    BindError::OtherStore(format!(
        "{belongs} This worker writes {database} (id {}). Two stores would split the events between them. Give the \
         worker the address of the store that owns the streams; or, if this one is to take over, run `devtrail streams \
         adopt --reason TEXT --database-url {database}` against the same nats-server, which has EVENTS read into it \
         from the first message on.",
        own.store_id
    ))
}

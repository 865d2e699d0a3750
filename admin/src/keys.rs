//! `devtrail keys`: API keys in the bucket `api_keys`; collectors follow it within a second.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, kv};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use runtime::clock;
use serde_json::json;
use types::api_key::{self, ApiKeyRecord, Scope};
use types::id::DeveloperId;
use types::time::rfc3339;

use crate::output;
use crate::target::Target;

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key for a developer, or one for each line of a file; the key is shown once
    #[command(after_help = "Examples:
  devtrail keys create ada
  devtrail keys create ci-bot --scope events:write --rate 200/s
  devtrail keys create --from-file people.txt > keys.txt")]
    Create(KeysCreateSettings),
    /// List keys by the first characters of their SHA-256
    #[command(after_help = "Examples:
  devtrail keys list
  devtrail keys list --json")]
    List {
        #[command(flatten)]
        target: Target,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, or all keys of a developer
    #[command(after_help = "Examples:
  devtrail keys revoke 9f86d081884c    the beginning of its SHA-256
  devtrail keys revoke ada             all of ada's")]
    Revoke {
        #[command(flatten)]
        target: Target,
        /// The key itself, the beginning of its SHA-256 as `keys list` shows it, or a developer
        key: String,
    },
}

/// Who gets a key, and what it may do.
#[derive(Debug, clap::Args)]
pub struct KeysCreateSettings {
    #[command(flatten)]
    target: Target,
    /// The developer who gets the key
    #[arg(required_unless_present = "from_file", conflicts_with = "from_file")]
    developer: Option<DeveloperId>,
    /// A file with a developer a line; prints `developer key` lines, as `send --key-file` takes them
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    grant: Grant,
}

/// What a key may do.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Grant {
    /// What the key may do: events:write, metrics:read or alerts:read; may be repeated [default: all]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Most events a second, for each collector; 0: no limit [default: the collector's --rate]
    #[arg(long, value_name = "N/s", value_parser = runtime::settings::parse_rate)]
    rate: Option<u32>,
}

/// Keys written at once: each waits for an fsync.
const AT_ONCE: usize = 64;
/// Characters of a digest that a person needs to name a key.
const SHOWN: usize = 12;

/// Runs the command.
///
/// # Errors
/// Returns an error if NATS does not answer, the bucket is missing, or a developer is none.
pub async fn run(command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create(settings) => {
            let bucket = bucket(&settings.target).await?;
            let grant = &settings.grant;
            match (settings.developer, settings.from_file) {
                (Some(developer), _) => Ok(output::line(create(&bucket, developer, grant).await?)?),
                (None, Some(file)) => create_many(&bucket, &file, grant).await,
                (None, None) => bail!("Name a developer, or a file with --from-file."),
            }
        }
        KeysCommand::List { target, json } => list(&bucket(&target).await?, json).await,
        KeysCommand::Revoke { target, key } => revoke(&bucket(&target).await?, &key).await,
    }
}

async fn bucket(target: &Target) -> anyhow::Result<kv::Store> {
    let js = target.connect().await?;
    open(&js).await
}

/// The bucket of keys.
///
/// # Errors
/// Returns an error if it is missing.
pub async fn open(js: &jetstream::Context) -> anyhow::Result<kv::Store> {
    js.get_key_value(api_key::BUCKET)
        .await
        .context("The bucket api_keys is missing. Run `devtrail streams apply`.")
}

/// Makes a key; without a scope named it has every one.
///
/// # Errors
/// Returns an error if the bucket does not take it.
pub async fn create(
    bucket: &kv::Store,
    developer: DeveloperId,
    grant: &Grant,
) -> anyhow::Result<String> {
    let made = api_key::generate();
    let named: BTreeSet<Scope> = grant.scopes.iter().copied().collect();
    let scopes = if named.is_empty() {
        Scope::ALL.to_vec()
    } else {
        named.into_iter().collect()
    };
    let record = ApiKeyRecord {
        developer,
        scopes,
        rate: grant.rate,
        created_at: rfc3339(clock::now()),
    };
    let entry = api_key::key_entry(&api_key::digest(&made));
    bucket
        .put(entry, serde_json::to_vec(&record)?.into())
        .await
        .context("The key could not be stored")?;
    Ok(made)
}

async fn create_many(bucket: &kv::Store, file: &PathBuf, grant: &Grant) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let names: BTreeSet<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let people = names
        .into_iter()
        .map(str::parse)
        .collect::<Result<Vec<DeveloperId>, _>>()?;
    let make = |developer: DeveloperId| async move {
        let key = create(bucket, developer.clone(), grant).await?;
        Ok::<_, anyhow::Error>(format!("{developer} {key}"))
    };
    let mut made = stream::iter(people.into_iter().map(make)).buffered(AT_ONCE);
    while let Some(line) = made.try_next().await? {
        output::line(line)?;
    }
    Ok(())
}

/// A key in the bucket; the key itself is not stored.
struct StoredKey {
    /// SHA-256, in hex.
    digest: String,
    record: ApiKeyRecord,
}

impl StoredKey {
    /// The digest as people read it.
    fn short_digest(&self) -> &str {
        &self.digest[..SHOWN.min(self.digest.len())]
    }
}

async fn stored_keys(bucket: &kv::Store) -> anyhow::Result<Vec<StoredKey>> {
    let mut keys = Vec::new();
    let mut entries = bucket.keys().await?;
    while let Some(entry) = entries.try_next().await? {
        let Some(digest) = entry.strip_prefix("key.") else {
            continue;
        };
        // Gone between the listing and now: not a key any more.
        let Some(value) = bucket.get(entry.as_str()).await? else {
            continue;
        };
        let record = serde_json::from_slice(&value)
            .with_context(|| format!("the entry {entry} is damaged"))?;
        keys.push(StoredKey {
            digest: digest.to_owned(),
            record,
        });
    }
    keys.sort_by(|a: &StoredKey, b| {
        (&a.record.developer, &a.digest).cmp(&(&b.record.developer, &b.digest))
    });
    Ok(keys)
}

async fn list(bucket: &kv::Store, as_json: bool) -> anyhow::Result<()> {
    let keys = stored_keys(bucket).await?;
    if as_json {
        let list = keys
            .iter()
            .map(|key| json!({"sha256": key.digest, "key": key.record}));
        return Ok(output::json(&list.collect::<Vec<_>>())?);
    }
    let row = |key: &StoredKey| {
        let record = &key.record;
        [
            record.developer.to_string(),
            key.short_digest().to_owned(),
            record
                .scopes
                .iter()
                .map(|scope| scope.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            match record.rate {
                None => "default".to_owned(),
                Some(0) => "none".to_owned(),
                Some(rate) => format!("{rate}/s"),
            },
            record.created_at.clone(),
        ]
    };
    Ok(output::table(
        ["DEVELOPER", "SHA-256", "SCOPES", "RATE", "CREATED"],
        keys.iter().map(row).collect(),
    )?)
}

async fn revoke(bucket: &kv::Store, named: &str) -> anyhow::Result<()> {
    let digest = api_key::digest(named);
    let mut found = stored_keys(bucket).await?;
    found.retain(|key| {
        key.digest == digest
            || key.record.developer.as_str() == named
            || (named.len() >= SHOWN && key.digest.starts_with(named))
    });
    if found.is_empty() {
        bail!(
            "No key fits {named:?}. `devtrail keys list` shows them; a SHA-256 needs {SHOWN} characters."
        );
    }
    for key in found {
        bucket
            .delete(api_key::key_entry(&key.digest))
            .await
            .context("The key could not be revoked")?;
        let developer = &key.record.developer;
        output::line(format!("revoked {} of {developer}", key.short_digest()))?;
    }
    Ok(())
}

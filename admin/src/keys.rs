//! `devtrail keys`: API keys in the bucket `api_keys`; collectors follow it within a second.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context as _, anyhow, bail, ensure};
use async_nats::jetstream::{self, kv};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use runtime::clock;
use runtime::shutdown::Shutdown;
use serde_json::json;
use types::api_key::{self, ApiKeyRecord, Scope};
use types::id::DeveloperId;
use types::time::rfc3339;

use crate::interrupt::until_shutdown;
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
pub async fn run(command: KeysCommand, shutdown: &Shutdown) -> anyhow::Result<()> {
    match command {
        // It ends a signal itself: what it made and did not show is revoked.
        KeysCommand::Create(settings) => create_and_show(settings, shutdown).await,
        KeysCommand::List { target, json } => {
            until_shutdown(
                async { list(&bucket(&target).await?, json).await },
                shutdown,
            )
            .await
        }
        KeysCommand::Revoke { target, key } => {
            until_shutdown(
                async { revoke(&bucket(&target).await?, &key).await },
                shutdown,
            )
            .await
        }
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
    store(bucket, &made, developer, grant).await?;
    Ok(made)
}

async fn store(
    bucket: &kv::Store,
    key: &str,
    developer: DeveloperId,
    grant: &Grant,
) -> anyhow::Result<()> {
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
    let entry = api_key::key_entry(&api_key::digest(key));
    bucket
        .put(entry, serde_json::to_vec(&record)?.into())
        .await
        .context("The key could not be stored")?;
    Ok(())
}

/// A key that was just made, and whether the bucket took it.
struct FreshKey {
    developer: DeveloperId,
    key: String,
    stored: anyhow::Result<()>,
}

/// Makes the keys that are asked for and prints them. One that cannot be shown is revoked again: nobody has it.
async fn create_and_show(settings: KeysCreateSettings, shutdown: &Shutdown) -> anyhow::Result<()> {
    let (bucket, grant) = (&bucket(&settings.target).await?, &settings.grant);
    let is_many = settings.from_file.is_some();
    let developers = match (settings.developer, settings.from_file) {
        (Some(developer), _) => vec![developer],
        (None, Some(file)) => read_developers(&file)?,
        (None, None) => bail!("Name a developer, or a file with --from-file."),
    };
    let make = |developer: DeveloperId| async move {
        let key = api_key::generate();
        let stored = store(bucket, &key, developer.clone(), grant).await;
        FreshKey {
            developer,
            key,
            stored,
        }
    };
    // Once one cannot be shown no more are begun.
    let goes_on = Cell::new(true);
    let begun = developers.into_iter().take_while(|_| goes_on.get());
    let mut made = pin!(stream::iter(begun.map(make)).buffered(AT_ONCE));
    let mut shown: usize = 0;
    let mut unseen = Vec::new();
    let mut reason = None;
    while let Some(fresh) = made.next().await {
        let result = match fresh.stored {
            _ if !goes_on.get() => Ok(false),
            Ok(()) if shutdown.is_draining() => Err(anyhow!("stopped by a signal")),
            Ok(()) if is_many => show(&format!("{} {}", fresh.developer, fresh.key)),
            Ok(()) => show(&fresh.key),
            // It may be stored all the same: the reply is lost.
            Err(error) => Err(error),
        };
        match result {
            Ok(true) => shown += 1,
            Ok(false) => unseen.push(fresh.key),
            Err(error) => {
                unseen.push(fresh.key);
                reason = Some(error);
                goes_on.set(false);
            }
        }
    }
    let Some(reason) = reason else { return Ok(()) };
    for key in &unseen {
        let digest = api_key::digest(key);
        bucket.delete(api_key::key_entry(&digest)).await.with_context(|| {
            let short = &digest[..SHOWN];
            format!("{reason:#}. The key {short} was not shown and is valid: run `devtrail keys revoke {short}`")
        })?;
    }
    Err(reason.context(match (unseen.len(), shown) {
        (1, 0) => "The key could not be shown, so it was revoked again".to_owned(),
        (count, _) => format!(
            "Of {} keys, {count} could not be shown and were revoked again; the {shown} above are valid",
            count + shown
        ),
    }))
}

/// Prints a key; that nobody reads it is an error.
fn show(line: &str) -> anyhow::Result<bool> {
    ensure!(output::still_read(line)?, "nothing reads stdout");
    Ok(true)
}

/// The developers in a file, one a line, each once.
fn read_developers(file: &Path) -> anyhow::Result<Vec<DeveloperId>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let names: BTreeSet<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let developers = names.into_iter().map(str::parse);
    Ok(developers.collect::<Result<_, _>>()?)
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

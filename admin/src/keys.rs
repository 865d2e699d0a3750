//! `devtrail keys`: API keys in the bucket `api_keys`; collectors follow it within a second.

pub mod stored;

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

use crate::developer::{OnlyDeveloper, ensure_known};
use crate::interrupt::until_shutdown;
use crate::output::{self, OUTPUT};
use crate::target::Target;
use stored::{SHOWN, StoredKey};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key for a developer, or one for each line of a file; the key is shown once
    #[command(after_long_help = "Examples:
  devtrail keys create ada
  devtrail keys create ci-bot --scope events:write --rate 200/s
  devtrail keys create --from-file people.txt > keys.txt")]
    Create(KeysCreateSettings),
    /// List keys by the first characters of their SHA-256
    List(KeysListSettings),
    /// Revoke a key, or all keys of a developer
    #[command(after_long_help = "Examples:
  devtrail keys revoke 9f86d081884c    the beginning of its SHA-256
  devtrail keys revoke ada             all of ada's")]
    Revoke {
        /// The key itself, the beginning of its SHA-256 as `keys list` shows it, or a developer
        #[arg(value_name = "KEY|DEVELOPER")]
        key: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Who gets a key, and what it may do.
#[derive(Debug, clap::Args)]
pub struct KeysCreateSettings {
    /// The developer who gets the key
    #[arg(
        value_name = "DEVELOPER",
        required_unless_present_any = ["from_file", "named"],
        conflicts_with_all = ["from_file", "named"]
    )]
    developer: Option<DeveloperId>,
    #[arg(
        long = "developer",
        id = "named",
        value_name = "DEVELOPER",
        hide = true,
        conflicts_with = "from_file"
    )]
    named: Option<DeveloperId>,
    /// A file with a developer a line; prints `developer key` lines, as `send --key-file` takes them
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    grant: Grant,
    #[command(flatten)]
    target: Target,
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

/// Which keys.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail keys list
  devtrail keys list --developer ada
  devtrail keys list --json")]
pub struct KeysListSettings {
    #[command(flatten)]
    developer: OnlyDeveloper,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if NATS does not answer, the bucket is missing, or no key is meant.
pub async fn run(command: KeysCommand, shutdown: &Shutdown) -> anyhow::Result<()> {
    match command {
        // It ends a signal itself: what it made and did not show is revoked.
        KeysCommand::Create(settings) => create_and_show(settings, shutdown).await,
        KeysCommand::List(settings) => until_shutdown(list(&settings), shutdown).await,
        KeysCommand::Revoke { target, key } => {
            until_shutdown(revoke(&target, &key), shutdown).await
        }
    }
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
    let js = settings.target.connect().await?;
    let bucket = &stored::bucket(&js).await?;
    let grant = &settings.grant;
    let is_many = settings.from_file.is_some();
    let developers = match (settings.developer.or(settings.named), settings.from_file) {
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
        (unshown, _) => format!(
            "Of {}, {unshown} could not be shown and were revoked again; the {shown} above are valid",
            output::count(unshown + shown, "key")
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
    let text = runtime::text_file::read(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let names: BTreeSet<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let developers = names.into_iter().map(str::parse);
    Ok(developers.collect::<Result<_, _>>()?)
}

async fn list(settings: &KeysListSettings) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    let mut keys = stored::all(&js).await?;
    if let Some(developer) = settings.developer.name() {
        keys.retain(|key| key.record.developer == *developer);
    }
    if keys.is_empty() {
        ensure_known(&settings.target, settings.developer.name()).await?;
    }
    if settings.json {
        let list = keys
            .iter()
            .map(|key| json!({"sha256": key.digest, "key": key.record}));
        return Ok(output::json(&list.collect::<Vec<_>>())?);
    }
    if keys.is_empty() {
        return Ok(output::line(
            "No keys. `devtrail keys create DEVELOPER` makes one.",
        )?);
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
            output::written_time(&record.created_at),
        ]
    };
    Ok(output::table(
        ["DEVELOPER", "SHA-256", "SCOPES", "RATE", "CREATED"],
        keys.iter().map(row).collect(),
    )?)
}

async fn revoke(target: &Target, named: &str) -> anyhow::Result<()> {
    let js = target.connect().await?;
    let bucket = stored::bucket(&js).await?;
    let found = named_keys(&js, &bucket, named).await?;
    if found.is_empty() {
        bail!(
            "No key fits {named:?}: it is neither a key, nor the beginning of a SHA-256, nor a developer with keys. \
             `devtrail keys list` shows them; a SHA-256 needs {SHOWN} characters."
        );
    }
    let delete = |key: StoredKey| {
        let bucket = &bucket;
        async move {
            bucket
                .delete(api_key::key_entry(&key.digest))
                .await
                .context("The key could not be revoked")?;
            let developer = &key.record.developer;
            Ok::<_, anyhow::Error>(format!("revoked {} of {developer}", key.short_digest()))
        }
    };
    let mut revoked = stream::iter(found.into_iter().map(delete)).buffered(AT_ONCE);
    while let Some(line) = revoked.try_next().await? {
        output::line(line)?;
    }
    Ok(())
}

/// The key itself or its whole digest, which are looked up; else all whose digest begins so, or whose developer is
/// called so.
async fn named_keys(
    js: &jetstream::Context,
    bucket: &kv::Store,
    named: &str,
) -> anyhow::Result<Vec<StoredKey>> {
    let is_digest = named.len() == 64 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = if is_digest {
        named.to_ascii_lowercase()
    } else {
        api_key::digest(named)
    };
    if let Some(key) = stored::find(bucket, &digest).await? {
        return Ok(vec![key]);
    }
    let mut keys = stored::all(js).await?;
    keys.retain(|key| {
        key.record.developer.as_str() == named
            || (named.len() >= SHOWN && key.digest.starts_with(named))
    });
    Ok(keys)
}

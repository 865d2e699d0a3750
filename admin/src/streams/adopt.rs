//! `devtrail streams adopt`: a store takes the streams over from another one.

use runtime::process::Process;
use serde::Serialize;
use store::{Identity, VerifyReads};
use workers::ownership::{self, Adoption};
use workers::{DatabaseSettings, DatabaseUrl, OpenedStore};

use crate::administrator::{administrator, confirmed, parse_reason};
use crate::output::{self, OUTPUT};
use crate::target::Target;

/// Which store takes over, and why.
#[derive(Debug, clap::Args)]
pub struct AdoptSettings {
    #[command(flatten)]
    target: Target,
    /// Why; it is kept in the audit and shown by `devtrail status`
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Do not ask, if the store has batches already
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct AdoptReport {
    store_id: String,
    database: String,
    /// The store that owned the streams; `None` if none did.
    before: Option<String>,
    /// `false` if they belonged to this store already: then nothing was done.
    adopted: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a worker runs on the SQLite file, the store has batches and nobody can be asked, or streams or
/// store do not answer.
pub async fn run(settings: AdoptSettings, process: &Process) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    let database_url = settings.target.database()?;
    let opened = DatabaseSettings {
        database_url: database_url.clone(),
    };
    match opened.open().await? {
        OpenedStore::Sqlite { store, lock: _held } => {
            adopt(&js, &store, &database_url, &settings, process).await
        }
        OpenedStore::Postgres(store) => adopt(&js, &store, &database_url, &settings, process).await,
    }
}

async fn adopt<S: Identity + VerifyReads>(
    js: &async_nats::jetstream::Context,
    store: &S,
    database: &DatabaseUrl,
    settings: &AdoptSettings,
    process: &Process,
) -> anyhow::Result<()> {
    let own = ownership::owner_of(store, database).await?;
    let owner = bus::store_owner::read(js).await?.map(|entry| entry.owner);
    let mut report = AdoptReport {
        store_id: own.store_id.clone(),
        database: own.database.clone(),
        before: owner.as_ref().map(ToString::to_string),
        adopted: false,
    };
    if owner.is_some_and(|owner| owner.store_id == own.store_id) {
        return show(&report, settings.json);
    }
    if !store.is_empty().await? && !settings.yes && !may_adopt(&own.database)? {
        return Ok(output::line("Nothing was changed.")?);
    }
    let adoption = Adoption {
        by: administrator(),
        reason: settings.reason.clone(),
        actor: process.actor.to_string(),
    };
    let streams = bus::event_streams(js).await?;
    ownership::adopt(js, streams, store, own, adoption).await?;
    report.adopted = true;
    show(&report, settings.json)
}

fn may_adopt(database: &str) -> anyhow::Result<bool> {
    let warning = format!(
        "The store {database} is not empty. What it has stays, and EVENTS is read into it again from the first message."
    );
    confirmed(&warning, &format!("{warning} Go on?"))
}

fn show(report: &AdoptReport, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(output::json(report)?);
    }
    let database = &report.database;
    if !report.adopted {
        return Ok(output::line(format!(
            "The streams belong to {database} already. Nothing was changed."
        ))?);
    }
    let before = report.before.as_deref().unwrap_or("no store that is known");
    Ok(output::line(format!(
        "The streams belong to {database} now; before, they belonged to {before}. Workers on it read EVENTS from its \
         first message; workers on another store stop."
    ))?)
}

//! Bringing a database up to this program's version: by one process at a time, never backwards.

use std::error::Error;

use deadpool_postgres::Object;
use refinery::Runner;
use refinery::error::Kind;
use tokio_postgres::Client;

use super::PostgresUrl;
use super::trouble::Trouble;
use crate::StoreError;
use crate::migrations::{self, misfit, tell};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// refinery does not keep two programs from migrating at once: this lock does. "devtrail" in hex.
const LOCK: i64 = 0x6465_7674_7261_696c;
/// A migration, of this process or another, may take longer than a lock or a statement of everyday's.
const PATIENCE: &str = "SET lock_timeout = '10min'; SET statement_timeout = 0";
const TAKE: &str = "SELECT pg_advisory_lock($1)";
const RELEASE: &str = "SELECT pg_advisory_unlock($1)";
const HAS_HISTORY: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
const VERSION: &str = "SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history";

/// Migrates, in a session that is closed afterwards: lock and patience end with it.
pub async fn run(session: Object, url: &PostgresUrl) -> Result<(), StoreError> {
    let mut session = Object::take(session);
    session.batch_execute(PATIENCE).await.map_err(ended)?;
    session.execute(TAKE, &[&LOCK]).await.map_err(ended)?;
    let runner = embedded::migrations::runner();
    let client: &mut Client = &mut session;
    let done = migrate(client, &runner, url).await;
    let released = session.execute(RELEASE, &[&LOCK]).await.map_err(ended);
    done.and(released.map(|_| ()))
}

async fn migrate(
    client: &mut Client,
    runner: &Runner,
    url: &PostgresUrl,
) -> Result<(), StoreError> {
    let report = runner
        .run_async(client)
        .await
        .map_err(|error| match error.kind() {
            Kind::Connection(what, source) => {
                match of_the_driver(&**source)
                    .map(Trouble::of)
                    .map(StoreError::from)
                {
                    // Cut off in the middle: the migration is a transaction, the next try begins anew.
                    Some(error) if error.is_transient() => error,
                    _ => StoreError::Failed(format!(
                        "the database {url} could not be migrated: {what}: {source}"
                    )),
                }
            }
            kind => migrations::incompatible(url, &misfit(kind), runner),
        })?;
    tell(&report);
    Ok(())
}

/// refinery wraps the driver's error, sometimes twice.
fn of_the_driver<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a tokio_postgres::Error> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

/// Looks whether the database fits this program, and changes nothing.
pub async fn check(session: &Object, url: &PostgresUrl) -> Result<(), StoreError> {
    let known: bool = session
        .query_one(HAS_HISTORY, &[])
        .await
        .map_err(ended)?
        .try_get(0)
        .map_err(ended)?;
    let version: i64 = match known {
        false => 0,
        true => session
            .query_one(VERSION, &[])
            .await
            .map_err(ended)?
            .try_get(0)
            .map_err(ended)?,
    };
    migrations::fits(url, version, &embedded::migrations::runner())
}

fn ended(error: tokio_postgres::Error) -> StoreError {
    Trouble::from(error).into()
}

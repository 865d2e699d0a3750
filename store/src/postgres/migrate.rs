//! Making the tables of a database: by one process at a time.

use std::error::Error;

use deadpool_postgres::Object;
use refinery::Runner;
use refinery::error::Kind;
use tokio_postgres::Client;

use super::error::TransactionError;
use super::url::PostgresUrl;
use crate::error::StoreError;
use crate::schema::{self, APPLIED_MIGRATIONS, AppliedMigration};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// refinery does not keep two programs from migrating at once: this lock does. "devtrail" in hex.
const LOCK: i64 = 0x6465_7674_7261_696c;
/// A migration, of this process or another, may take longer than a lock or a statement usually does.
const TIMEOUTS: &str = "SET lock_timeout = '10min'; SET statement_timeout = 0";
const ACQUIRE: &str = "SELECT pg_advisory_lock($1)";
const RELEASE: &str = "SELECT pg_advisory_unlock($1)";
const HAS_HISTORY: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";

/// Migrates, in a session that is closed afterwards: lock and timeouts end with it.
pub async fn run(session: Object, url: &PostgresUrl) -> Result<(), StoreError> {
    let mut session = Object::take(session);
    session.batch_execute(TIMEOUTS).await.map_err(failed)?;
    session.execute(ACQUIRE, &[&LOCK]).await.map_err(failed)?;
    let runner = embedded::migrations::runner();
    let client: &mut Client = &mut session;
    let done = migrate(client, &runner, url).await;
    let released = session.execute(RELEASE, &[&LOCK]).await.map_err(failed);
    done.and(released.map(|_| ()))
}

async fn migrate(
    client: &mut Client,
    runner: &Runner,
    url: &PostgresUrl,
) -> Result<(), StoreError> {
    schema::expect_empty_or_ours(url, &applied(client).await?, runner)?;
    let report = runner
        .run_async(client)
        .await
        .map_err(|error| match error.kind() {
            Kind::Connection(what, source) => {
                match driver_error(&**source)
                    .map(TransactionError::of)
                    .map(StoreError::from)
                {
                    // Cut off in the middle: the migration is a transaction, the next try begins anew.
                    Some(error) if error.is_transient() => error,
                    _ => StoreError::Failed(format!(
                        "the database {url} could not be migrated: {what}: {source}"
                    )),
                }
            }
            kind => schema::incompatible(url, &kind.to_string()),
        })?;
    schema::log_report(&report);
    Ok(())
}

/// refinery wraps the driver's error, sometimes twice.
fn driver_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a tokio_postgres::Error> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

/// Checks whether the database fits this program, and changes nothing.
pub async fn check(session: &Object, url: &PostgresUrl) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    schema::expect_ours(url, &applied(session).await?, &runner)
}

async fn applied(client: &Client) -> Result<Vec<AppliedMigration>, StoreError> {
    let known = client.query_one(HAS_HISTORY, &[]).await.map_err(failed)?;
    if !known.try_get::<_, bool>(0).map_err(failed)? {
        return Ok(Vec::new());
    }
    let rows = client.query(APPLIED_MIGRATIONS.postgres, &[]).await;
    let rows = rows.map_err(failed)?;
    rows.iter().map(AppliedMigration::decode).collect()
}

fn failed(error: tokio_postgres::Error) -> StoreError {
    TransactionError::from(error).into()
}

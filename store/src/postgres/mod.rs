//! Postgres: a pool of sessions, any number of processes, every write one transaction with a fixed
//! order of locks (docs/protocol.md, Transactions).

mod alerts;
mod answers;
mod attempts;
mod audit;
mod batches;
mod dead;
mod history;
mod jobs;
mod migrate;
mod outbox;
mod overdue;
mod persist;
mod quarantine;
mod read;
mod retention;
mod trouble;
mod url;

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction,
};
use runtime::metrics;
use runtime::retry::RetryPolicy;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::StoreError;
use trouble::{Trouble, unreachable};
pub use url::{BadPostgresUrl, PostgresUrl};

/// Sessions of one process.
const POOL: usize = 12;
/// The longest that a task waits for a session of the pool, or for a new one.
const SESSION_WAIT: Duration = Duration::from_secs(10);
/// The longest that a transaction or a read may take, and a single statement on the server: a server that hangs is
/// away. Steps are idempotent, so one whose outcome is unknown is done again.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a transaction that the server gave up (deadlock, serialization) is tried.
const ATTEMPTS: u32 = 8;
const BETWEEN_ATTEMPTS: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(20),
    cap: Duration::from_secs(1),
};

/// What every session starts with: a commit is on disk (R2.3), whatever the server's default.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '5s';
    SET statement_timeout = '30s';
    SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning'";

/// What a statement is given.
type Params<'a> = [&'a (dyn ToSql + Sync)];

/// The store in a Postgres database. Cheap to clone; all clones share the sessions.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    url: PostgresUrl,
}

/// The statements of one transaction. Run anew where the server gives it up.
trait Work: Send + Sync {
    /// What comes of it.
    type Done: Send;
    fn run(
        &self,
        transaction: &Transaction<'_>,
    ) -> impl Future<Output = Result<Self::Done, Trouble>> + Send;
}

impl Postgres {
    /// Connects, and brings the database up to this program's version; of several programs that
    /// start at once, one does. `name` is what the server's views call this process.
    ///
    /// # Errors
    /// Where the server cannot be reached, or a newer program made the database.
    pub async fn connect(url: &PostgresUrl, name: &str) -> Result<Self, StoreError> {
        let store = Self::new(url, name)?;
        migrate::run(store.session().await?, url).await?;
        Ok(store)
    }

    /// Connects to a database as it is: for commands that only look.
    ///
    /// # Errors
    /// Where the server cannot be reached, or the database was made by a newer or older program.
    pub async fn attach(url: &PostgresUrl, name: &str) -> Result<Self, StoreError> {
        let store = Self::new(url, name)?;
        migrate::check(&store.session().await?, url).await?;
        Ok(store)
    }

    fn new(url: &PostgresUrl, name: &str) -> Result<Self, StoreError> {
        let config = url.config(name);
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, url.tls()?, recycling);
        let prepare = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move {
                client
                    .batch_execute(SESSION)
                    .await
                    .map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            .max_size(POOL)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(SESSION_WAIT))
            .create_timeout(Some(SESSION_WAIT))
            .post_create(prepare)
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            pool,
            url: url.clone(),
        })
    }

    async fn session(&self) -> Result<Object, StoreError> {
        self.pool
            .get()
            .await
            .map_err(|error| unreachable(&self.url, &error))
    }

    /// Runs a writing transaction until the server takes it: what it gives up for another one's
    /// sake is tried again a few times.
    async fn write<W: Work>(&self, work: W) -> Result<W::Done, StoreError> {
        self.transact(work, IsolationLevel::ReadCommitted, false)
            .await
    }

    /// Runs a reading transaction: every statement sees the same moment, and nothing is locked.
    async fn read<W: Work>(&self, work: W) -> Result<W::Done, StoreError> {
        self.transact(work, IsolationLevel::RepeatableRead, true)
            .await
    }

    async fn transact<W: Work>(
        &self,
        work: W,
        isolation: IsolationLevel,
        read_only: bool,
    ) -> Result<W::Done, StoreError> {
        let mut attempt = 0;
        loop {
            let mut session = self.session().await?;
            // On the heap: a transaction's state is large, and a thread's stack is not.
            let done = timeout(
                DEADLINE,
                Box::pin(once(&mut session, &work, isolation, read_only)),
            )
            .await;
            match given_back(session, done) {
                Ok(done) => return Ok(done),
                Err(Trouble::Ended(error)) => return Err(error),
                Err(Trouble::Again(reason)) if attempt + 1 >= ATTEMPTS => {
                    let message = format!("{reason} (given up by the database {ATTEMPTS} times)");
                    return Err(StoreError::Unavailable(message));
                }
                Err(Trouble::Again(reason)) => {
                    tracing::debug!(
                        attempt,
                        reason,
                        "the database gave a transaction up; trying again"
                    );
                    metrics::store_retried();
                    BETWEEN_ATTEMPTS.pause(attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    /// Runs one reading statement.
    async fn rows(&self, sql: &'static str, params: &Params<'_>) -> Result<Vec<Row>, StoreError> {
        let session = self.session().await?;
        let rows = async {
            let statement = session.prepare_cached(sql).await?;
            session.query(&statement, params).await
        };
        let done = timeout(DEADLINE, rows)
            .await
            .map(|done| done.map_err(Trouble::from));
        Ok(given_back(session, done)?)
    }
}

/// Gives a session back to the pool after it was used. One that did not answer is closed: whoever took it next
/// would wait as long.
fn given_back<T>(session: Object, done: Result<Result<T, Trouble>, Elapsed>) -> Result<T, Trouble> {
    match done {
        Ok(done) => {
            if matches!(done, Err(Trouble::Again(_))) {
                // They may be what the server no longer takes.
                session.statement_cache.clear();
            }
            done
        }
        Err(_) => {
            drop(Object::take(session));
            let text = format!("Postgres did not answer within {} s", DEADLINE.as_secs());
            Err(StoreError::Unavailable(text).into())
        }
    }
}

async fn once<W: Work>(
    session: &mut Object,
    work: &W,
    isolation: IsolationLevel,
    read_only: bool,
) -> Result<W::Done, Trouble> {
    let begin = session
        .build_transaction()
        .isolation_level(isolation)
        .read_only(read_only);
    let transaction = begin.start().await?;
    // Dropped before its commit, a transaction is rolled back.
    let done = Box::pin(work.run(&transaction)).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Runs a statement of a transaction and gives its rows.
async fn rows(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
) -> Result<Vec<Row>, Trouble> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query(&statement, params).await?)
}

/// Runs a statement of a transaction and gives how many rows it changed.
async fn execute(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: &Params<'_>,
) -> Result<u64, Trouble> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, params).await?)
}

/// One column of many rows: statements take their rows as an array a column.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

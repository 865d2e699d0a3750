//! The store in a Postgres database.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction,
};
use runtime::metrics;
use runtime::retry::RetryPolicy;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::{IsolationLevel, Row};

use super::error::{TransactionError, unreachable};
use super::migrate;
use super::statements::Params;
use super::url::PostgresUrl;
use crate::error::StoreError;

/// Sessions of one process.
const POOL: usize = 12;
/// The longest that a task waits for a session of the pool, or for a new one.
const SESSION_WAIT: Duration = Duration::from_secs(10);
/// The timeout of a transaction or a read, and a single statement on the server: a server that hangs is
/// unavailable. Steps are idempotent, so one whose outcome is unknown is done again.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a transaction that the server aborts (deadlock, serialization) is tried.
const ATTEMPTS: u32 = 8;
const BETWEEN_ATTEMPTS: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(20),
    cap: Duration::from_secs(1),
};

/// What every session starts with.
///
/// A commit is on disk (R2.3), whatever the server's default. Every statement goes by keys: a plan that reads a whole
/// table was made when the table was small, and is kept when it has grown, since the server prepares a statement once
/// and knows of a table's size only after a minute (`autovacuum_naptime`). Compiling plans takes longer than they do.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '5s';
    SET statement_timeout = '30s';
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
    SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning'";

/// The store in a Postgres database. Cheap to clone; all clones share the sessions.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    url: PostgresUrl,
}

/// The statements of one transaction, and what they are about.
///
/// They may run several times: the server may abort a transaction for the sake of another one. A plain function, not
/// an async closure: the compiler cannot prove yet that an async closure's future is `Send` for every lifetime of the
/// transaction.
pub type Statements<I, T> =
    for<'t> fn(&'t Transaction<'t>, &'t I) -> StatementsFuture<'t, Result<T, TransactionError>>;
type StatementsFuture<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// How a transaction begins.
#[derive(Clone, Copy)]
struct Mode {
    isolation: IsolationLevel,
    read_only: bool,
}

impl Postgres {
    /// Connects, and creates the tables of an empty database; of several programs that start at once, one does.
    /// `name` is what the server's views call this process.
    ///
    /// # Errors
    /// Returns `StoreError::Unavailable` if the server cannot be reached, and `StoreError::Incompatible` if the
    /// database has another shape than this program needs.
    pub async fn connect(url: &PostgresUrl, name: &str) -> Result<Self, StoreError> {
        let store = Self::new(url, name)?;
        migrate::run(store.session().await?, url).await?;
        Ok(store)
    }

    /// Connects to a database as it is: for commands that only look.
    ///
    /// # Errors
    /// Returns `StoreError::Unavailable` if the server cannot be reached, and `StoreError::Incompatible` if the
    /// database has another shape than this program needs.
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

    /// Runs a writing transaction until the server commits it: one that is aborted for another one's
    /// sake is tried again a few times.
    pub(super) async fn write<I: Sync, T: Send>(
        &self,
        input: I,
        statements: Statements<I, T>,
    ) -> Result<T, StoreError> {
        let mode = Mode {
            isolation: IsolationLevel::ReadCommitted,
            read_only: false,
        };
        self.transact(&input, statements, mode).await
    }

    /// Runs a reading transaction: every statement sees the same moment, and nothing is locked.
    pub(super) async fn read<I: Sync, T: Send>(
        &self,
        input: I,
        statements: Statements<I, T>,
    ) -> Result<T, StoreError> {
        let mode = Mode {
            isolation: IsolationLevel::RepeatableRead,
            read_only: true,
        };
        self.transact(&input, statements, mode).await
    }

    async fn transact<I: Sync, T: Send>(
        &self,
        input: &I,
        statements: Statements<I, T>,
        mode: Mode,
    ) -> Result<T, StoreError> {
        let mut attempt = 0;
        loop {
            let mut session = self.session().await?;
            // On the heap: a transaction's state is large, and a thread's stack is not.
            let once = Box::pin(once(&mut session, input, statements, mode));
            let done = timeout(DEADLINE, once).await;
            match give_back(session, done) {
                Ok(done) => return Ok(done),
                Err(TransactionError::Ended(error)) => return Err(error),
                Err(TransactionError::Again(reason)) if attempt + 1 >= ATTEMPTS => {
                    let message = format!("{reason} (aborted by the database {ATTEMPTS} times)");
                    return Err(StoreError::Unavailable(message));
                }
                Err(TransactionError::Again(reason)) => {
                    tracing::debug!(
                        attempt,
                        reason,
                        "the database aborted a transaction; trying again"
                    );
                    metrics::store_retried();
                    BETWEEN_ATTEMPTS.pause(attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    /// Runs one reading statement; gives all rows, decoded.
    pub(super) async fn list<T>(
        &self,
        sql: &'static str,
        params: &Params<'_>,
        decode: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows(sql, params).await?.iter().map(decode).collect()
    }

    /// Runs one reading statement; gives the first row, decoded.
    pub(super) async fn one<T>(
        &self,
        sql: &'static str,
        params: &Params<'_>,
        decode: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let rows = self.rows(sql, params).await?;
        rows.first().map(decode).transpose()
    }

    async fn rows(&self, sql: &'static str, params: &Params<'_>) -> Result<Vec<Row>, StoreError> {
        let session = self.session().await?;
        let rows = async {
            let statement = session.prepare_cached(sql).await?;
            session.query(&statement, params).await
        };
        let done = timeout(DEADLINE, rows)
            .await
            .map(|done| done.map_err(TransactionError::from));
        Ok(give_back(session, done)?)
    }
}

/// Gives a session back to the pool after it was used. One that did not answer is closed: whoever took it next
/// would wait as long.
fn give_back<T>(
    session: Object,
    done: Result<Result<T, TransactionError>, Elapsed>,
) -> Result<T, TransactionError> {
    match done {
        Ok(done) => {
            if matches!(done, Err(TransactionError::Again(_))) {
                // They may be what the server no longer accepts.
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

async fn once<I, T>(
    session: &mut Object,
    input: &I,
    statements: Statements<I, T>,
    mode: Mode,
) -> Result<T, TransactionError> {
    let begin = session
        .build_transaction()
        .isolation_level(mode.isolation)
        .read_only(mode.read_only);
    let transaction = begin.start().await?;
    // Dropped before its commit, a transaction is rolled back.
    let done = statements(&transaction, input).await?;
    transaction.commit().await?;
    Ok(done)
}

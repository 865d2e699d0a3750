//! How far a store is, asked over one connection for as long as the watch lasts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use harness::{Database, Deployment, until};

/// A store whose counts do not change for so long will not go on.
const STALLED: Duration = Duration::from_secs(180);
/// A poll at most this part of the time, so that asking costs little of what is measured.
const SHARE: u32 = 50;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// Batches in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub stored: u64,
    pub completed: u64,
}

/// When a number of batches was stored, and when they were completed, from a start on.
#[derive(Debug, Clone, Copy)]
pub struct Milestones {
    pub stored: Duration,
    pub completed: Duration,
}

/// A connection of the bench to the store under load.
pub enum StoreWatch {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl StoreWatch {
    /// Waits until the workers have made their tables, and connects.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub async fn open(deployment: &Deployment) -> anyhow::Result<Self> {
        let tables = async || deployment.has_tables().await.then_some(());
        until("the workers have made their tables", tables).await;
        match &deployment.database {
            Database::Sqlite(path) => {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let connection = rusqlite::Connection::open_with_flags(path, flags)?;
                connection.busy_timeout(Duration::from_secs(30))?;
                Ok(Self::Sqlite(connection))
            }
            Database::Postgres(url) => {
                let (client, connection) =
                    tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                // Ends with its client.
                tokio::spawn(connection);
                Ok(Self::Postgres(client))
            }
        }
    }

    /// A single number.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn number(&self, sql: &str) -> anyhow::Result<u64> {
        let number: i64 = match self {
            Self::Sqlite(connection) => connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?,
            Self::Postgres(client) => client.query_one(sql, &[]).await?.try_get(0)?,
        };
        u64::try_from(number).context("a count")
    }

    /// How many batches are stored, and how many completed.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn progress(&self) -> anyhow::Result<Progress> {
        Ok(Progress {
            // First: a batch is completed later than it is stored.
            completed: self
                .number("SELECT count(*) FROM batches WHERE state = 'completed'")
                .await?,
            stored: self.number("SELECT count(*) FROM batches").await?,
        })
    }

    /// Waits until so many batches are completed; tells `seen` each state on the way.
    ///
    /// # Errors
    /// If the store does not get on any more.
    pub async fn completed(
        &self,
        batches: u64,
        since: Instant,
        mut seen: impl FnMut(Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Milestones> {
        let mut stored = None;
        let mut last = Progress::default();
        let mut changed = Instant::now();
        loop {
            let asked = Instant::now();
            let now = self.progress().await?;
            seen(now)?;
            if now.stored >= batches {
                stored.get_or_insert(since.elapsed());
            }
            if let (Some(stored), true) = (stored, now.completed >= batches) {
                let completed = since.elapsed();
                return Ok(Milestones { stored, completed });
            }
            if now != last {
                (last, changed) = (now, Instant::now());
            } else if changed.elapsed() > STALLED {
                bail!("no progress for {STALLED:?}: {now:?} of {batches} batches");
            }
            let pause = (asked.elapsed() * SHARE).max(SHORTEST_PAUSE);
            tokio::time::sleep(pause).await; // sleep: between two polls of a store that tells nobody
        }
    }

    /// Bytes of the tables with their indexes.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn bytes(&self) -> anyhow::Result<u64> {
        self.number(match self {
            Self::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres(_) => {
                "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class \
                 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            }
        })
        .await
    }
}

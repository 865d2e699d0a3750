//! How far a store is, asked over one connection for as long as the watch lasts.

use std::cell::Cell;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::{Database, Deployment, until};

/// What does not change for so long will not go on.
pub const STALLED: Duration = Duration::from_secs(180);
/// A poll at most this part of the time, so that asking costs little of what is measured.
const SHARE: u32 = 50;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// Batches in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreProgress {
    pub stored: u64,
    pub completed: u64,
}

/// When a number of batches was stored, and when they were completed, from a start on.
#[derive(Debug, Clone, Copy)]
pub struct Milestones {
    pub stored: Duration,
    pub completed: Duration,
}

/// Ends a wait for something that does not get on any more. The wait itself may last as long as it must.
#[derive(Debug)]
pub struct StallCheck<T> {
    last: T,
    changed: Instant,
}

impl<T: PartialEq + Debug> StallCheck<T> {
    /// Begins now, with this state.
    #[must_use]
    pub fn new(state: T) -> Self {
        Self {
            last: state,
            changed: Instant::now(),
        }
    }

    /// Takes the state of this moment.
    ///
    /// # Errors
    /// If it has been the same for [`STALLED`].
    pub fn see(&mut self, state: T) -> anyhow::Result<()> {
        self.see_at(state, Instant::now())
    }

    fn see_at(&mut self, state: T, now: Instant) -> anyhow::Result<()> {
        if state != self.last {
            (self.last, self.changed) = (state, now);
        }
        ensure!(
            now - self.changed <= STALLED,
            "no progress for {STALLED:?}: {:?}",
            self.last
        );
        Ok(())
    }
}

/// All batches up to here were counted; they are not read again.
#[derive(Debug, Clone, Copy, Default)]
struct Frontier {
    seq: u64,
    batches: u64,
}

impl Frontier {
    /// With the batches after it, of which `last` is the last; moves on if they have no gap.
    fn count(&mut self, after: u64, last: u64) -> u64 {
        let sum = self.batches + after;
        if last > self.seq && after == last - self.seq {
            *self = Self {
                seq: last,
                batches: sum,
            };
        }
        sum
    }
}

/// The first stream that a store meets is EVENTS, with `src` 1.
const STORED: &str =
    "SELECT count(*), coalesce(max(seq), 0) FROM batches WHERE src = 1 AND seq > $1";
const COMPLETED: &str = "SELECT count(*), coalesce(max(seq), 0) FROM batches \
                         WHERE state = 'completed' AND src = 1 AND seq > $1";

const COMPLETED_BATCHES: &str = "SELECT seq, batch_id FROM batches \
                                 WHERE state = 'completed' AND src = 1 AND seq > $1 ORDER BY seq";

/// The bench's own connection to the store under load.
pub struct StoreWatch {
    connection: Connection,
    stored: Cell<Frontier>,
    completed: Cell<Frontier>,
}

enum Connection {
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
        let connection = match &deployment.database {
            Database::Sqlite(path) => {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let connection = rusqlite::Connection::open_with_flags(path, flags)?;
                connection.busy_timeout(Duration::from_secs(30))?;
                Connection::Sqlite(connection)
            }
            Database::Postgres(url) => {
                let (client, connection) =
                    tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                // Ends with its client.
                tokio::spawn(connection);
                Connection::Postgres(client)
            }
        };
        Ok(Self {
            connection,
            stored: Cell::default(),
            completed: Cell::default(),
        })
    }

    /// A single number.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn number(&self, sql: &str) -> anyhow::Result<u64> {
        let number: i64 = match &self.connection {
            Connection::Sqlite(connection) => connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?,
            Connection::Postgres(client) => client.query_one(sql, &[]).await?.try_get(0)?,
        };
        u64::try_from(number).context("a count")
    }

    /// The texts of a column.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        Ok(match &self.connection {
            Connection::Sqlite(connection) => connection
                .prepare_cached(sql)?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?,
            Connection::Postgres(client) => {
                let rows = client.query(sql, &[]).await?;
                let texts: Result<_, _> = rows.iter().map(|row| row.try_get(0)).collect();
                texts?
            }
        })
    }

    async fn count(&self, sql: &str, frontier: &Cell<Frontier>) -> anyhow::Result<u64> {
        let mut reached = frontier.get();
        let from = i64::try_from(reached.seq)?;
        let (after, last): (i64, i64) = match &self.connection {
            Connection::Sqlite(connection) => connection
                .prepare_cached(sql)?
                .query_row([from], |row| Ok((row.get(0)?, row.get(1)?)))?,
            Connection::Postgres(client) => {
                let row = client.query_one(sql, &[&from]).await?;
                (row.try_get(0)?, row.try_get(1)?)
            }
        };
        let sum = reached.count(u64::try_from(after)?, u64::try_from(last)?);
        frontier.set(reached);
        Ok(sum)
    }

    /// The completed batches after a sequence: their sequences, rising, and ids.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn completed_after(&self, seq: u64) -> anyhow::Result<Vec<(u64, String)>> {
        let from = i64::try_from(seq)?;
        let rows: Vec<(i64, String)> = match &self.connection {
            Connection::Sqlite(connection) => connection
                .prepare_cached(COMPLETED_BATCHES)?
                .query_map([from], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?,
            Connection::Postgres(client) => {
                let rows = client.query(COMPLETED_BATCHES, &[&from]).await?;
                let row = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
                let rows: Result<_, tokio_postgres::Error> = rows.iter().map(row).collect();
                rows?
            }
        };
        let row = |(seq, id)| Ok((u64::try_from(seq)?, id));
        rows.into_iter().map(row).collect()
    }

    /// How many batches are stored, and how many completed.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn progress(&self) -> anyhow::Result<StoreProgress> {
        // Completed first: a batch is stored before that.
        let completed = self.count(COMPLETED, &self.completed).await?;
        let stored = self.count(STORED, &self.stored).await?;
        Ok(StoreProgress { stored, completed })
    }

    /// Waits until so many batches are completed; tells `seen` each state on the way.
    ///
    /// # Errors
    /// If the store does not get on any more.
    pub async fn completed(
        &self,
        batches: u64,
        since: Instant,
        mut seen: impl FnMut(StoreProgress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Milestones> {
        let mut stored = None;
        let mut stalled = StallCheck::new(StoreProgress::default());
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
            stalled
                .see(now)
                .with_context(|| format!("{batches} batches are awaited"))?;
            let pause = (asked.elapsed() * SHARE).max(SHORTEST_PAUSE);
            tokio::time::sleep(pause).await; // sleep: between two polls of a store that tells nobody
        }
    }

    /// Bytes of the tables with their indexes.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn bytes(&self) -> anyhow::Result<u64> {
        self.number(match self.connection {
            Connection::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Connection::Postgres(_) => {
                "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class \
                 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_still_is_stalled() {
        let mut check = StallCheck::new(0);
        let start = check.changed;
        let mut see = |state, seconds| check.see_at(state, start + Duration::from_secs(seconds));
        see(0, 180).expect("not yet");
        see(1, 200).expect("it goes on");
        see(1, 380).expect("not yet");
        let error = see(1, 381).expect_err("stalled");
        assert_eq!(error.to_string(), "no progress for 180s: 1");
    }

    #[test]
    fn a_frontier_moves_only_over_what_has_no_gap() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.count(0, 0), 0);
        assert_eq!(frontier.count(3, 3), 3);
        // 4 is missing; 5 and 6 count, and are counted again.
        assert_eq!(frontier.count(2, 6), 5);
        assert_eq!(frontier.seq, 3);
        assert_eq!(frontier.count(3, 6), 6);
        assert_eq!(frontier.seq, 6);
        assert_eq!(frontier.count(0, 0), 6);
    }
}

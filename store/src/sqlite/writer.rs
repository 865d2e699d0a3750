//! The one writer: what several tasks want written goes into one transaction a turn.
//!
//! A commit costs an fsync whatever is in it, and several writing processes starve each other; so
//! one thread receives all that waits, gives each a savepoint of its own, commits once, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::{Checkpoints, truncate};
use crate::error::StoreError;

/// Most work in one transaction; what waits beyond it is the next turn's.
const TURN: usize = 64;
/// Work that may wait; beyond it, callers wait to hand theirs over.
const QUEUE: usize = 1024;

/// Work for the writer thread: runs in its transaction, or gets the reason there is none, and gives what is to be
/// called with the end of the transaction.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Reply + Send>;
/// Answers whoever waits for the work.
type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

/// A handle to the writer thread.
#[derive(Clone)]
pub struct Writer {
    queue: SyncSender<Work>,
}

impl Writer {
    /// Starts the thread; it ends when the last handle is dropped.
    pub fn start(connection: Connection, database: &Path) -> Result<Self, StoreError> {
        let mut checkpoints = Checkpoints::start(database)?;
        let (queue, work) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(&connection, &mut checkpoints, &work))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue })
    }

    /// Runs `write` in the next turn's transaction; answers when that is committed. An error of `write` undoes
    /// `write` alone.
    pub async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let ended = || StoreError::Unavailable("the writer has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.clone();
        let work: Work = Box::new(move |transaction| {
            let written = transaction.and_then(|connection| in_savepoint(connection, write));
            Box::new(move |committed| {
                // Whoever asked may no longer wait; what was committed stays.
                let _ = answer.send(written.and_then(|value| committed.map(|()| value)));
            })
        });
        match queue.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
            // The writer is behind: wait for a place, off the runtime's threads.
            Err(TrySendError::Full(work)) => {
                let sent = tokio::task::spawn_blocking(move || queue.send(work)).await;
                sent.map_err(|_| ended())?.map_err(|_| ended())?;
            }
        }
        answered.await.map_err(|_| ended())?
    }
}

fn run(connection: &Connection, checkpoints: &mut Checkpoints, work: &Receiver<Work>) {
    while let Ok(first) = work.recv() {
        let turn: Vec<Work> = std::iter::once(first)
            .chain(work.try_iter().take(TURN - 1))
            .collect();
        take_turn(connection, turn);
        checkpoints.after_turn(connection);
    }
    truncate(connection);
}

/// One transaction: each work in its savepoint, one commit, then the answers.
fn take_turn(connection: &Connection, turn: Vec<Work>) {
    let began = connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(StoreError::from);
    let replies: Vec<Reply> = turn
        .into_iter()
        .map(|work| work(began.clone().map(|()| connection)))
        .collect();
    let committed =
        began.and_then(|()| connection.execute_batch("COMMIT").map_err(StoreError::from));
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction could not be rolled back");
    }
    for reply in replies {
        reply(committed.clone());
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT work")?;
    // A panic would end the writer, and with it all storing: it is this work's failure alone.
    let written = catch_unwind(AssertUnwindSafe(|| write(connection)));
    let result = written.unwrap_or_else(|_| {
        Err(StoreError::Failed(
            "writing panicked; the log says where".to_owned(),
        ))
    });
    if result.is_err() {
        connection.execute_batch("ROLLBACK TO work")?;
    }
    connection.execute_batch("RELEASE work")?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::checkpoint::WAL_LIMIT;

    /// With less than FULL a commit in WAL mode is on disk only after the next checkpoint (SQLite's
    /// documentation, "PRAGMA synchronous").
    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        const FULL: i64 = 2;
        let folder = tempfile::tempdir().unwrap();
        let store = crate::Sqlite::open(&folder.path().join("d.db")).unwrap();
        let pragma = |connection: &Connection| {
            let level =
                connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?;
            Ok((
                level,
                connection
                    .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?,
            ))
        };
        assert_eq!(store.write(pragma).await.unwrap(), (FULL, "wal".to_owned()));
    }

    #[tokio::test]
    async fn what_panics_is_undone_alone_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE one (n INTEGER)")
            .unwrap();
        let writer = Writer::start(connection, &path).unwrap();
        let insert =
            |connection: &Connection| Ok(connection.execute("INSERT INTO one VALUES (1)", [])?);
        let panics = writer.write(move |connection| {
            insert(connection)?;
            if connection.changes() == 1 {
                panic!("of a test");
            }
            Ok(())
        });
        assert!(matches!(panics.await, Err(StoreError::Failed(_))));
        writer.write(insert).await.unwrap();
        let count = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM one", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(writer.write(count).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_log_stays_bounded_whatever_a_turn_writes() {
        const BYTES: u64 = 4 * 1024 * 1024;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.db");
        let connection = Connection::open(&path).unwrap();
        crate::sqlite::connection::configure(&connection).unwrap();
        connection
            .execute_batch("CREATE TABLE big (body BLOB)")
            .unwrap();
        let writer = Writer::start(connection, &path).unwrap();
        for _ in 0..40 {
            let insert =
                |connection: &Connection| {
                    Ok(connection
                        .execute("INSERT INTO big VALUES (randomblob(?1))", [BYTES as i64])?)
                };
            writer.write(insert).await.unwrap();
            let log = std::fs::metadata(path.with_extension("db-wal"))
                .unwrap()
                .len();
            assert!(log < WAL_LIMIT + 3 * BYTES, "the log has {log} bytes");
        }
    }
}

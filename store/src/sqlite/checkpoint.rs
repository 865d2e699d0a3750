//! Keeping the write-ahead log small: PASSIVE checkpoints beside the writer, TRUNCATE if it grew too far.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::error::StoreError;

/// A passive checkpoint is asked for when this many turns have passed.
const TURNS: u32 = 200;
/// Or when the log has grown by this much since the last one: turns differ in size.
const GROWTH: u64 = 8 * 1024 * 1024;
/// Beyond this size the log is cut back to nothing, even if the writer waits for it
/// (`docs/protocol.md`: a log that only grows was 1.1 GB after eight seconds).
pub const WAL_LIMIT: u64 = 64 * 1024 * 1024;

/// Watches the log of one database.
pub struct Checkpoints {
    log: PathBuf,
    nudge: SyncSender<()>,
    /// Held by the checkpoint that is under way. SQLite runs one at a time, and refuses a second at once, without
    /// waiting (its documentation, `sqlite3_wal_checkpoint_v2`): cutting the log back would be put off.
    under_way: Arc<Mutex<()>>,
    turns: u32,
    last: u64,
    truncate_at: u64,
}

impl Checkpoints {
    /// Starts the thread that makes passive checkpoints, on a connection of its own: off the path of
    /// a commit. It ends with this.
    pub fn start(database: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(database)?;
        let (nudge, nudged) = sync_channel(1);
        let under_way = Arc::<Mutex<()>>::default();
        let passive_under_way = under_way.clone();
        std::thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || passive(&connection, &nudged, &passive_under_way))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Ok(Self {
            log: log.into(),
            nudge,
            under_way,
            turns: 0,
            last: 0,
            truncate_at: WAL_LIMIT,
        })
    }

    /// The writer has ended a turn: checkpoints if it is time. The log's file keeps its size while
    /// it is reused, so only growth counts.
    pub fn after_turn(&mut self, writer: &Connection) {
        // Without a log there is nothing to do.
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.turns += 1;
        if bytes > self.truncate_at {
            let _alone = self
                .under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // A reader that stays keeps it from being cut: not tried again at each turn.
            self.truncate_at = if truncate(writer) {
                WAL_LIMIT
            } else {
                bytes + WAL_LIMIT
            };
            self.last = 0;
        } else if self.turns >= TURNS || bytes > self.last + GROWTH {
            // One that is asked for already is enough.
            let _ = self.nudge.try_send(());
            (self.turns, self.last) = (0, bytes);
        }
    }
}

fn passive(connection: &Connection, nudged: &Receiver<()>, under_way: &Mutex<()>) {
    while nudged.recv().is_ok() {
        let _alone = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log could not be checkpointed");
        }
    }
}

/// Cuts the log back to nothing; whether that could be done.
pub fn truncate(writer: &Connection) -> bool {
    let busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, bool>(0)
    });
    match busy {
        Ok(busy) => !busy,
        Err(error) => {
            tracing::warn!(%error, "the write-ahead log could not be cut back");
            false
        }
    }
}

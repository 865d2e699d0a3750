//! Connections for reading, beside the writer: taken, used for a short while, given back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::connection::open_read_only;
use crate::error::StoreError;

/// Idle connections of one file. Cheap to clone.
#[derive(Clone)]
pub struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Readers of the database at `path`; the first connection shows that it can be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let first = open_read_only(path)?;
        Ok(Self {
            path: path.to_owned(),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// Runs `read` in one snapshot, off the runtime's threads.
    pub async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let readers = self.clone();
        let run = move || {
            let connection = match readers.lock().pop() {
                Some(idle) => idle,
                None => open_read_only(&readers.path)?,
            };
            let snapshot = connection.unchecked_transaction()?;
            let value = read(&snapshot);
            snapshot.finish()?;
            readers.lock().push(connection);
            value
        };
        let ended = |error: tokio::task::JoinError| {
            StoreError::Failed(format!("a read broke off: {error}"))
        };
        tokio::task::spawn_blocking(run).await.map_err(ended)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Pushes and pops cannot leave the list half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

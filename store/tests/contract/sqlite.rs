//! SQLite under the contract: a file of its own in a temporary folder.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params};
use store::Sqlite;
use tempfile::TempDir;
use types::id::BatchRef;

use crate::build::Engine;
use crate::dump::{Cell, Dump, Row};

/// An empty SQLite store.
pub struct SqliteEngine {
    store: Sqlite,
    path: PathBuf,
    _folder: TempDir,
}

impl Engine for SqliteEngine {
    type Store = Sqlite;

    fn fresh() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("devtrail.db");
        Self {
            store: Sqlite::open(&path).unwrap(),
            path,
            _folder: folder,
        }
    }

    fn store(&self) -> &Sqlite {
        &self.store
    }

    fn dump(&self) -> Dump {
        let connection =
            Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let snapshot = connection.unchecked_transaction().unwrap();
        let names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')";
        let mut names = snapshot.prepare(names).unwrap();
        let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
        Dump::new(names.map(|name| {
            let name = name.unwrap();
            let rows = rows(&snapshot, &name);
            (name, rows)
        }))
    }

    fn forget(&self, developer: &str, until: BatchRef) {
        let forget =
            "INSERT INTO developers (developer, tombstone_src, tombstone_seq) VALUES (?1, ?2, ?3)
            ON CONFLICT (developer) DO UPDATE SET tombstone_src = ?2, tombstone_seq = ?3";
        let connection = Connection::open(&self.path).unwrap();
        connection
            .execute(forget, params![developer, until.src, until.seq as i64])
            .unwrap();
    }

    fn execute(&self, sql: &str) {
        let connection = Connection::open(&self.path).unwrap();
        // The store's own writer may be at it.
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

fn rows(connection: &Connection, table: &str) -> Vec<Row> {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM \"{table}\""))
        .unwrap();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let cells = columns.iter().enumerate().map(|(index, column)| {
            let cell = match row.get_ref(index)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Int(number),
                ValueRef::Real(number) => panic!("{table}.{column} holds the real {number}"),
                ValueRef::Text(text) => Cell::Text(String::from_utf8(text.to_vec()).unwrap()),
                ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
            };
            Ok((column.clone(), cell))
        });
        cells.collect::<rusqlite::Result<_>>().map(Row)
    });
    rows.unwrap().map(Result::unwrap).collect()
}

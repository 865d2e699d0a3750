//! Postgres under the contract: a database of its own on the server of the run.

use store::Postgres;
use tokio_postgres::types::Type;
use tokio_postgres::{IsolationLevel, Row as PostgresRow};
use types::id::BatchRef;

use crate::build::Engine;
use crate::dump::{Cell, Dump, Row};
use crate::server;

/// Partitions are part of their table.
const RELATIONS: &str = "SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition";

/// An empty Postgres store.
pub struct PostgresEngine {
    store: Postgres,
    database: String,
}

impl PostgresEngine {
    /// The name of its database.
    pub fn database(&self) -> &str {
        &self.database
    }
}

impl Engine for PostgresEngine {
    type Store = Postgres;

    fn fresh() -> Self {
        let database = server::take();
        let url = server::url(&database);
        let store = server::wait(async { Postgres::attach(&url, "devtrail-test").await });
        Self {
            store: store.unwrap(),
            database,
        }
    }

    fn store(&self) -> &Postgres {
        &self.store
    }

    fn dump(&self) -> Dump {
        let tables = server::with(&self.database, async |client| {
            let snapshot = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead);
            let snapshot = snapshot.start().await.unwrap();
            let mut tables = Vec::new();
            for name in snapshot.query(RELATIONS, &[]).await.unwrap() {
                let name: String = name.get(0);
                let rows = snapshot
                    .query(&format!("SELECT * FROM \"{name}\""), &[])
                    .await
                    .unwrap();
                tables.push((name, rows.iter().map(row).collect()));
            }
            tables
        });
        Dump::new(tables.into_iter())
    }

    fn forget(&self, developer: &str, until: BatchRef) {
        let forget =
            "INSERT INTO developers (developer, tombstone_src, tombstone_seq) VALUES ($1, $2, $3)
            ON CONFLICT (developer) DO UPDATE SET tombstone_src = $2, tombstone_seq = $3";
        server::with(&self.database, async |client| {
            client
                .execute(forget, &[&developer, &until.src, &(until.seq as i64)])
                .await
                .unwrap();
        });
    }

    fn execute(&self, sql: &str) {
        server::with(&self.database, async |client| {
            client.batch_execute(sql).await.unwrap();
        });
    }
}

impl Drop for PostgresEngine {
    fn drop(&mut self) {
        server::give_back(std::mem::take(&mut self.database));
    }
}

fn row(row: &PostgresRow) -> Row {
    let cells = row.columns().iter().enumerate().map(|(index, column)| {
        let cell = match *column.type_() {
            Type::INT4 => row
                .get::<_, Option<i32>>(index)
                .map(|number| Cell::Int(number.into())),
            Type::INT8 => row.get::<_, Option<i64>>(index).map(Cell::Int),
            Type::TEXT | Type::VARCHAR => row.get::<_, Option<String>>(index).map(Cell::Text),
            Type::BYTEA => row.get::<_, Option<Vec<u8>>>(index).map(Cell::Bytes),
            ref other => panic!("{} is a {other}", column.name()),
        };
        (column.name().to_owned(), cell.unwrap_or(Cell::Null))
    });
    Row(cells.collect())
}

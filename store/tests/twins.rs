//! SQLite and Postgres have the same tables, columns and views, made by migrations of the same names.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use store::{Postgres, Sqlite};
use tokio_postgres::NoTls;

/// The columns of each table and view in their order: name, what it holds, whether it must hold it.
type Shape = BTreeMap<String, Vec<(String, &'static str, bool)>>;

/// refinery's own.
const HISTORY: &str = "refinery_schema_history";
/// Views tell nothing of what a column must hold, and on SQLite nothing of what an expression gives.
const POSTGRES_COLUMNS: &str = "SELECT c.relname::text, a.attname::text,
      CASE c.relkind WHEN 'v' THEN 'view' ELSE format_type(a.atttypid, NULL) END, a.attnotnull OR c.relkind = 'v'
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
    ORDER BY c.relname, a.attnum";
const SQLITE_COLUMNS: &str =
    "SELECT m.name, c.name, CASE m.type WHEN 'view' THEN 'view' ELSE c.type END,
      c.\"notnull\" OR c.pk > 0 OR m.type = 'view'
    FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type IN ('table', 'view') ORDER BY m.name, c.cid";

/// A type of either engine, by what it holds.
fn holds(kind: &str) -> &'static str {
    match kind {
        "INTEGER" | "integer" | "bigint" => "numbers",
        "TEXT" | "text" => "text",
        "BLOB" | "bytea" => "bytes",
        "view" => "what its expression gives",
        other => panic!("a column of the type {other}: say here what it holds"),
    }
}

fn sqlite() -> Shape {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("devtrail.db");
    drop(Sqlite::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare(SQLITE_COLUMNS).unwrap();
    let mut shape = Shape::new();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (table, column): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        if table != HISTORY {
            let kind = holds(&row.get::<_, String>(2).unwrap());
            shape
                .entry(table)
                .or_default()
                .push((column, kind, row.get(3).unwrap()));
        }
    }
    shape
}

async fn postgres() -> Shape {
    let server = std::env::var("DEVTRAIL_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "There is no Postgres to test with: run `make test`, or start one with `scripts/postgres.sh start` and \
             put the URL that it prints into DEVTRAIL_TEST_POSTGRES."
        )
    });
    let name = format!("devtrail_twins_{}", std::process::id());
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    let address = format!("{base}/{name}");
    drop(
        Postgres::connect(&address.parse().unwrap(), "devtrail-test")
            .await
            .unwrap(),
    );
    let (twin, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut shape = Shape::new();
    for row in twin.query(POSTGRES_COLUMNS, &[]).await.unwrap() {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        if table != HISTORY {
            shape
                .entry(table)
                .or_default()
                .push((column, holds(row.get(2)), row.get(3)));
        }
    }
    client
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .unwrap();
    shape
}

fn migrations(engine: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(engine);
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn each_migration_has_a_twin_of_the_same_number_and_name() {
    let names = migrations("sqlite");
    assert!(
        !names.is_empty() && names.iter().all(|name| name.starts_with('V')),
        "{names:?}"
    );
    assert_eq!(names, migrations("postgres"));
}

#[tokio::test]
async fn both_engines_have_the_same_tables_views_and_columns() {
    let (sqlite, postgres) = (sqlite(), postgres().await);
    assert!(sqlite.contains_key("batches") && sqlite.contains_key("duplicates_with_originals"));
    assert_eq!(
        sqlite.keys().collect::<Vec<_>>(),
        postgres.keys().collect::<Vec<_>>()
    );
    for (table, columns) in &sqlite {
        assert_eq!(columns, &postgres[table], "{table}");
    }
}

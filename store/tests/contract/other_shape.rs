//! A database of another shape is refused with the remedy, and left as it is.

use rusqlite::Connection;
use store::{Postgres, Sqlite, StoreError};
use tempfile::TempDir;

use crate::server;

/// What an older or newer program leaves in the history of the migrations: another file under the number of ours, and
/// more files than ours.
const OTHER_HISTORIES: [&str; 2] = [
    "UPDATE refinery_schema_history SET name = 'spine', checksum = '1'",
    "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
     VALUES (2, 'jobs', '2026-01-01T00:00:00Z', '2'), (3, 'attempts', '2026-01-01T00:00:00Z', '3')",
];

fn expect_refusal(result: Result<(), StoreError>) {
    let Err(StoreError::Incompatible(text)) = result else {
        panic!("it was not refused: {result:?}");
    };
    for part in ["has another shape", "rebuild it from the stream", "EVENTS"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn sqlite_refuses_a_database_of_another_shape() {
    for other in OTHER_HISTORIES {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("devtrail.db");
        drop(Sqlite::open(&path).unwrap());
        drop(Sqlite::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(other).unwrap();
        expect_refusal(Sqlite::open(&path).map(drop));
        expect_refusal(Sqlite::open_read_only(&path).map(drop));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_a_database_of_another_shape() {
    for other in OTHER_HISTORIES {
        let name = server::new_name("other_shape");
        server::create(&name, "template0");
        let url = server::url(&name);
        drop(Postgres::connect(&url, "devtrail-test").await.unwrap());
        drop(Postgres::connect(&url, "devtrail-test").await.unwrap());
        server::with(&name, async |client| {
            client.batch_execute(other).await.unwrap();
        });
        expect_refusal(Postgres::connect(&url, "devtrail-test").await.map(drop));
        expect_refusal(Postgres::attach(&url, "devtrail-test").await.map(drop));
    }
}

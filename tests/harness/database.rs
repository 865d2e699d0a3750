//! Direct access to a test's database, without the product's code.

use std::path::PathBuf;

use tokio_postgres::NoTls;

/// Which store a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, one process with every role.
    Sqlite,
    /// A server, each role as processes of its own.
    Postgres,
}

/// A test's database.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// A database of its own: a path in `folder`, or an empty database of the suite's server.
    ///
    /// # Panics
    /// If the suite has no Postgres server.
    pub async fn fresh(engine: Engine, folder: &std::path::Path) -> Self {
        if engine == Engine::Sqlite {
            return Self::Sqlite(folder.join("devtrail.db"));
        }
        let server = std::env::var("DEVTRAIL_TEST_POSTGRES").expect(
            "DEVTRAIL_TEST_POSTGRES names no server: run `make test`, or start one with scripts/postgres.sh",
        );
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        connect(&server)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("a database");
        let (base, _) = server
            .rsplit_once('/')
            .expect("the server's URL ends in a database");
        Self::Postgres(format!("{base}/{name}"))
    }

    /// Drops a database of the suite's server, whoever is connected; a file goes with its folder.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn remove(&self) {
        let Self::Postgres(url) = self else { return };
        let (server, name) = url.rsplit_once('/').expect("a URL that ends in a database");
        connect(&format!("{server}/postgres"))
            .await
            .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
            .expect("it is dropped");
    }

    /// As `--database-url` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// The rows of a query, each column as text; NULL is empty.
    ///
    /// # Panics
    /// If the query fails.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Sqlite(path) => sqlite_rows(path, sql),
            Self::Postgres(url) => postgres_rows(url, sql).await,
        }
    }

    /// A single number.
    ///
    /// # Panics
    /// If the query fails or gives no number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await[0][0].parse().expect("a number")
    }

    /// Runs statements that change the database, such as a trigger that counts inserts.
    ///
    /// # Panics
    /// If one fails.
    pub async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).expect("the database opens");
                connection
                    .busy_timeout(std::time::Duration::from_secs(30))
                    .expect("a timeout");
                connection.execute_batch(sql).expect("the statements run");
            }
            Self::Postgres(url) => connect(url)
                .await
                .batch_execute(sql)
                .await
                .expect("the statements run"),
        }
    }
}

/// A lock on the database, held by the test.
pub enum DatabaseLock {
    /// A writing transaction of the file.
    Sqlite(rusqlite::Connection),
    /// A transaction that locks a table.
    Postgres(tokio_postgres::Client),
}

impl DatabaseLock {
    /// Lets go.
    ///
    /// # Panics
    /// If that fails.
    pub async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").expect("it is let go"),
            Self::Postgres(client) => client
                .batch_execute("ROLLBACK")
                .await
                .expect("it is let go"),
        }
    }
}

impl Database {
    /// Keeps every other process from storing batches.
    ///
    /// # Panics
    /// If the lock cannot be taken.
    pub async fn hold_locked(&self) -> DatabaseLock {
        match self {
            Self::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).expect("the database opens");
                connection
                    .busy_timeout(std::time::Duration::from_secs(30))
                    .expect("a timeout");
                connection
                    .execute_batch("BEGIN IMMEDIATE")
                    .expect("the lock");
                DatabaseLock::Sqlite(connection)
            }
            Self::Postgres(url) => {
                let client = connect(url).await;
                // Writers wait for it, readers do not.
                let lock = "BEGIN; LOCK TABLE batches IN SHARE ROW EXCLUSIVE MODE";
                client.batch_execute(lock).await.expect("the lock");
                DatabaseLock::Postgres(client)
            }
        }
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("Postgres answers");
    // Ends with its client.
    tokio::spawn(connection);
    client
}

async fn postgres_rows(url: &str, sql: &str) -> Vec<Vec<String>> {
    let messages = connect(url)
        .await
        .simple_query(sql)
        .await
        .expect("the query runs");
    let rows = messages.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|column| row.get(column).unwrap_or_default().to_owned())
                .collect(),
        ),
        _ => None,
    });
    rows.collect()
}

fn sqlite_rows(path: &std::path::Path, sql: &str) -> Vec<Vec<String>> {
    use rusqlite::types::ValueRef;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection =
        rusqlite::Connection::open_with_flags(path, flags).expect("the database opens");
    connection
        .busy_timeout(std::time::Duration::from_secs(30))
        .expect("a timeout");
    let mut statement = connection.prepare(sql).expect("the query is sound");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
            })
        });
        cells.collect::<rusqlite::Result<Vec<String>>>()
    });
    rows.expect("the query runs")
        .map(|row| row.expect("a row"))
        .collect()
}

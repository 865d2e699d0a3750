//! What an error of the server or the wire means: try again, wait for the dependency, or a defect.

use std::error::Error;
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use super::url::PostgresUrl;
use crate::error::StoreError;

/// Why a transaction ended early.
#[derive(Debug)]
pub enum TransactionError {
    /// The server aborted it for the sake of another one, or a prepared statement is out of date: the same
    /// statements, prepared anew, may well succeed.
    Again(String),
    /// Nothing that trying again at once would fix.
    Ended(StoreError),
}

impl From<tokio_postgres::Error> for TransactionError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}

impl TransactionError {
    /// What the error means.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        let text = chain(error);
        match error.code() {
            Some(code) => match meaning(code, &text) {
                Meaning::Again => Self::Again(text),
                Meaning::Transient => Self::Ended(StoreError::Unavailable(text)),
                Meaning::Administrator => Self::Ended(StoreError::Incompatible(format!(
                    "The database lacks what this program needs, or keeps it from it: {text}. Put a whole backup back, \
                     or GRANT the user of --database-url what is missing; then all goes on by itself."
                ))),
                Meaning::Refusal => Self::Ended(StoreError::Refused(text)),
                Meaning::Defect => Self::Ended(StoreError::Failed(text)),
            },
            None if error.is_closed() || is_io(error) => Self::Ended(StoreError::Unavailable(text)),
            None => Self::Ended(StoreError::Failed(text)),
        }
    }
}

impl From<StoreError> for TransactionError {
    fn from(error: StoreError) -> Self {
        Self::Ended(error)
    }
}

impl From<TransactionError> for StoreError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Again(reason) => Self::Unavailable(reason),
            TransactionError::Ended(error) => error,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Again,
    Transient,
    Administrator,
    Refusal,
    Defect,
}

/// By SQLSTATE, whose first two characters are its class (PostgreSQL's documentation, appendix A).
fn meaning(code: &SqlState, text: &str) -> Meaning {
    match code.code() {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Meaning::Again,
        // feature_not_supported: a table was altered since the statement was prepared.
        "0A000" if text.contains("cached plan must not change result type") => Meaning::Again,
        // lock_not_available: it was waited for already, and the caller retries.
        "55P03" => Meaning::Transient,
        // read_only_sql_transaction: after a failover, the old primary. idle_in_transaction_session_timeout
        "25006" | "25P03" => Meaning::Transient,
        // insufficient_privilege, undefined_table, invalid_schema_name, undefined_column: half a restore
        "42501" | "42P01" | "3F000" | "42703" => Meaning::Administrator,
        // 08 connection, 53 resources (disk full, too many sessions), 57 operator (shutdown), 58 system,
        // XX the server itself (a damaged page, a defect of its own)
        code if ["08", "53", "57", "58", "XX"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Meaning::Transient
        }
        // 22 data exception (an encoding, a range), 23 integrity constraint: so at each attempt.
        code if ["22", "23"].iter().any(|class| code.starts_with(class)) => Meaning::Refusal,
        _ => Meaning::Defect,
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<io::Error>())
}

/// The error with its causes, each once. Errors of the driver hold no password.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    text
}

/// The error if no session can be had.
pub fn unreachable(url: &PostgresUrl, error: &PoolError) -> StoreError {
    let reason = match error {
        PoolError::Timeout(_) => {
            "no session became free, or none could be opened, within 10 s".to_owned()
        }
        PoolError::Backend(error) => chain(error),
        other => chain(other),
    };
    StoreError::Unavailable(format!(
        "No session with Postgres at {url}: {reason}. Start the server, make the database (createdb), or name \
         another one with --database-url."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_class_follows_the_sqlstate() {
        let of = |code: &str| meaning(&SqlState::from_code(code), "x");
        let all = |codes: &[&'static str], wanted| {
            codes
                .iter()
                .for_each(|code| assert_eq!(of(code), wanted, "{code}"));
        };
        all(&["40001", "40P01"], Meaning::Again);
        let transient = [
            "08006", "53100", "53300", "57P01", "57P03", "57014", "58030", "25006", "25P03",
        ];
        all(&transient, Meaning::Transient);
        all(&["55P03", "XX000", "XX001", "XX002"], Meaning::Transient);
        all(
            &["42501", "42P01", "3F000", "42703"],
            Meaning::Administrator,
        );
        all(&["23505", "22021"], Meaning::Refusal);
        all(&["42601", "25001", "P0001", "0A000"], Meaning::Defect);
        let altered = "ERROR: cached plan must not change result type";
        assert_eq!(
            meaning(&SqlState::FEATURE_NOT_SUPPORTED, altered),
            Meaning::Again
        );
    }
}

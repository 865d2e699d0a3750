//! What an error of the server or the wire means: try again, wait for the surroundings, or a defect.

use std::error::Error;
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use super::PostgresUrl;
use crate::StoreError;

/// Why a transaction ended early.
#[derive(Debug)]
pub enum Trouble {
    /// The server gave it up for the sake of another one: the same statements may well succeed.
    Again(String),
    /// Nothing that trying again at once would mend.
    Ended(StoreError),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}

impl Trouble {
    /// What the error means.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        let text = chain(error);
        match error.code() {
            Some(code) => match meaning(code) {
                Meaning::Again => Self::Again(text),
                Meaning::Surroundings => Self::Ended(StoreError::Unavailable(text)),
                Meaning::Refusal => Self::Ended(StoreError::Refused(text)),
                Meaning::Defect => Self::Ended(StoreError::Failed(text)),
            },
            None if error.is_closed() || is_io(error) => Self::Ended(StoreError::Unavailable(text)),
            None => Self::Ended(StoreError::Failed(text)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Ended(error)
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Again(reason) => Self::Unavailable(reason),
            Trouble::Ended(error) => error,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Again,
    Surroundings,
    Refusal,
    Defect,
}

/// By SQLSTATE, whose first two characters are its class (PostgreSQL's documentation, appendix A).
fn meaning(code: &SqlState) -> Meaning {
    match code.code() {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => Meaning::Again,
        // read_only_sql_transaction: after a failover, the old primary.
        "25006" => Meaning::Surroundings,
        // 08 connection, 53 resources (disk full, too many sessions), 57 operator (shutdown), 58 system
        code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Meaning::Surroundings,
        // 22 data exception (an encoding, a range), 23 integrity constraint: so at each attempt.
        code if ["22", "23"].iter().any(|class| code.starts_with(class)) => Meaning::Refusal,
        _ => Meaning::Defect,
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<io::Error>())
}

/// The error with its causes, each told once. Errors of the driver hold no password.
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

/// No session is to be had.
pub fn unreachable(url: &PostgresUrl, error: &PoolError) -> StoreError {
    let reason = match error {
        PoolError::Timeout(_) => "no session became free, or none could be opened, within 10 s".to_owned(),
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
    fn what_the_server_gives_up_is_tried_again_and_a_defect_is_not_blamed_on_the_surroundings() {
        let of = |code| meaning(&SqlState::from_code(code));
        assert!(["40001", "40P01", "55P03"].iter().all(|code| of(code) == Meaning::Again));
        let surroundings = ["08006", "53100", "53300", "57P01", "57P03", "58030", "25006"];
        assert!(surroundings.iter().all(|code| of(code) == Meaning::Surroundings));
        assert!(["23505", "22021"].iter().all(|code| of(code) == Meaning::Refusal));
        assert!(["42601", "25001", "P0001"].iter().all(|code| of(code) == Meaning::Defect));
    }
}

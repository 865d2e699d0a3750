//! Asking the workers over NATS: the collector links no database.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Request, RequestErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::query::Answer;

use http_server::{ErrorCode, Problem};

/// How long a client that asks for something stored waits for the workers' answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the workers.
pub struct Asker(Client);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// NATS is away.
    #[error("NATS is not connected")]
    NotConnected,
    /// Nobody listens.
    #[error("no worker runs that could answer")]
    NoWorker,
    /// Nobody answered in time.
    #[error("no worker answered within {0:?}")]
    Late(Duration),
    /// A worker could not read the store.
    #[error("the store could not be read: {0}")]
    Store(String),
    /// The request failed, or its answer is none.
    #[error("asking the workers failed: {0}")]
    Failed(String),
}

impl Asker {
    /// Asks by way of `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Asks one question and waits for its answer.
    ///
    /// # Errors
    /// Where there is none within `patience`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        subject: &'static str,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Unanswered> {
        let failed = |error: &dyn std::fmt::Display| Unanswered::Failed(error.to_string());
        // The client would hold the question back until its time is over.
        if self.0.connection_state() != State::Connected {
            return Err(Unanswered::NotConnected);
        }
        let question = serde_json::to_vec(question).map_err(|error| failed(&error))?;
        let request = Request::new()
            .payload(question.into())
            .timeout(Some(patience));
        let reply = self
            .0
            .send_request(subject, request)
            .await
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Unanswered::NoWorker,
                RequestErrorKind::TimedOut => Unanswered::Late(patience),
                _ => failed(&error),
            })?;
        match serde_json::from_slice(&reply.payload).map_err(|error| failed(&error))? {
            Answer::Ok(answer) => Ok(answer),
            Answer::Unavailable(reason) => Err(Unanswered::Store(reason)),
        }
    }
}

impl From<Unanswered> for Problem {
    fn from(why: Unanswered) -> Self {
        tracing::warn!(%why, "a question about the store was not answered");
        // What a store says of itself may name hosts or files: that is for the log.
        let why = match why {
            Unanswered::Store(_) => "the store could not be read".to_owned(),
            Unanswered::Failed(_) => "the workers' answer could not be read".to_owned(),
            why => why.to_string(),
        };
        Problem::new(
            ErrorCode::StoreUnavailable,
            format!("This cannot be told now: {why}. Ask again later."),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hears_no_secret_of_the_store() {
        let problem = Problem::from(Unanswered::Store("postgres://ada:secret@db".to_owned()));
        assert_eq!(
            (problem.code.as_str(), problem.code.status().as_u16()),
            ("store_unavailable", 503)
        );
        assert!(
            problem.retry_after.is_some() && !problem.detail.contains("secret"),
            "{problem:?}"
        );
    }
}

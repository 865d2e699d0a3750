//! Queries to the workers over NATS: the collector links no database.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Request, RequestErrorKind};
use http_server::{ErrorCode, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::query::QueryReply;

/// How long a client that asks for something stored waits for the workers' answer.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends queries to the workers.
pub struct QueryClient(Client);

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("NATS is not connected")]
    NotConnected,
    #[error("no worker runs that could answer")]
    NoWorker,
    #[error("no worker answered within {0:?}")]
    TimedOut(Duration),
    /// A worker could not read the store.
    #[error("the store could not be read: {0}")]
    Store(String),
    /// The request failed, or the answer cannot be decoded.
    #[error("the query to the workers failed: {0}")]
    Failed(String),
}

impl QueryClient {
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Sends one query and waits for its answer.
    ///
    /// # Errors
    /// Returns a [`QueryError`] if no answer comes within `timeout`.
    pub async fn query<T: DeserializeOwned>(
        &self,
        subject: &'static str,
        query: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, QueryError> {
        let failed = |error: &dyn std::fmt::Display| QueryError::Failed(error.to_string());
        // The client would hold the request back until its timeout.
        if self.0.connection_state() != State::Connected {
            return Err(QueryError::NotConnected);
        }
        let query = serde_json::to_vec(query).map_err(|error| failed(&error))?;
        let request = Request::new().payload(query.into()).timeout(Some(timeout));
        let reply = self.0.send_request(subject, request).await;
        let reply = reply.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => QueryError::NoWorker,
            RequestErrorKind::TimedOut => QueryError::TimedOut(timeout),
            _ => failed(&error),
        })?;
        match serde_json::from_slice(&reply.payload).map_err(|error| failed(&error))? {
            QueryReply::Ok(answer) => Ok(answer),
            QueryReply::Unavailable(reason) => Err(QueryError::Store(reason)),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        tracing::warn!(%error, "a query to the workers was not answered");
        // What a store says of itself may name hosts or files: that is for the log.
        let reason = match error {
            QueryError::Store(_) => "the store could not be read".to_owned(),
            QueryError::Failed(_) => "the workers' answer could not be read".to_owned(),
            error => error.to_string(),
        };
        let detail = format!("This cannot be answered now: {reason}. Ask again later.");
        Self::new(ErrorCode::StoreUnavailable, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hears_no_secret_of_the_store() {
        let problem = Problem::from(QueryError::Store("postgres://ada:secret@db".to_owned()));
        assert_eq!(problem.code.as_str(), "store_unavailable");
        assert_eq!(problem.code.status().as_u16(), 503);
        assert!(
            problem.retry_after.is_some() && !problem.detail.contains("secret"),
            "{problem:?}"
        );
    }
}

//! What is at fault where the store did not take something: one rule for all roles
//! (`docs/protocol.md`, Persist).

use bus::pull::{Blame, Failure, Outcome};
use store::StoreError;

/// What the loop is told of an error.
pub fn failure(error: &StoreError) -> Failure {
    let blame = match error {
        StoreError::Unavailable(_) => Blame::Environment,
        StoreError::PutBack(_) | StoreError::Incompatible(_) => Blame::Administrator,
        StoreError::Refused(_) => Blame::Message,
        StoreError::Failed(_) => Blame::Unknown,
    };
    Failure {
        blame,
        reason: error.to_string(),
    }
}

/// The same as an outcome.
pub fn outcome(error: &StoreError) -> Outcome {
    Outcome::Failed(failure(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_and_a_stream_put_back_are_no_messages_fault() {
        let blamed = |error: StoreError| failure(&error).blame;
        let why = || "why".to_owned();
        assert_eq!(blamed(StoreError::Unavailable(why())), Blame::Environment);
        assert_eq!(blamed(StoreError::PutBack(why())), Blame::Administrator);
        assert_eq!(
            blamed(StoreError::Incompatible(why())),
            Blame::Administrator
        );
        assert_eq!(blamed(StoreError::Refused(why())), Blame::Message);
        assert_eq!(blamed(StoreError::Failed(why())), Blame::Unknown);
        assert!(failure(&StoreError::Refused(why())).reason.contains("why"));
    }
}

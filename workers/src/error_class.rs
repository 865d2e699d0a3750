//! What is at fault where the store did not take something: one rule for all roles
//! (`docs/protocol.md`, Persist).

use bus::pull::{ErrorClass, Failure, Outcome};
use store::StoreError;

/// What the loop is told of an error.
pub fn failure(error: &StoreError) -> Failure {
    let error_class = match error {
        StoreError::Unavailable(_) => ErrorClass::Transient,
        StoreError::PutBack(_) | StoreError::Incompatible(_) => ErrorClass::Administrator,
        StoreError::Refused(_) => ErrorClass::Permanent,
        StoreError::Failed(_) => ErrorClass::Unknown,
    };
    Failure {
        error_class,
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
        let blamed = |error: StoreError| failure(&error).error_class;
        let why = || "why".to_owned();
        assert_eq!(
            blamed(StoreError::Unavailable(why())),
            ErrorClass::Transient
        );
        assert_eq!(
            blamed(StoreError::PutBack(why())),
            ErrorClass::Administrator
        );
        assert_eq!(
            blamed(StoreError::Incompatible(why())),
            ErrorClass::Administrator
        );
        assert_eq!(blamed(StoreError::Refused(why())), ErrorClass::Permanent);
        assert_eq!(blamed(StoreError::Failed(why())), ErrorClass::Unknown);
        assert!(failure(&StoreError::Refused(why())).reason.contains("why"));
    }
}

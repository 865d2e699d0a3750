//! The error class of each store error: one rule for all roles (`docs/protocol.md`, Persist).

use bus::pull::{DeliveryOutcome, ErrorClass, Failure};
use store::StoreError;

/// The failure of a message whose handling met this error.
pub fn failure(error: &StoreError) -> Failure {
    let error_class = match error {
        StoreError::Unavailable(_) => ErrorClass::Transient,
        StoreError::StreamRestored(_) | StoreError::Incompatible(_) => ErrorClass::Administrator,
        StoreError::Refused(_) => ErrorClass::Permanent,
        StoreError::Failed(_) => ErrorClass::Unknown,
    };
    Failure {
        error_class,
        reason: error.to_string(),
    }
}

/// [`failure`] as the outcome of the message.
pub fn outcome(error: &StoreError) -> DeliveryOutcome {
    DeliveryOutcome::Failed(failure(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_and_a_restored_stream_are_no_messages_fault() {
        let class_of = |error: StoreError| failure(&error).error_class;
        let why = || "why".to_owned();
        assert_eq!(
            class_of(StoreError::Unavailable(why())),
            ErrorClass::Transient
        );
        assert_eq!(
            class_of(StoreError::StreamRestored(why())),
            ErrorClass::Administrator
        );
        assert_eq!(
            class_of(StoreError::Incompatible(why())),
            ErrorClass::Administrator
        );
        assert_eq!(class_of(StoreError::Refused(why())), ErrorClass::Permanent);
        assert_eq!(class_of(StoreError::Failed(why())), ErrorClass::Unknown);
        assert!(failure(&StoreError::Refused(why())).reason.contains("why"));
    }
}

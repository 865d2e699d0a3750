//! What becomes of a group's messages when the store did not take them: one rule for all roles.

use common::bus::pull::{Delivery, Outcome};
use common::retry::RetryPolicy;
use store::StoreError;

/// Whether each member of a failed group is to be tried alone. Where the surroundings failed, the
/// group waits; else one member is at fault, and alone it cannot harm its neighbours.
pub fn is_one_at_fault(error: &StoreError, members: usize) -> bool {
    !error.is_transient() && members > 1
}

/// Nothing that the store refuses is given up here: it is tried again, and said aloud. `what` could
/// not be done.
pub fn again(delivery: &Delivery, what: &'static str, error: &StoreError) -> Outcome {
    let attempt = u32::try_from(delivery.delivered.saturating_sub(1)).unwrap_or(u32::MAX);
    tracing::error!(seq = delivery.seq, delivered = delivery.delivered, %error, "{what}; trying again");
    Outcome::Retry { after: RetryPolicy::DEFAULT.delay(attempt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_one_of_several_may_be_at_fault_is_each_tried_alone() {
        let outage = StoreError::Unavailable("disk full".to_owned());
        let defect = StoreError::Failed("constraint".to_owned());
        let alone = |error, members| is_one_at_fault(error, members);
        assert!(alone(&defect, 2) && !alone(&defect, 1) && !alone(&outage, 2));
    }
}

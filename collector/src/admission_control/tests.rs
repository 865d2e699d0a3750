//! The bounds, one by one.

use super::*;

fn admission(max_in_flight: usize, max_in_flight_bytes: usize) -> Arc<AdmissionControl> {
    AdmissionControl::new(&OverloadSettings {
        max_connections: 1,
        max_in_flight,
        max_in_flight_bytes,
    })
}

fn refused(problem: Result<impl Sized, Problem>) -> Option<u64> {
    let problem = problem.err()?;
    assert_eq!(
        (problem.code, problem.retry_after.is_some()),
        (ErrorCode::Overloaded, true)
    );
    problem.limit
}

#[test]
fn batches_beyond_the_bound_are_refused_until_one_ends() {
    let admission = admission(4, 100);
    let permits: Vec<BatchPermit> = (0..4).map(|_| admission.admit(0).ok().unwrap()).collect();
    assert_eq!(refused(admission.admit(0)), Some(4));
    drop(permits);
    assert_eq!(admission.batches.permits.available_permits(), 4);
    assert!(admission.admit(0).is_ok());
    // Half of them may wait; a query is none of them.
    let waiting: Vec<Option<OwnedSemaphorePermit>> = (0..3).map(|_| admission.wait()).collect();
    assert_eq!(
        waiting.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false]
    );
    let query = admission.query();
    assert!(query.is_ok());
    assert_eq!(refused(admission.query()), Some(1));
}

#[test]
fn bytes_beyond_the_bound_are_refused_whoever_holds_them() {
    let admission = admission(10, 100);
    let one = admission.admit(100).ok().unwrap();
    let other = admission.admit(100).ok().unwrap();
    // What is announced is not counted, but must fit.
    assert_eq!(refused(admission.admit(101)), Some(100));
    assert!(one.hold(60).is_ok() && other.hold(40).is_ok());
    assert_eq!(refused(other.hold(1)), Some(100));
    assert_eq!(refused(admission.admit(1)), Some(100));
    one.release(10);
    assert!(other.hold(10).is_ok());
    one.hold_beyond_bound(60);
    assert_eq!(refused(other.hold(1)), Some(100));
    // Bytes beyond the bound are paid back first.
    other.release(20);
    assert_eq!(refused(other.hold(1)), Some(100));
    other.hold_beyond_bound(20);
    drop(one);
    assert!(other.hold(50).is_ok());
    drop(other);
    assert_eq!(admission.bytes.bound.permits.available_permits(), 100);
    // Nothing in flight, however full: a request without a body asks for no byte.
    assert!(admission.admit(0).is_ok());
}

#[test]
fn a_bound_below_one_body_is_wrong_usage() {
    let settings = |bytes| OverloadSettings {
        max_connections: 1,
        max_in_flight: 1,
        max_in_flight_bytes: bytes,
    };
    assert!(settings(8).expect_fits(4).is_ok());
    let error = settings(7).expect_fits(4).unwrap_err().to_string();
    assert!(error.contains("--max-in-flight-bytes is 7"), "{error}");
}

//! The bounds, one by one.

use super::*;

/// Everything of `max_in_flight` and `max_in_flight_bytes` is for anybody, unless a share is given.
fn admission(max_in_flight: usize, max_in_flight_bytes: usize) -> Arc<AdmissionControl> {
    shared(max_in_flight, max_in_flight_bytes, QuotaShare::ALL)
}

fn shared(
    max_in_flight: usize,
    max_in_flight_bytes: usize,
    share: QuotaShare,
) -> Arc<AdmissionControl> {
    let settings = OverloadSettings {
        max_connections: 1,
        max_in_flight,
        max_in_flight_bytes,
        address_share: share,
        key_share: share,
        max_alert_streams: 8,
        alert_stream_share: QuotaShare::HUNDREDTH,
    };
    AdmissionControl::new(&settings, 10)
}

fn caller(key: &str, address: &str) -> Caller {
    Caller {
        developer: "ada".parse().unwrap(),
        epoch: 0,
        zone: None,
        scopes: Vec::new(),
        rate_limiter: None,
        key: key.into(),
        address: ClientAddress::of(address.parse().unwrap()),
    }
}

fn one() -> Caller {
    caller("k1", "192.0.2.1")
}

fn refused(problem: Result<impl Sized, Problem>) -> Option<(ErrorCode, u64)> {
    let problem = problem.err()?;
    assert!(problem.retry_after.is_some());
    Some((problem.code, problem.limit.unwrap()))
}

fn overloaded(limit: u64) -> Option<(ErrorCode, u64)> {
    Some((ErrorCode::Overloaded, limit))
}

#[test]
fn batches_beyond_the_bound_are_refused_until_one_ends() {
    let admission = admission(4, 100);
    let permits: Vec<BatchPermit> = (0..4)
        .map(|_| admission.admit(&one(), 0).ok().unwrap())
        .collect();
    assert_eq!(refused(admission.admit(&one(), 0)), overloaded(4));
    // Half of them may wait; a query is none of them.
    let waiting: Vec<_> = permits
        .iter()
        .map(|permit| admission.wait(permit))
        .collect();
    assert_eq!(
        waiting.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    drop(permits);
    assert_eq!(admission.batches.quota.quota().free(), 4);
    assert!(admission.admit(&one(), 0).is_ok());
    let query = admission.query(&one());
    assert!(query.is_ok());
    assert_eq!(refused(admission.query(&one())), overloaded(1));
}

#[test]
fn bytes_beyond_the_bound_are_refused_whoever_holds_them() {
    let admission = admission(10, 100);
    let (one, two) = (one(), caller("k2", "192.0.2.2"));
    let first = admission.admit(&one, 100).ok().unwrap();
    let other = admission.admit(&two, 100).ok().unwrap();
    // What is announced is not counted, but must fit.
    assert_eq!(refused(admission.admit(&one, 101)), overloaded(100));
    assert!(first.hold(60).is_ok() && other.hold(40).is_ok());
    assert_eq!(refused(other.hold(1)), overloaded(100));
    assert_eq!(refused(admission.admit(&one, 1)), overloaded(100));
    first.release(10);
    assert!(other.hold(10).is_ok());
    first.hold_beyond_bound(60);
    assert_eq!(refused(other.hold(1)), overloaded(100));
    // Bytes beyond the bound are paid back first.
    other.release(20);
    assert_eq!(refused(other.hold(1)), overloaded(100));
    other.hold_beyond_bound(20);
    drop(first);
    assert!(other.hold(50).is_ok());
    drop(other);
    assert_eq!(admission.bytes.quota.quota().free(), 100);
    // Nothing in flight, however full: a request without a body asks for no byte.
    assert!(admission.admit(&one, 0).is_ok());
}

#[test]
fn one_key_or_one_address_gets_its_share_only() {
    let admission = shared(40, 400, QuotaShare::QUARTER);
    let limited = |limit| Some((ErrorCode::RateLimited, limit));
    // The same key from anywhere, then any key from the same address.
    for callers in [
        [caller("k1", "192.0.2.1"), caller("k1", "192.0.2.9")],
        [caller("k1", "192.0.2.1"), caller("k9", "192.0.2.1")],
    ] {
        let held: Vec<BatchPermit> = (0..10)
            .map(|n| admission.admit(&callers[n % 2], 0).ok().unwrap())
            .collect();
        for caller in &callers {
            let admitted = admission.admit(caller, 0);
            let is_over = callers.iter().all(|other| other.key == caller.key)
                || callers.iter().all(|other| other.address == caller.address);
            assert!(is_over);
            assert_eq!(refused(admitted), limited(10));
        }
        // Somebody else gets in.
        assert!(admission.admit(&caller("k2", "192.0.2.2"), 0).is_ok());
        drop(held);
    }
    let first = admission.admit(&one(), 0).ok().unwrap();
    assert!(first.hold(100).is_ok());
    assert_eq!(refused(first.hold(1)), limited(100));
    assert_eq!(refused(admission.admit(&one(), 1)), limited(100));
    let other = admission
        .admit(&caller("k2", "192.0.2.2"), 20)
        .ok()
        .unwrap();
    assert!(other.hold(20).is_ok());
    // The same holds of queries: ten in all, two for one.
    let _queries = [admission.query(&one()), admission.query(&one())];
    assert_eq!(refused(admission.query(&one())), limited(2));
    assert!(admission.query(&caller("k2", "192.0.2.2")).is_ok());
}

#[test]
fn the_largest_body_fits_the_smallest_share() {
    // 20 bytes: one body of 10 as sent and inflated.
    let admission = shared(4, 40, QuotaShare::percent(1).unwrap());
    let permit = admission.admit(&one(), 10).ok().unwrap();
    assert!(permit.hold(20).is_ok() && permit.hold(1).is_err());
}

#[test]
fn a_bound_below_one_body_is_wrong_usage() {
    let settings = |bytes| OverloadSettings {
        max_connections: 1,
        max_in_flight: 1,
        max_in_flight_bytes: bytes,
        address_share: QuotaShare::ALL,
        key_share: QuotaShare::ALL,
        ..OverloadSettings::DEFAULT
    };
    assert!(settings(8).expect_fits(4).is_ok());
    let error = settings(7).expect_fits(4).unwrap_err().to_string();
    assert!(error.contains("--max-in-flight-bytes is 7"), "{error}");
}

#[test]
fn streams_of_alerts_have_bounds_of_their_own() {
    let admission = admission(1, 100);
    let of = |developer: &str| Caller {
        developer: developer.parse().unwrap(),
        ..one()
    };
    let open = |developer: &str| admission.alert_stream(&of(developer));
    let held: Vec<_> = (0..4).map(|_| open("ada").ok().unwrap()).collect();
    let limited = Some((ErrorCode::RateLimited, 4));
    assert_eq!(refused(open("ada")), limited);
    // The same key and address are no matter, and no batch or query is in the way.
    let others: Vec<_> = (0..4).map(|_| open("bob").ok().unwrap()).collect();
    assert_eq!(refused(open("eve")), overloaded(8));
    let _batch = admission.admit(&one(), 100).ok().unwrap();
    drop(held);
    assert!(open("eve").is_ok());
    drop(others);
}

//! The bounds, one by one.

use super::*;

fn room(max_in_flight: usize, max_in_flight_bytes: usize) -> Arc<Room> {
    Room::new(&RoomSettings {
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
fn so_many_requests_and_no_more_until_one_is_done() {
    let room = room(4, 100);
    let places: Vec<Place> = (0..4).map(|_| room.enter(0).ok().unwrap()).collect();
    assert_eq!(refused(room.enter(0)), Some(4));
    drop(places);
    assert_eq!(room.requests.taken.load(Ordering::Relaxed), 0);
    assert!(room.enter(0).is_ok());
    // Half of them may wait; a question is none of them.
    let waiting: Vec<Option<Held>> = (0..3).map(|_| room.wait()).collect();
    assert_eq!(
        waiting.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false]
    );
    let question = room.ask();
    assert!(question.is_ok());
    assert_eq!(refused(room.ask()), Some(1));
}

#[test]
fn so_many_bytes_and_no_more_whoever_holds_them() {
    let room = room(10, 100);
    let (one, other) = (room.enter(100).ok().unwrap(), room.enter(100).ok().unwrap());
    // What is announced is not counted, but must fit.
    assert_eq!(refused(room.enter(101)), Some(100));
    assert!(one.hold(60).is_ok() && other.hold(40).is_ok());
    assert_eq!(refused(other.hold(1)), Some(100));
    assert_eq!(refused(room.enter(1)), Some(100));
    one.release(10);
    assert!(other.hold(10).is_ok());
    one.hold_as_well(60);
    assert_eq!(refused(other.hold(1)), Some(100));
    drop(one);
    assert!(other.hold(50).is_ok());
    drop(other);
    assert_eq!(room.bytes.taken.load(Ordering::Relaxed), 0);
    // Nothing in hand, however full: a request without a body asks for no byte.
    assert!(room.enter(0).is_ok());
}

#[test]
fn a_bound_below_one_body_is_wrong_usage() {
    let settings = |bytes| RoomSettings {
        max_connections: 1,
        max_in_flight: 1,
        max_in_flight_bytes: bytes,
    };
    assert!(settings(8).expect_room_for(4).is_ok());
    let error = settings(7).expect_room_for(4).unwrap_err().to_string();
    assert!(error.contains("--max-in-flight-bytes is 7"), "{error}");
}

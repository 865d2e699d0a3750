//! The shared breaker: who waits, who is let through, what is logged.

use super::super::Breakers;
use super::*;

#[tokio::test(start_paused = true)]
async fn waiting_calls_pass_once_the_opening_ends_as_bounded_probes() {
    let guard = Breakers::default().guard("store", BreakerSettings::DEFAULT);
    for _ in 0..5 {
        assert_eq!(guard.refuses(), None);
        guard.acquire().ok().unwrap().done(CallOutcome::Failed);
    }
    assert_eq!(
        (guard.state(), guard.acquire().err()),
        (BreakerState::Open, Some(Duration::from_secs(5)))
    );
    assert_eq!(guard.refuses(), Some(Duration::from_secs(5)));
    let began = Instant::now();
    let mut probes = Vec::new();
    for _ in 0..3 {
        probes.push(guard.admitted().await);
    }
    assert_eq!(
        (began.elapsed(), guard.state()),
        (Duration::from_secs(5), BreakerState::HalfOpen)
    );
    assert_eq!(
        guard.acquire().err(),
        Some(Duration::ZERO),
        "no fourth probe"
    );
    assert_eq!(guard.refuses(), Some(Duration::ZERO));
    // One that says nothing gives its place back, and who waits for it gets it.
    let waiting = tokio::spawn({
        let guard = guard.clone();
        async move { guard.admitted().await.done(CallOutcome::Ok) }
    });
    tokio::task::yield_now().await;
    drop(probes.pop());
    waiting.await.unwrap();
    assert_eq!(guard.state(), BreakerState::HalfOpen);
    probes
        .into_iter()
        .for_each(|probe| probe.done(CallOutcome::Ok));
    assert_eq!(guard.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_see_it_open_and_late_failures_do_not_count() {
    let guard = Breakers::default().guard("store", BreakerSettings::DEFAULT);
    let late = guard.acquire().ok().unwrap();
    let opened = tokio::spawn({
        let guard = guard.clone();
        async move { guard.opened().await }
    });
    tokio::task::yield_now().await;
    for number in 0..5 {
        assert!(!opened.is_finished());
        guard
            .acquire()
            .ok()
            .unwrap()
            .failed(&format!("the database is away, {number}"));
    }
    opened.await.unwrap();
    late.failed("too late");
    let reason = Some("the database is away, 4".to_owned());
    assert_eq!(
        guard.report(),
        BreakerReport {
            name: "store".to_owned(),
            state: BreakerState::Open,
            reason
        }
    );
    for _ in 0..3 {
        guard.admitted().await.done(CallOutcome::Ok);
    }
    assert_eq!(
        guard.report(),
        BreakerReport {
            name: "store".to_owned(),
            state: BreakerState::Closed,
            reason: None
        }
    );
}

#[tokio::test(start_paused = true)]
async fn idle_probing_waits_a_second_and_a_hint_ends_the_wait() {
    let second = Duration::from_secs(1);
    let guard = Breakers::default().guard("stream", BreakerSettings::DEFAULT);
    let open = || (0..5).for_each(|_| guard.acquire().ok().unwrap().failed("away"));
    open();
    let began = Instant::now();
    guard.idle(second).await.failed("still away");
    assert_eq!(
        (began.elapsed(), guard.open_for()),
        (6 * second, 10 * second)
    );
    let waiting = tokio::spawn({
        let guard = guard.clone();
        async move { guard.admitted().await }
    });
    tokio::task::yield_now().await;
    guard.hint();
    let permit = waiting.await.unwrap();
    assert_eq!(
        (began.elapsed(), guard.state()),
        (6 * second, BreakerState::HalfOpen)
    );
    permit.done(CallOutcome::Ok);
    for _ in 0..2 {
        guard.idle(second).await.done(CallOutcome::Ok);
    }
    assert_eq!(
        (began.elapsed(), guard.state()),
        (8 * second, BreakerState::Closed)
    );
    // Closed, nobody asks; a hint says nothing.
    guard.hint();
    assert!(
        tokio::time::timeout(100 * second, guard.idle(second))
            .await
            .is_err()
    );
    open();
    assert_eq!(guard.open_for(), 5 * second);
}

/// However many calls fail at once, the change is reported once: each report is a line in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_is_told_once() {
    let breakers = Breakers::default();
    for round in 0..200 {
        let guard = breakers.guard(&format!("webhook:{round}"), BreakerSettings::DEFAULT);
        let before = *breakers.changes().borrow();
        let permits: Vec<CallPermit> = (0..16).map(|_| guard.acquire().ok().unwrap()).collect();
        let failing: Vec<_> = permits
            .into_iter()
            .map(|permit| tokio::spawn(async move { permit.failed("down") }))
            .collect();
        for failed in failing {
            failed.await.unwrap();
        }
        assert_eq!(
            (guard.state(), *breakers.changes().borrow()),
            (BreakerState::Open, before + 1)
        );
    }
}

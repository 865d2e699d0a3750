//! Properties of the policy: a simulated handler with hidden culprits, run to the end.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Sound,
    /// The handler sees what is wrong with it, whatever is beside it.
    Garbage,
    /// Fails the whole group that it is in.
    Poison(ErrorClass),
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        6 => Just(Nature::Sound),
        1 => Just(Nature::Garbage),
        1 => Just(Nature::Poison(ErrorClass::Unknown)),
        1 => Just(Nature::Poison(ErrorClass::Permanent)),
        1 => Just(Nature::Poison(ErrorClass::Administrator)),
    ]
}

/// As handlers do it: garbage is recognised, the rest is one transaction.
fn handle(part: &[usize], natures: &[Nature]) -> Vec<DeliveryOutcome> {
    let culprit = part.iter().find_map(|&one| match natures[one] {
        Nature::Poison(error_class) => Some(error_class),
        Nature::Sound | Nature::Garbage => None,
    });
    let outcome = |&one: &usize| match (natures[one], culprit) {
        (Nature::Garbage, _) => DeliveryOutcome::failed(ErrorClass::Permanent, "garbage"),
        (_, Some(error_class)) => DeliveryOutcome::failed(error_class, "poison"),
        (_, None) => DeliveryOutcome::Ack,
    };
    part.iter().map(outcome).collect()
}

/// Handles a group as the loop does; returns each message's last disposition, and how often was handled.
fn run_to_the_end(natures: &[Nature]) -> (BTreeMap<usize, MessageDisposition>, usize) {
    let mut parts = VecDeque::from([(0..natures.len()).collect::<Vec<_>>()]);
    let (mut ends, mut handled) = (BTreeMap::new(), 0);
    while let Some(part) = parts.pop_front().filter(|part| !part.is_empty()) {
        handled += 1;
        let mut again = [Vec::new(), Vec::new()];
        for (&one, disposition) in part.iter().zip(dispositions(&handle(&part, natures))) {
            match disposition {
                MessageDisposition::Retry(number) => again[number].push(one),
                end => assert_eq!(ends.insert(one, end), None, "one end for each"),
            }
        }
        for next in again.into_iter().rev().filter(|next| !next.is_empty()) {
            assert!(next.len() < part.len(), "each part is smaller");
            parts.push_front(next);
        }
    }
    (ends, handled)
}

proptest! {
    #[test]
    fn neighbours_are_done_and_every_culprit_ends_alone(natures in prop::collection::vec(nature(), 1..200)) {
        let (ends, handled) = run_to_the_end(&natures);
        for (one, nature) in natures.iter().enumerate() {
            let wanted = match nature {
                Nature::Sound => MessageDisposition::Ack,
                Nature::Garbage | Nature::Poison(ErrorClass::Permanent) => MessageDisposition::DeadLetter,
                Nature::Poison(ErrorClass::Administrator) => MessageDisposition::Return,
                Nature::Poison(_) => MessageDisposition::UseAttempt,
            };
            prop_assert_eq!(&ends[&one], &wanted, "message {}", one);
        }
        // A search by halves: each culprit costs at most two handlings a level, and the first one.
        let culprits = natures.iter().filter(|nature| **nature != Nature::Sound).count();
        let levels = natures.len().ilog2() as usize + 2;
        prop_assert!(handled <= 1 + 2 * levels * culprits, "{} for {} culprits", handled, culprits);
    }

    #[test]
    fn an_outage_uses_no_attempt_and_sends_nothing_to_dead(
        outages in prop::collection::vec(any::<bool>(), 1..50), garbage in any::<bool>(),
    ) {
        let mut outcomes: Vec<DeliveryOutcome> = outages.iter().map(|outage| {
            if *outage { DeliveryOutcome::failed(ErrorClass::Transient, "away") } else { DeliveryOutcome::Ack }
        }).collect();
        if garbage {
            outcomes.push(DeliveryOutcome::failed(ErrorClass::Permanent, "garbage"));
        }
        let any_done = outages.contains(&false);
        let is_the_only_one = any_done && outages.iter().filter(|outage| **outage).count() == 1;
        for (outcome, disposition) in outcomes.iter().zip(dispositions(&outcomes)) {
            let fits = match outcome {
                DeliveryOutcome::Ack => disposition == MessageDisposition::Ack,
                DeliveryOutcome::Failed(failure) if failure.error_class == ErrorClass::Permanent => {
                    disposition == MessageDisposition::Retry(0)
                }
                // The only one beside others that were done is returned and holds up no other; else they are held.
                DeliveryOutcome::Failed(_) if is_the_only_one => disposition == MessageDisposition::Return,
                DeliveryOutcome::Failed(_) => disposition == MessageDisposition::Hold,
            };
            prop_assert!(fits, "{:?} became {:?}", outcome, disposition);
        }
        prop_assert_eq!(outage(&outcomes).is_some(), outages.contains(&true));
        prop_assert_eq!(sample(&outcomes) == breaker::CallOutcome::Ok, any_done);
    }

    #[test]
    fn attempts_are_exhausted_exactly_at_the_limit(used in 0_u32..20, died in 0_u32..20, max in 1_u32..12) {
        let tries = PriorAttempts { used, died, reason: Some("why".to_owned()), dead_at: None };
        let cause = exhausted(&tries, max);
        prop_assert_eq!(cause.is_some(), used >= max || died >= max);
        if let Some(cause) = cause {
            let wanted = if died >= max { (DeadLetterClass::Died, died) } else { (DeadLetterClass::Unknown, used) };
            prop_assert_eq!((cause.class, cause.attempts), wanted);
        }
    }
}

#[test]
fn a_messages_own_fault_says_nothing_of_the_store() {
    let faults = [
        ErrorClass::Permanent,
        ErrorClass::Unknown,
        ErrorClass::Administrator,
    ];
    let outcomes = faults.map(|error_class| DeliveryOutcome::failed(error_class, "its own"));
    assert_eq!(
        (outage(&outcomes), sample(&outcomes)),
        (None, breaker::CallOutcome::Ignored)
    );
}

#[test]
fn only_what_failed_is_retried_if_some_are_done() {
    let failed = || DeliveryOutcome::failed(ErrorClass::Unknown, "x");
    let group = [
        failed(),
        DeliveryOutcome::Ack,
        failed(),
        DeliveryOutcome::Ack,
        failed(),
    ];
    let wanted = [
        MessageDisposition::Retry(0),
        MessageDisposition::Ack,
        MessageDisposition::Retry(0),
        MessageDisposition::Ack,
        MessageDisposition::Retry(0),
    ];
    assert_eq!(dispositions(&group), wanted);
    let halves = dispositions(&[failed(), failed(), failed()]);
    assert_eq!(
        halves,
        [
            MessageDisposition::Retry(0),
            MessageDisposition::Retry(0),
            MessageDisposition::Retry(1)
        ]
    );
}

#[test]
fn a_failure_of_nats_holds_up_no_other_message() {
    let unread = || DeliveryOutcome::failed(ErrorClass::Stream, "NATS is away");
    let early = || DeliveryOutcome::failed(ErrorClass::Early, "its batch is not stored yet");
    for alone in [[unread()], [early()]] {
        assert_eq!(
            (dispositions(&alone), outage(&alone), sample(&alone)),
            (
                vec![MessageDisposition::Return],
                None,
                breaker::CallOutcome::Ignored
            )
        );
    }
    assert_eq!(
        dispositions(&[early(), DeliveryOutcome::Ack]),
        [MessageDisposition::Return, MessageDisposition::Ack]
    );
    let away = DeliveryOutcome::failed(ErrorClass::Transient, "away");
    let garbage = DeliveryOutcome::failed(ErrorClass::Permanent, "garbage");
    assert_eq!(
        dispositions(&[unread(), away, garbage, unread()]),
        [
            MessageDisposition::Return,
            MessageDisposition::Hold,
            MessageDisposition::Retry(0),
            MessageDisposition::Return
        ]
    );
}

#[test]
fn a_transient_failure_holds_a_lone_message_only_for_a_while() {
    assert!((0..HOLDS_ALONE).all(|failures| !is_returned(1, failures)));
    assert!(is_returned(1, HOLDS_ALONE));
    assert!(!is_returned(2, 1000), "an outage fails all alike");
    const { assert!(HOLDS_ALONE + 1 < breaker::BreakerSettings::DEFAULT.in_a_row) };
}

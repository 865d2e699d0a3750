//! Properties of the policy: a simulated role with hidden culprits, worked off to the end.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// What is the matter with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Sound,
    /// The role sees what is wrong with it, whoever is beside it.
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

/// As roles do it: what is garbage is told apart, the rest is one transaction.
fn handle(part: &[usize], natures: &[Nature]) -> Vec<Outcome> {
    let culprit = part.iter().find_map(|&one| match natures[one] {
        Nature::Poison(error_class) => Some(error_class),
        Nature::Sound | Nature::Garbage => None,
    });
    let outcome = |&one: &usize| match (natures[one], culprit) {
        (Nature::Garbage, _) => Outcome::failed(ErrorClass::Permanent, "garbage"),
        (_, Some(error_class)) => Outcome::failed(error_class, "poison"),
        (_, None) => Outcome::Ack,
    };
    part.iter().map(outcome).collect()
}

/// Works a group off as the loop does; gives each message's last fate, and how often was handled.
fn worked_off(natures: &[Nature]) -> (BTreeMap<usize, Fate>, usize) {
    let mut parts = VecDeque::from([(0..natures.len()).collect::<Vec<_>>()]);
    let (mut ends, mut handled) = (BTreeMap::new(), 0);
    while let Some(part) = parts.pop_front().filter(|part| !part.is_empty()) {
        handled += 1;
        let mut again = [Vec::new(), Vec::new()];
        for (&one, fate) in part.iter().zip(fates(&handle(&part, natures))) {
            match fate {
                Fate::Again(number) => again[number].push(one),
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
        let (ends, handled) = worked_off(&natures);
        for (one, nature) in natures.iter().enumerate() {
            let wanted = match nature {
                Nature::Sound => Fate::Done,
                Nature::Garbage | Nature::Poison(ErrorClass::Permanent) => Fate::Dead,
                Nature::Poison(ErrorClass::Administrator) => Fate::Back,
                Nature::Poison(_) => Fate::Attempt,
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
        let mut outcomes: Vec<Outcome> = outages.iter().map(|outage| {
            if *outage { Outcome::failed(ErrorClass::Transient, "away") } else { Outcome::Ack }
        }).collect();
        if garbage {
            outcomes.push(Outcome::failed(ErrorClass::Permanent, "garbage"));
        }
        let any_done = outages.contains(&false);
        for (outcome, fate) in outcomes.iter().zip(fates(&outcomes)) {
            let fits = match outcome {
                Outcome::Ack => fate == Fate::Done,
                Outcome::Failed(f) if f.error_class == ErrorClass::Permanent => fate == Fate::Again(0),
                // Where others were done it goes back and holds up nobody; else it is kept in hand.
                Outcome::Failed(_) => fate == if any_done { Fate::Back } else { Fate::Wait },
            };
            prop_assert!(fits, "{:?} became {:?}", outcome, fate);
        }
        prop_assert_eq!(outage(&outcomes).is_some(), outages.contains(&true));
        prop_assert_eq!(sample(&outcomes) == breaker::CallOutcome::Ok, any_done);
    }

    #[test]
    fn a_message_is_spent_exactly_at_the_limit(used in 0_u32..20, died in 0_u32..20, max in 1_u32..12) {
        let tries = PriorAttempts { used, died, reason: Some("why".to_owned()), is_in_dead: false };
        let given_up = spent(&tries, max);
        prop_assert_eq!(given_up.is_some(), used >= max || died >= max);
        if let Some(given_up) = given_up {
            let wanted = if died >= max { (DeadLetterClass::Died, died) } else { (DeadLetterClass::Unknown, used) };
            prop_assert_eq!((given_up.class, given_up.attempts), wanted);
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
    let outcomes = faults.map(|error_class| Outcome::failed(error_class, "its own"));
    assert_eq!(
        (outage(&outcomes), sample(&outcomes)),
        (None, breaker::CallOutcome::Ignored)
    );
}

#[test]
fn only_what_failed_is_handled_again_where_some_are_done() {
    let failed = || Outcome::failed(ErrorClass::Unknown, "x");
    let group = [failed(), Outcome::Ack, failed(), Outcome::Ack, failed()];
    let wanted = [
        Fate::Again(0),
        Fate::Done,
        Fate::Again(0),
        Fate::Done,
        Fate::Again(0),
    ];
    assert_eq!(fates(&group), wanted);
    let halves = fates(&[failed(), failed(), failed()]);
    assert_eq!(halves, [Fate::Again(0), Fate::Again(0), Fate::Again(1)]);
}

#[test]
fn trouble_of_nats_holds_up_nobody_and_says_nothing_of_the_store() {
    let unread = || Outcome::failed(ErrorClass::Stream, "NATS is away");
    let alone = [unread()];
    assert_eq!(
        (fates(&alone), outage(&alone), sample(&alone)),
        (vec![Fate::Back], None, breaker::CallOutcome::Ignored)
    );
    let away = Outcome::failed(ErrorClass::Transient, "away");
    let garbage = Outcome::failed(ErrorClass::Permanent, "garbage");
    assert_eq!(
        fates(&[unread(), away, garbage, unread()]),
        [Fate::Back, Fate::Wait, Fate::Again(0), Fate::Back]
    );
}

#[test]
fn the_surroundings_keep_a_group_in_hand_and_a_lone_message_only_for_a_while() {
    assert!((0..PAUSES_ALONE).all(|failures| !is_left_for_later(1, failures)));
    assert!(is_left_for_later(1, PAUSES_ALONE));
    assert!(!is_left_for_later(2, 1000), "an outage fails all alike");
    const { assert!(PAUSES_ALONE + 1 < breaker::BreakerSettings::DEFAULT.in_a_row) };
}

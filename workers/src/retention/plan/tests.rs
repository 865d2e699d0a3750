//! What must stay stays, whatever is stored, completed or deleted.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What is at a sequence: its message if there is one, and its batch if it is stored.
#[derive(Debug, Clone, Copy)]
struct Place {
    in_stream: bool,
    stage: Option<(bool, Micros)>,
}

fn place() -> impl Strategy<Value = Place> {
    let stage = prop_oneof![
        6 => (Just(true), 0..100_i64).prop_map(Some),
        1 => (Just(false), 0..100_i64).prop_map(Some),
        1 => Just(None),
    ];
    (prop::bool::weighted(0.8), stage).prop_map(|(in_stream, stage)| Place { in_stream, stage })
}

/// Purges as the shell does: by the rows, then by what the stream has in their gaps.
fn purged_to(places: &BTreeMap<u64, Place>, first: u64, limit: &PurgeLimit) -> u64 {
    let stages: Vec<BatchProgress> = places
        .range(first..)
        .filter_map(|(seq, place)| {
            place.stage.map(|(is_done, published_at)| BatchProgress {
                seq: *seq,
                published_at,
                is_done,
                is_failed: false,
            })
        })
        .collect();
    let to = keep_from(first, &stages, limit);
    let unstored = gaps(first, to, &stages).into_iter().flatten();
    unstored
        .filter(|seq| places.get(seq).is_some_and(|place| place.in_stream))
        .min()
        .unwrap_or(to)
}

proptest! {
    #[test]
    fn only_what_need_not_be_kept_is_purged(
        places in prop::collection::vec(place(), 0..40), first in 1..10_u64, before in 0..100_i64, below in 0..40_u64
    ) {
        let places: BTreeMap<u64, Place> = (first..).zip(places).collect();
        let limit = PurgeLimit { before, below };
        let to = purged_to(&places, first, &limit);
        let goes = |seq: &u64, place: &Place| match place.stage {
            Some((is_done, at)) => is_done && (at < before || *seq < below),
            None => !place.in_stream,
        };
        for (seq, place) in places.range(..to) {
            prop_assert!(goes(seq, place), "{seq} must stay, purged below {to}: {place:?}");
        }
        // Nor is anything left for no reason: what follows must stay, or nothing after it may go either.
        let mut rest = places.range(to..).skip_while(|(seq, place)| goes(seq, place) && place.stage.is_none());
        if let Some((seq, place)) = rest.next() {
            prop_assert!(!goes(seq, place), "{seq} could go, purged below {to}: {place:?}");
        }
    }

    #[test]
    fn with_default_settings_nothing_is_purged_below_80_percent(
        bytes in 0..10_000_u64,
        max in 1..10_000_u64,
        messages in 1..500_u64,
    ) {
        let fill = Fill { first: 1, messages, bytes, max_bytes: Some(max) };
        let limit = PurgeLimit::of(&fill, None, 1_000_000);
        prop_assert_eq!(limit.is_some(), bytes * 100 / max >= 80);
        if let Some(limit) = limit {
            prop_assert_eq!(limit.before, Micros::MIN, "age alone takes nothing");
            // Enough for one of equal messages, and never more than all.
            prop_assert!(limit.below > 1 && limit.below <= 1 + messages.max(1));
        }
    }
}

#[test]
fn a_full_stream_is_purged_to_70_percent_and_age_purges_older() {
    let fill = |bytes| Fill {
        first: 101,
        messages: 100,
        bytes,
        max_bytes: Some(1000),
    };
    let keep = Some(Duration::from_micros(300));
    assert_eq!(PurgeLimit::of(&fill(799), None, 1000), None);
    assert_eq!(
        PurgeLimit::of(&fill(800), None, 1000),
        Some(PurgeLimit {
            before: Micros::MIN,
            below: 101 + 12
        })
    );
    assert_eq!(
        PurgeLimit::of(&fill(100), keep, 1000),
        Some(PurgeLimit {
            before: 700,
            below: 0
        })
    );
    assert_eq!(
        PurgeLimit::of(&fill(1000), keep, 1000),
        Some(PurgeLimit {
            before: 700,
            below: 101 + 30
        })
    );
    let unbounded = Fill {
        max_bytes: None,
        ..fill(u64::MAX)
    };
    assert_eq!(
        (unbounded.percent(), PurgeLimit::of(&unbounded, None, 1000)),
        (0, None)
    );
}

#[test]
fn gaps_are_found_before_between_and_after_rows() {
    let stages = [3, 4, 7].map(|seq| BatchProgress {
        seq,
        published_at: 0,
        is_done: true,
        is_failed: false,
    });
    assert_eq!(gaps(1, 8, &stages), [1..3, 5..7]);
    assert_eq!(gaps(3, 5, &stages), []);
    assert_eq!(gaps(8, 10, &[]), vec![(8..10)]);
}

#[test]
fn a_blocker_is_reported_with_its_remedy() {
    let row = |is_failed| BatchProgress {
        seq: 5,
        published_at: 0,
        is_done: false,
        is_failed,
    };
    let failed = Blocker::at(5, &[row(true)], None);
    let unfinished = Blocker::at(5, &[row(false)], None);
    assert_eq!(
        (failed, unfinished),
        (Blocker::Failed(5), Blocker::Unfinished(5))
    );
    // The first gap is before the row, and may have no message.
    assert_eq!(Blocker::at(4, &[row(true)], Some(4)), Blocker::Unstored(4));
    assert_eq!(Blocker::at(4, &[row(true)], None), Blocker::Failed(5));
    assert_eq!(Blocker::at(9, &[], None), Blocker::Unstored(9));
    for (blocker, remedy) in [
        (failed, "devtrail dead redrive"),
        (unfinished, "devtrail trace seq:5"),
        (Blocker::Unstored(4), "devtrail dead list --stream EVENTS"),
    ] {
        let sentence = blocker.sentence(EventStream::named("EVENTS").unwrap());
        assert!(sentence.contains(remedy), "{sentence}");
    }
    let stream = EventStream::named("EVENTS-1-of-3").unwrap();
    let sentence = unfinished.sentence(stream);
    assert!(
        sentence.contains("devtrail trace seq:EVENTS-1-of-3:5"),
        "{sentence}"
    );
}

//! Cuts what was read into stretches of sequences that are looked up in the store at once. Pure.

/// Most sequences of a stretch with messages.
pub const WIDE: u64 = 500;
/// Most sequences of a stretch that have no message. What the reader gave is bounded by bytes, and what
/// the store has of it with it; what it has where no message is can be as large as the largest batches.
pub const HOLE: u64 = 8;

/// Sequences that are checked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch<M> {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The messages among them, rising; none in a hole, which may be of any width.
    pub messages: Vec<M>,
}

/// Cuts messages, which rise, from `next` on, so that every sequence up to the last message is in one
/// stretch; gives the first sequence after them.
pub fn stretches<M>(next: u64, messages: Vec<(u64, M)>) -> (Vec<Stretch<(u64, M)>>, u64) {
    let mut parts: Vec<Stretch<(u64, M)>> = Vec::new();
    let (mut next, mut missing) = (next, 0);
    for (seq, message) in messages {
        match parts.last_mut() {
            Some(part)
                if !part.messages.is_empty()
                    && seq - part.from < WIDE
                    && missing + (seq - next) <= HOLE =>
            {
                missing += seq - next;
                part.to = seq;
                part.messages.push((seq, message));
            }
            _ => {
                let mut from = next;
                if seq - next > HOLE {
                    parts.push(Stretch {
                        from: next,
                        to: seq - 1,
                        messages: Vec::new(),
                    });
                    from = seq;
                }
                missing = seq - from;
                parts.push(Stretch {
                    from,
                    to: seq,
                    messages: vec![(seq, message)],
                });
            }
        }
        next = seq + 1;
    }
    (parts, next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sequence_is_in_one_stretch_and_every_message_in_its_own(
            next in 1..2000_u64, gaps in prop::collection::vec(prop_oneof![9 => 0..3_u64, 1 => 0..3000_u64], 0..900)
        ) {
            let mut seq = next;
            let messages: Vec<u64> = gaps.into_iter().map(|gap| { seq += gap + 1; seq - 1 }).collect();
            let (parts, after) = stretches(next, messages.iter().map(|seq| (*seq, ())).collect());
            let mut expected = next;
            let mut seen = BTreeSet::new();
            for part in &parts {
                prop_assert!(part.from == expected && part.to >= part.from);
                let width = part.to - part.from + 1;
                prop_assert!(part.messages.is_empty() || width <= WIDE);
                prop_assert!(part.messages.is_empty() || width - part.messages.len() as u64 <= HOLE);
                for (seq, ()) in &part.messages {
                    prop_assert!((part.from..=part.to).contains(seq) && seen.insert(*seq));
                }
                expected = part.to + 1;
            }
            prop_assert_eq!(after, expected);
            prop_assert_eq!(seen.into_iter().collect::<Vec<_>>(), messages);
        }
    }
}

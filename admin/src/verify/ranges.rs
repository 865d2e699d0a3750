//! Splits what was read into ranges of sequences that are looked up in the store at once. Pure.

/// Most sequences of a range with messages.
pub const MAX_RANGE: u64 = 500;
/// Most sequences of a range that have no message. What the reader gave is bounded by bytes, and with it what the store
/// has of it; what the store has of sequences without a message can be as large as the largest batches.
pub const MAX_GAP: u64 = 8;

/// Sequences that are looked up in the store at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqRange<M> {
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The messages among them, rising; none in a gap, which may be of any width.
    pub messages: Vec<M>,
}

/// The ranges that messages were split into.
pub struct SplitRanges<M> {
    pub ranges: Vec<SeqRange<M>>,
    /// The first sequence after them.
    pub next: u64,
}

/// Splits messages, which rise, so that every sequence from `next` to the last message is in one range.
pub fn split_into_ranges<M>(next: u64, messages: Vec<(u64, M)>) -> SplitRanges<(u64, M)> {
    let mut ranges: Vec<SeqRange<(u64, M)>> = Vec::new();
    let mut next = next;
    let mut missing = 0;
    for (seq, message) in messages {
        match ranges.last_mut() {
            Some(range)
                if !range.messages.is_empty()
                    && seq - range.from < MAX_RANGE
                    && missing + (seq - next) <= MAX_GAP =>
            {
                missing += seq - next;
                range.to = seq;
                range.messages.push((seq, message));
            }
            _ => {
                let mut from = next;
                if seq - next > MAX_GAP {
                    ranges.push(SeqRange {
                        from: next,
                        to: seq - 1,
                        messages: Vec::new(),
                    });
                    from = seq;
                }
                missing = seq - from;
                ranges.push(SeqRange {
                    from,
                    to: seq,
                    messages: vec![(seq, message)],
                });
            }
        }
        next = seq + 1;
    }
    SplitRanges { ranges, next }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sequence_is_in_one_range_with_its_message(
            next in 1..2000_u64, gaps in prop::collection::vec(prop_oneof![9 => 0..3_u64, 1 => 0..3000_u64], 0..900)
        ) {
            let mut seq = next;
            let messages: Vec<u64> = gaps.into_iter().map(|gap| { seq += gap + 1; seq - 1 }).collect();
            let input = messages.iter().map(|seq| (*seq, ())).collect();
            let SplitRanges { ranges, next: after } = split_into_ranges(next, input);
            let mut expected = next;
            let mut seen = BTreeSet::new();
            for range in &ranges {
                prop_assert!(range.from == expected && range.to >= range.from);
                let width = range.to - range.from + 1;
                prop_assert!(range.messages.is_empty() || width <= MAX_RANGE);
                prop_assert!(range.messages.is_empty() || width - range.messages.len() as u64 <= MAX_GAP);
                for (seq, ()) in &range.messages {
                    prop_assert!((range.from..=range.to).contains(seq) && seen.insert(*seq));
                }
                expected = range.to + 1;
            }
            prop_assert_eq!(after, expected);
            prop_assert_eq!(seen.into_iter().collect::<Vec<_>>(), messages);
        }
    }
}

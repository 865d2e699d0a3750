//! Sequences of the stream without a message: purged, dropped by an administrator, or lost. Pure.
//!
//! The server gives sequences out without a gap. Retention purges below the stream's first one, and only what is
//! stored; a command deletes what an administrator dropped, which the audit has. Whatever else is missing was
//! acknowledged, and was deleted before it was stored.

use types::event_streams::StreamSequence;

/// Sequences in a row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub from: u64,
    pub to: u64,
}

impl Hole {
    /// How many sequences it has.
    pub fn len(self) -> u64 {
        self.to - self.from + 1
    }

    /// The finding about this stream.
    pub fn text(self, stream: &str) -> String {
        let rest =
            format!("{stream} does not hold, the store never had, and no administrator dropped");
        let [from, to] = [self.from, self.to].map(|seq| StreamSequence::new(stream, seq));
        match self.len() {
            1 => format!("lost: message {from}, which {rest}"),
            more => format!("lost: messages {from} to {to} ({more}), which {rest}"),
        }
    }
}

/// The holes in `from..=to` between the sequences that are accounted for, which rise.
pub fn holes(from: u64, to: u64, accounted: impl IntoIterator<Item = u64>) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut next = from;
    for seq in accounted {
        if seq > next {
            holes.push(Hole {
                from: next,
                to: seq - 1,
            });
        }
        next = next.max(seq + 1);
    }
    if next <= to {
        holes.push(Hole { from: next, to });
    }
    holes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hole_is_named_by_its_ends() {
        let hole = |from, to| Hole { from, to };
        assert_eq!(holes(3, 9, [4, 5, 8]), [hole(3, 3), hole(6, 7), hole(9, 9)]);
        assert_eq!(holes(3, 5, [3, 4, 5]), []);
        assert_eq!(holes(3, 5, []), [hole(3, 5)]);
        let text = |hole: Hole| hole.text("EVENTS");
        assert!(text(hole(7, 7)).starts_with("lost: message 7, which EVENTS does"));
        assert!(text(hole(7, 9)).starts_with("lost: messages 7 to 9 (3), which"));
        let of_several = hole(7, 7).text("EVENTS-0-of-3");
        assert!(of_several.starts_with("lost: message EVENTS-0-of-3:7, which EVENTS-0-of-3 does"));
    }

    proptest! {
        #[test]
        fn every_sequence_is_accounted_for_or_in_one_hole(accounted in prop::collection::btree_set(1..60_u64, 0..60)) {
            let mut seen = accounted.clone();
            for hole in holes(1, 59, accounted.iter().copied()) {
                for seq in hole.from..=hole.to {
                    prop_assert!(seen.insert(seq));
                }
            }
            prop_assert_eq!(seen, (1..60).collect::<BTreeSet<_>>());
        }
    }
}

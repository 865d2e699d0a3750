//! Who holds an event id: pure, and the same whatever order submissions are stored in.
//!
//! Of all submissions of one (developer, event id), the lowest (src, seq, ordinal) is the
//! original; each other one is its duplicate where it says the same, else in conflict with it.

use common::id::EventRef;
use common::json::same_meaning;

/// One submission of an event id.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Where it came from.
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: &'a [u8; 32],
    /// Its exact bytes.
    pub body: &'a [u8],
}

/// What a submission is beside the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loser {
    /// The same event, in the same bytes or not.
    Duplicate {
        /// The bytes are the original's too.
        same_bytes: bool,
    },
    /// Another event under the same id.
    Conflict,
}

/// What a newcomer does to the id's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is the holder itself, delivered again.
    Own,
    /// The holder stays.
    Loses(Loser),
    /// It came before the holder: it takes the place, and every other submission is judged anew.
    Takes,
}

/// Decides between the id's holder and a newcomer.
#[must_use]
pub fn decide(holder: Submission<'_>, newcomer: Submission<'_>) -> Decision {
    match newcomer.at.cmp(&holder.at) {
        std::cmp::Ordering::Equal => Decision::Own,
        std::cmp::Ordering::Less => Decision::Takes,
        std::cmp::Ordering::Greater => Decision::Loses(beside(holder, newcomer)),
    }
}

/// What `loser` is beside the original.
#[must_use]
pub fn beside(original: Submission<'_>, loser: Submission<'_>) -> Loser {
    if original.hash == loser.hash {
        Loser::Duplicate { same_bytes: true }
    } else if same_meaning(original.body, loser.body) {
        Loser::Duplicate { same_bytes: false }
    } else {
        Loser::Conflict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> EventRef {
        EventRef { src: 1, seq, ordinal: 0 }
    }

    #[test]
    fn the_lowest_reference_holds_the_id_and_meaning_decides_about_the_rest() {
        let (one, same, other) = (br#"{"a":1}"#, br#"{ "a": 1 }"#, br#"{"a":2}"#);
        let hashes = [common::event::hash(one), common::event::hash(same), common::event::hash(other)];
        let submission = |seq, n: usize, body| Submission { at: at(seq), hash: &hashes[n], body };
        let holder = submission(5, 0, one);
        assert_eq!(decide(holder, submission(5, 0, one)), Decision::Own);
        assert_eq!(decide(holder, submission(4, 2, other)), Decision::Takes);
        let loses = |seq, n, body| decide(holder, submission(seq, n, body));
        assert_eq!(loses(6, 0, one), Decision::Loses(Loser::Duplicate { same_bytes: true }));
        assert_eq!(loses(6, 1, same), Decision::Loses(Loser::Duplicate { same_bytes: false }));
        assert_eq!(loses(6, 2, other), Decision::Loses(Loser::Conflict));
    }
}
